"""kdumpfs for authors: what one imports to propose a file, and `python -m kdumpfs`, the command.

The names here stay; those of elfcorehdr/, fsmount/ and printer/ may move. Start with kdumpfs/module.py.
May import everything; nothing imports it.
"""
