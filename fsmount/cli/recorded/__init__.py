"""Recorded machines: one that boots to a recording (machine.py), from a header (header.py), shown as it was (tree.py).

diff.py says where a tree differs from a recording. May import what the command line may. Start with machine.py.
"""
