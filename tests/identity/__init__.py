"""What real kernels said of themselves in /proc and /sys, against the emulated machine: `python -m tests.identity DIR...`."""
