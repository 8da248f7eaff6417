"""`kdumpfs run`: who serves a command inside, and who starts it.

server.py serves a run, launch.py starts one; door.py, guest.py and join.py are `run --in DIR`. supervisor.py takes system
calls, syscalls.py and connect.py answer them. May import inside/, tree/, fuse/, host/, the engine; knows no
command line. Start with server.py.
"""
