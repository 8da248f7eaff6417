"""A machine from recorded files: main.py asks memory.py and identity.py, fit.py takes out what a machine's file may not say.

Where the files lie is not known here: files.py says what is asked of them. Start with main.py.
"""
