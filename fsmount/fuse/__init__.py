"""Servers: a tree on /dev/fuse (direct.py, mount.py), or through libfuse and fusepy (libfuse.py).

proto.py is the protocol as data, nodes.py numbers of nodes, serving.py how to wait. May import
tree/ and host/; knows no declaration and no command line. Start with mount.py, then direct.py.
"""
