"""What Linux has in kernel/: crash_core and kexec above all, the log, panic, notifiers, resources.

crash_core makes the ELF core header out of phdrs; header_cache keeps it from one event to the next; crash_reserve,
kexec_core and kexec_file reserve memory and place an image in it. May import lib/ and the files directly in
elfcorehdr/. Start with crash_core.py.
"""
