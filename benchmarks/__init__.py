"""Every cost as a ratio to a reference that is measured in the same run. `./scripts/bench` starts it."""
