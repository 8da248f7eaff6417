"""control/: what comes from outside a machine: its firmware, hypervisor, and who calls kexec_load(2).

May import tree/, the engine and host/. Start with requests.py.
"""
