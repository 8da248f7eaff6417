"""A kernel and its tree from what a user asked for: the one place where `mount` and `run` agree."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable

from elfcorehdr import profiles
from elfcorehdr.errors import KernelError, ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_core import PrintMode
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.lib.record import Record
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import Declaration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from elfcorehdr.machine import Machine
    from fsmount.control.requests import UserModules
    from fsmount.host.recordings.recording import Recording


QUICK = ("memory", "cpus", "threads", "nodes", "page_size", "block_size")
"""The options that change a machine's size: fields of elfcorehdr.machine.quick.Quick."""


class BootOptions(Record):
    """Machine options of the command line; names as there."""

    machine: str = profiles.DEFAULT
    kernel: str = ""
    with_: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    cmdline: str | None = None
    memory: str = ""
    cpus: str = ""
    threads: str = ""
    nodes: str = ""
    page_size: str = ""
    block_size: str = ""
    recording: str = ""
    processes: bool = False
    """Whether a recording's /proc/self is shown."""
    load: bool = False
    crashes: bool = False
    """It is to crash at once: kdump is loaded, unless firmware takes the dump."""
    modules: tuple[str, ...] = ()
    print_mode: str = PrintMode.TEXT.value
    page_limit: bool = True
    debug: bool = False
    vmcoreinfo: tuple[str, ...] = ()
    vmlinux: str = ""


def machine_of(options: BootOptions) -> Machine:
    """The machine that the options name, with the command line and of the size that they say; ProfileError."""
    machine = _load(options.machine)
    sizes = {key: getattr(options, key) for key in QUICK}
    if options.cmdline is None and not any(sizes.values()):
        return machine
    from elfcorehdr.machine.quick import Quick, obeyed, quick, with_cmdline

    before = machine.cmdline
    if options.cmdline is not None:
        machine = with_cmdline(machine, options.cmdline)
    machine = quick(machine, Quick(**sizes))
    return obeyed(machine, before) if options.cmdline is not None else machine


ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")
"""How the name of a recorded machine ends, unless it is a directory."""


def _load(machine: str) -> Machine:
    """A machine that is shipped, in a TOML file, or recorded."""
    if machine.endswith(ARCHIVES) or ("/" in machine and os.path.isdir(machine)):
        from fsmount.cli.recorded.machine import recorded_machine

        return recorded_machine(machine)
    return profiles.load(machine)


def boot(options: BootOptions) -> tuple[Kernel, Tree]:
    """Boot the machine, load kdump if asked to, and make the tree with the user's modules.

    ProfileError says in a sentence what is wrong with machine, kernel, change or module.
    """
    return booted(options)[:2]


def booted(
    options: BootOptions,
    machine: Machine | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> tuple[Kernel, Tree, UserModules]:
    """As boot(), with what loads modules; a machine that is given stands in place of the named one.

    clock: nanoseconds, for the log's time stamps.
    """
    recording, alone = None, False
    if options.recording:
        machine, recording, alone = _recorded(options, machine)
    if machine is None:
        machine = machine_of(options)
    vmlinux = None
    if options.vmlinux:
        from elfcorehdr.kernel.vmlinux.fits import fits, with_image
        from elfcorehdr.kernel.vmlinux.image import Vmlinux
        from fsmount.host.mapped import opened

        vmlinux = Vmlinux(options.vmlinux, opened(options.vmlinux))
        fits(vmlinux, machine, options.kernel)
        machine = with_image(machine, vmlinux)
    kernel = Kernel.boot(
        machine,
        options.kernel,
        also=options.with_,
        without=options.without,
        clock=clock,
        dynamic_debug=("*",) if options.debug else (),
        vmlinux=vmlinux,
    )
    kernel.kexec.print_mode = PrintMode(options.print_mode)
    if any(u.content.startswith("file:") for u in machine.use):
        from fsmount.host.mapped import MappedFiles

        kernel.read_file = MappedFiles(u.content for u in machine.use).read
    if options.vmcoreinfo:
        from elfcorehdr.kernel.vmcoreinfo.text import vmcoreinfo_of

        vmcoreinfo_of(kernel.arch.name, kernel.page_size, kernel.release).edit(options.vmcoreinfo)
        kernel.vmcoreinfo_edits = options.vmcoreinfo
    tree, modules = tree_of(kernel, options, recording, alone=alone)
    fadump = kernel.platform.fadump
    if options.load or (options.crashes and not (fadump is not None and fadump.takes_crash)):
        try:
            kernel.kexec.file_load(
                None, None, kernel.kexec.capture_cmdline().encode(), KEXEC_FILE_ON_CRASH
            )
        except KernelError as error:
            raise ProfileError(f"machine {machine.name}: kdump cannot be loaded: {error}") from None
    return kernel, tree, modules


def _recorded(
    options: BootOptions, machine: Machine | None
) -> tuple[Machine | None, Recording, bool]:
    """The recording whose files are shown, its machine unless another is asked for, and whether that is not quite the one.

    So if it cannot be derived, or its kernel is older than those that are known: then nothing of it shows.
    """
    from elfcorehdr.machine.derive.main import release_of
    from fsmount.cli.recorded.machine import derived
    from fsmount.host.recordings.recording import read_recording

    recording = read_recording(options.recording)
    for sentence in recording.mended:
        sys.stderr.write(f"kdumpfs: {options.recording}: {sentence}\n")
    if machine is None and options.machine == profiles.DEFAULT:
        try:
            found = derived(recording, kernel=options.kernel).machine
        except ProfileError:
            return None, recording, True
        return found, recording, not options.kernel and found.kernel != release_of(recording)
    return machine, recording, False


def declarations_of(modules: Iterable[str] = ()) -> list[Declaration]:
    """All that a tree is made of, then the user's modules; ProfileError for a module that is refused."""
    from fsmount import procfs, sysfs
    from fsmount.control import requests
    from fsmount.devfs import kmsg

    declarations = [*sysfs.GROUPS, *procfs.GROUPS, kmsg.dev, *requests.GROUPS]
    for path in modules:
        from fsmount.tree.modules import load_module

        declarations += load_module(path, declarations).declarations
    return declarations


def tree_of(
    kernel: Kernel, options: BootOptions, recording: Recording | None = None, *, alone: bool = False
) -> tuple[Tree, UserModules]:
    """The tree of a kernel, and what loads modules into it; with a recording's files before its own."""
    # Root's files would be read-only to an ordinary user who mounts: the machine is his.
    owner = (os.geteuid(), os.getegid())
    from fsmount.control.requests import UserModules

    modules = UserModules()
    declarations = [*declarations_of(), modules.group()]
    if recording is None:
        tree = Tree(kernel, declarations, page_limit=options.page_limit, owner=owner)
    else:
        from fsmount.cli.recorded.tree import RecordedTree

        tree = RecordedTree(
            *(kernel, declarations, recording),
            alone=alone,
            processes=options.processes,
            owner=owner,
        )
    modules.tree = tree
    if options.modules:
        modules.load(options.modules)
    return tree, modules
