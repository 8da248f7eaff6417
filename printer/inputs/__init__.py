"""Inputs: whatever the command line is given, read: a Core comes out.

Files: reader (bytes by offset), source (which input is it), phdrs (program headers as columns), scan (memory images),
kernel_text_parser (the kernel's print).
Ground floor: imports printer.words and the codec of the engine (elfcorehdr.elf, .errors).
Start reading at source.read().
"""
