"""A real kernel image: its ELF file, its types (BTF), and objects of those types, for memory that tools with symbols read.

Only who was given a vmlinux imports this. May import lib/, elf and errors. Start with image.py.
"""
