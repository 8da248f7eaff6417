"""A real machine's /sys and /proc: written by record.py (archive.py, format.py, anonymize.py: also one file for a machine without
kdumpfs, Python 3.6, nothing of ours imported), read by recording.py (sources.py, tar.py; index.py: in part).

May import elfcorehdr's values. Start with recording.py.
"""
