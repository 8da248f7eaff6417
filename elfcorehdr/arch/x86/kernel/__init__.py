"""arch/x86/kernel/: setup (the class X8664), crash (headers, hotplug), kexec_bzimage64 (loading), e820.

Start with crash.py.
"""
