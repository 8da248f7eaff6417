"""Pictures: physical memory drawn, in a terminal and as a file.

Files: memmap (what is drawn, and as text), plot (the file that knows matplotlib).
Above forms: imports what is below.
Start reading at memmap.picture().
"""
