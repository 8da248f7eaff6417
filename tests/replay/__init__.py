"""Replay of what real kernels were seen to do: `python -m tests.replay CASE_DIR...`.

A case is a folder with a replay.json (its form is told in tests/golden/kernel/README.md). The machine
is booted, each step is done through the calls that the mounted files use, and everything that was
seen after it is compared. What cannot be replayed is said, and counts as not passed.
"""
