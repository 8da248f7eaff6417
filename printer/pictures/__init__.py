"""Pictures: physical memory drawn, in a terminal and as a file.

Files: blocks (what is drawn, with what check and diff found), text (in a terminal), plot (the file that knows matplotlib).
Above forms: imports what is below.
Start reading at blocks.picture().
"""
