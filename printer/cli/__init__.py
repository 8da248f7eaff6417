"""Cli: the command `elfcorehdr`.

Files: main (before click is imported), commands (the file that knows click), terminal.
Top floor: imports every room below, most of them when a command needs them.
Start reading at main.main().
"""
