"""Bytes to text: prints elfcorehdrs. Imports elfcorehdr.elf, .ranges and .errors alone."""
