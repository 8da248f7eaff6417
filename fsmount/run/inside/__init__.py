"""What is inside `kdumpfs run`: its processes, its mounts, and the guards between the command and the host.

init.py is the first process; rootfs.py makes the mounts over layers.py, places.py says which; session.py is
what the command keeps of the caller's; filter.py decides system calls by number; guards.py checks it all
before the command starts. May import host/ and plain values of the engine; knows neither tree nor server.
Start with init.py.
"""
