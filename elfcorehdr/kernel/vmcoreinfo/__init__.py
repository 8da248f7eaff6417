"""What a dump tool is told of a kernel: VMCOREINFO's text (text.py, with the captured ones beside it) and the log.

May import the rest of kernel/. Only a kernel whose memory is read imports it.
"""
