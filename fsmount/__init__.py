"""The tree of the emulated machine, and the command `kdumpfs`: rooms in docs/architecture.md."""
