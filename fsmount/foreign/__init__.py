"""Programs of another architecture in `kdumpfs run`: qemu-user runs them, the emulated kernel is theirs.

guests.py is the table of what runs where; qemu.py finds the emulator and tells the kernel of it
(binfmt_misc); code.py makes of system calls that qemu-user does not know one that it does, library.py
puts that into C libraries, tracer.py and gdb.py into static programs; userland.py fetches packages. May import tree/, host/, the engine's plain values; run/ imports it.
"""
