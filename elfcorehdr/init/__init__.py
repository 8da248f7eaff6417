"""The machine as one object: main.py has Kernel, the list of its parts, and how it boots.

May import every room of elfcorehdr/; nothing of elfcorehdr/ imports it but as a type.
Start with main.py: each part is named there, with the file it is in.
"""
