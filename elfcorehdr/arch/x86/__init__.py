"""x86_64: kernel/setup.py has the class X8664, kernel/crash.py headers and hotplug, platform/ the PC around it."""
