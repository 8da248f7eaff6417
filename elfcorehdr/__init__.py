"""The emulated kernel: the machine, its memory and CPUs, and the elfcorehdr it builds.

Standard library only; no files, no text, no FUSE.
"""
