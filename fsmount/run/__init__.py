"""`kdumpfs run`: a command inside the machine, and the host out of its reach.

server.py is the process outside, inside.py the first one inside; rootfs.py plans the mounts, guards.py
checks them, supervisor.py takes system calls and syscalls.py answers them. May import tree/, fuse/,
host/, the engine; knows no command line. Start with server.py.
"""
