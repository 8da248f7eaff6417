"""kdumpfs, for authors and testers. `python -m kdumpfs` is the command kdumpfs.

kdumpfs.module      what a module for `kdumpfs mount --module FILE.py` needs: groups, sets, state, events
kdumpfs.testing     machines in tests: kdump_machine, kdump_mount, kdump_run; without pytest machine(), mounted(), run()

    from kdumpfs.module import AttributeGroup, Kernel, singleton

    proposal = AttributeGroup("kernel/kexec", singleton)

    @proposal.show
    def crash_rebuilds_show(kernel: Kernel) -> str:
        return f"{kernel.crash_hp.rebuilds}\\n"

help("kdumpfs.module") goes on from here. The names of these two stay; those of elfcorehdr/, fsmount/ and
printer/ may move. May import everything; nothing imports it.
"""
