"""What a person types: the command `kdumpfs`.

main.py runs before click is imported, commands.py and run.py with it; options.py is the table of
both; boot.py makes a kernel and its tree, mount.py serves it. May import everything below. Start
with main.py.
"""
