"""`scripts/soak`: what keeps "the server lives, and its answers are whole" true, for a minute in CI or for hours."""
