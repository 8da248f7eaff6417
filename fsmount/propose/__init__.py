"""From a module to a patch: the ABI text, what reviewers will say, the C, a transcript for the cover letter.

May import tree/. Start with abi.py.
"""
