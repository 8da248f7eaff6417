"""The server of a tree on /dev/fuse (direct.py), and mounting it: by mount(2) (mount.py), or by libfuse (libfuse.py).

proto.py is the protocol as data, channel.py the descriptor, nodes.py numbers of nodes, dirs.py listings,
readahead.py and passthrough.py what makes a vmcore fast, serving.py how to wait. May import
tree/ and host/; knows no declaration and no command line. Start with mount.py, then direct.py.
"""
