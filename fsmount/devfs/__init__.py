"""/dev: the kernel log, drivers/char/mem.c and kernel/printk/printk.c. May import tree/ and the engine.

Start with kmsg.py.
"""
