"""Cli: the command `elfcorehdr`.

Files: main (before click is imported), commands (the group), printing, judging, mapping (a command each, imported when asked for),
shared (what they have in common), terminal.
Top floor: imports every room below, most of them when a command needs them.
Start reading at main.main().
"""
