"""What is asked of the host: mounts and namespaces (mountns.py), mount points and requests (mounting.py).

May import plain values of the engine only. Start with mountns.py.
"""
