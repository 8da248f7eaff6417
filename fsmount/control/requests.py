"""control/: what a hypervisor and the kexec system calls do, for `kdumpfs load`, `plug` and the like.

Each file takes one JSON object a write; the write fails with the errno that the system call or
the kernel gives, and control/error then says why in words. Reading shows the present state.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from elfcorehdr.arch import hypervisor
from elfcorehdr.errors import KernelError, ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import (
    KEXEC_CRASH_HOTPLUG_SUPPORT,
    KEXEC_FILE_DEBUG,
    KEXEC_FILE_NO_INITRAMFS,
    KEXEC_FILE_ON_CRASH,
    KEXEC_FILE_UNLOAD,
    KEXEC_ON_CRASH,
    KEXEC_UPDATE_ELFCOREHDR,
    FileArg,
    FileKind,
)
from elfcorehdr.lib.typed import Any
from elfcorehdr.machine.sizes import U64, shown
from fsmount.host.aside import aside
from fsmount.host.files import head_of_descriptor, text_of
from fsmount.tree.kobject import AttributeGroup, Caller, Filesystem, singleton

control = AttributeGroup("", singleton, fs=Filesystem.CONTROL)

Json = dict[str, Any]


def _request(buf: str, known: str) -> Json:
    """The JSON object in buf; KernelError(EINVAL) if it is none or has a key that is not known."""
    import json

    try:
        request = json.loads(buf)
    except RecursionError:
        raise KernelError(errno.EINVAL, "not JSON: nested too deeply") from None
    except ValueError as error:
        raise KernelError(errno.EINVAL, f"not JSON: {' '.join(str(error).split())[:160]}") from None
    if not isinstance(request, dict):
        raise KernelError(errno.EINVAL, f"{shown(request)}, expected a JSON object")
    for key in request:
        if key not in known.split():
            raise KernelError(errno.EINVAL, f"unknown key {shown(key)}, expected one of {known}")
    return request


Store = Callable[[Kernel, str, Caller], None]
Method = Callable[[Kernel, Json, Caller], None]


def _does(known: str) -> Callable[[Method], Store]:
    """A store that gets the parsed request, and keeps the reason of a failure for control/error."""

    def decorate(method: Method) -> Store:
        def store(kernel: Kernel, buf: str, caller: Caller) -> None:
            kernel.platform.refusal = ""
            try:
                if kernel.dead:
                    raise KernelError(
                        errno.EIO, f"the machine is dead: Kernel panic: {kernel.panic.why}"
                    )
                method(kernel, _request(buf, known), caller)
            except KernelError as error:
                kernel.platform.refusal = str(error)
                raise

        store.__name__, store.__doc__ = method.__name__, method.__doc__
        return store

    return decorate


def _number(request: Json, key: str, default: int | None = None, end: int = U64) -> int:
    """A number of the request, below end; KernelError(EINVAL) if it is none, or is missing and has no default."""
    value = request.get(key, default)
    if type(value) is not int or not 0 <= value < end:
        below = "2^64" if end == U64 else f"{end:#x}"
        raise KernelError(errno.EINVAL, f"{key} is {shown(value)}, expected a number below {below}")
    return value


def _flag(request: Json, key: str) -> bool:
    """true or false, the latter if it is absent; KernelError(EINVAL) for anything else."""
    value = request.get(key, False)
    if type(value) is not bool:
        raise KernelError(errno.EINVAL, f"{key} is {shown(value)}, expected true or false")
    return value


def _text(request: Json, key: str, default: str = "") -> str:
    """A text of the request; KernelError(EINVAL) if it is none."""
    value = request.get(key, default)
    if not isinstance(value, str) or not (value.isascii() or value.isprintable()) or "\0" in value:
        raise KernelError(errno.EINVAL, f"{key} is {shown(value)}, expected a text")
    return value


def _by_kexec_load(request: Json) -> bool:
    """Is it kexec_load that is asked for? KernelError(EINVAL) if it is neither system call."""
    word = _text(request, "syscall", "kexec_file_load")
    if word not in ("kexec_load", "kexec_file_load"):
        raise KernelError(
            errno.EINVAL, f"syscall is {shown(word)}, expected kexec_file_load or kexec_load"
        )
    return word == "kexec_load"


def _file(kernel: Kernel, request: Json, key: str, caller: Caller) -> FileArg | None:
    """A file that the caller has open, by the number of its descriptor: nothing is opened in our own name."""
    if request.get(key) is None:
        return None
    number = _number(request, key, end=1 << 31)
    try:
        head = aside(
            partial(head_of_descriptor, caller.proc, caller.pid, number), kernel.cond_resched
        )
    except IsADirectoryError:
        return FileArg(FileKind.DIRECTORY, name=f"descriptor {number}")
    except OSError as error:
        why = f"{key}: descriptor {number}: {error.strerror}"
        if error.errno == errno.EBADF:
            return FileArg(FileKind.BAD, why=why)
        raise KernelError(error.errno or errno.EIO, why) from None
    return FileArg(FileKind.REGULAR, head.data, head.size, name=head.name)


@control.store
@_does("syscall kernel initrd cmdline hotplug debug flags")
def load_store(kernel: Kernel, request: Json, caller: Caller) -> None:
    """Load a crash image as kexec_file_load (default) or kexec_load does; files are open descriptors of the caller."""
    by_kexec_load, hotplug = _by_kexec_load(request), _flag(request, "hotplug")
    debug, given = _flag(request, "debug"), request.get("flags")
    cmdline = _text(request, "cmdline", kernel.kexec.capture_cmdline()).encode()
    initrd = _file(kernel, request, "initrd", caller)
    image = _file(kernel, request, "kernel", caller)
    if by_kexec_load:
        flags = KEXEC_ON_CRASH
        if hotplug:
            flags |= KEXEC_CRASH_HOTPLUG_SUPPORT | KEXEC_UPDATE_ELFCOREHDR
        from elfcorehdr import kexec_tools

        entry, segments = kexec_tools.segments(kernel, image, initrd, cmdline, hotplug=hotplug)
        kernel.kexec.load(entry, segments, flags)
        return
    flags = KEXEC_FILE_ON_CRASH | (KEXEC_FILE_DEBUG if debug else 0)
    if image is not None and initrd is None:
        flags |= KEXEC_FILE_NO_INITRAMFS
    if given is not None:
        flags = _number(request, "flags")
    kernel.kexec.file_load(image, initrd, cmdline, flags)


@control.store
@_does("syscall")
def unload_store(kernel: Kernel, request: Json, caller: Caller) -> None:
    """Unload the crash image."""
    if _by_kexec_load(request):
        kernel.kexec.load(0, [], KEXEC_ON_CRASH)
    else:
        kernel.kexec.file_load(None, None, b"", KEXEC_FILE_UNLOAD | KEXEC_FILE_ON_CRASH)


@control.store
@_does("memory size node as cpu")
def plug_store(kernel: Kernel, request: Json, caller: Caller) -> None:
    """The hypervisor plugs in memory (address or null for the next free one, size in bytes) or a CPU slot."""
    node = _number(request, "node", 0)
    if "cpu" in request:
        hypervisor.plug_cpu(kernel, _number(request, "cpu"), node)
        return
    start = None if request.get("memory") is None else _number(request, "memory")
    how = _text(request, "as", "dimm")
    hypervisor.plug_memory(kernel, _number(request, "size"), start, node, how)


@control.store
@_does("memory size as cpu")
def unplug_store(kernel: Kernel, request: Json, caller: Caller) -> None:
    """The hypervisor asks memory (address and size in bytes) or a CPU back."""
    if "cpu" in request:
        hypervisor.unplug_cpu(kernel, _number(request, "cpu"))
        return
    size = _number(request, "size", kernel.memory.block_size)
    how = _text(request, "as", "dimm")
    hypervisor.unplug_memory(kernel, _number(request, "memory"), size, how)


def _task(text: str) -> tuple[str, int]:
    """COMM or COMM:PID: a name of at most 15 bytes, and a pid."""
    comm, colon, pid = text.rpartition(":")
    if not colon:
        comm, pid = text, "4711"
    if not comm or not pid.isdecimal() or len(pid) > 9:
        raise KernelError(errno.EINVAL, f"task is {shown(text)}, expected COMM or COMM:PID")
    return comm[:15], int(pid)


@control.store
@_does("panic oops warn hard hung_task soft_lockup")
def crash_store(kernel: Kernel, request: Json, caller: Caller) -> None:
    """The kernel crashes: with a text of its own, by an oops, a warning, as tasks or CPUs hang.

    All but a text and a hard lockup are a panic only if the kernel's switches say so.
    """
    from elfcorehdr.kernel import watchdog

    hard = request.get("hard", [])
    if not isinstance(hard, list) or not all(type(n) is int for n in hard):
        raise KernelError(errno.EINVAL, f"hard is {shown(hard)}, expected a list of CPUs")
    if hard:
        watchdog.hard_lockup(kernel, frozenset(hard))
    elif "hung_task" in request:
        comm, pid = _task(_text(request, "hung_task"))
        watchdog.hung_task(kernel, comm, pid)
    elif "soft_lockup" in request:
        cpu, _, task = _text(request, "soft_lockup").partition(":")
        if not cpu.isdecimal():
            raise KernelError(
                errno.EINVAL, f"soft_lockup is {shown(cpu)}, expected CPU[:COMM[:PID]]"
            )
        watchdog.soft_lockup(kernel, int(cpu[:9]), *_task(task or f"swapper/{cpu[:9]}:0"))
    elif "warn" in request:
        kernel.panic.warn(_text(request, "warn"))
    elif _flag(request, "oops"):
        kernel.panic.oops()
    elif "panic" in request:
        kernel.panic.panic(_text(request, "panic"))
    else:
        kernel.panic.sysrq("c")


@control.show
def error_show(kernel: Kernel) -> str:
    """Why the last request failed; empty if it did not."""
    return f"{kernel.platform.refusal}\n" if kernel.platform.refusal else ""


@control.bin_show()
def elfcorehdr_show(kernel: Kernel) -> bytes:
    """The loaded crash image's ELF core header, byte for byte; empty without one."""
    return kernel.kexec.elfcorehdr() or b""


def _crashed(kernel: Kernel, obj: object = None) -> bool:
    return kernel.vmcore is not None and kernel.memory_image is not None


@control.show(is_visible=_crashed)
def vmcore_show(kernel: Kernel) -> str:
    """What the vmcore's memory is used for, as JSON: pages by kind, of the memory that its header lists."""
    import json

    from elfcorehdr.mm.mm_init import counts, folios

    vmcore, image = kernel.vmcore, kernel.memory_image
    if vmcore is None or image is None:
        raise KernelError(errno.ENOENT)
    memory = vmcore.memory()
    told = {
        "size": vmcore.size,
        "page_size": image.page_size,
        "pages": counts(image, memory),
        "folios": folios(image, memory),
    }
    return json.dumps(told) + "\n"


@control.show
def uevents_show(kernel: Kernel) -> str:
    """The last uevents, one a line: SEQNUM and action@devpath."""
    return "".join(f"{e.seqnum} {e}\n" for e in kernel.uevents.kept)


@control.show
def machine_show(kernel: Kernel) -> str:
    """What runs here, as JSON."""
    import json

    return (
        json.dumps(
            {
                "machine": kernel.machine.name,
                "summary": kernel.machine.summary(),
                "release": kernel.release,
                "changes": sorted(change.name for change in kernel.changes),
                "crash_loaded": kernel.kexec.crash_image is not None,
                "after_crash": kernel.after_crash,
                "panic": kernel.panic.why,
                "pid": os.getpid(),
            }
        )
        + "\n"
    )


@control.bin_show()
def picture_show(kernel: Kernel) -> bytes:
    """Blocks, nodes, reservation, loaded image and CPUs, in runs, as JSON: what a page draws."""
    import json

    from fsmount.control.picture import picture

    return json.dumps(picture(kernel)).encode() + b"\n"


@control.show
def sequence_show(kernel: Kernel) -> str:
    """Another text whenever something has happened that `picture`, the log or the uevents show."""
    from fsmount.control.picture import sequence

    return sequence(kernel) + "\n"


def _is_path(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _texts(kernel: Kernel, paths: list[str], texts: Mapping[str, str]) -> dict[str, str]:
    """What is in the files, besides those whose texts are there; ProfileError."""
    found = dict(texts)
    for path in paths:
        file = os.path.abspath(path)
        if file in found:
            continue
        if not file.endswith(".py"):
            raise ProfileError(f"{path}: is not a Python file; expected FILE.py")
        try:
            found[file] = aside(partial(text_of, file), kernel.cond_resched)
        except KernelError as slow:
            raise ProfileError(f"{shown(path)}: {slow.reason}") from None
        except UnicodeError:
            raise ProfileError(f"{path}: is not UTF-8 text; expected Python") from None
        except OSError as error:
            why = "no such file" if error.errno == errno.ENOENT else error.strerror
            raise ProfileError(f"{path}: {why}") from None
    return found


class UserModules:
    """The user's modules of a tree, for control/; what loads them is imported when it is asked for."""

    def __init__(self) -> None:
        self._tree: Any = None
        self._loader: Any = None

    @property
    def tree(self) -> Any:
        """The tree that they are loaded into."""
        return self._tree

    @tree.setter
    def tree(self, tree: Any) -> None:
        self._tree = tree
        if self._loader is not None:
            self._loader.tree = tree

    @property
    def loader(self) -> Any:
        """The Loader, made when it is first asked for."""
        if self._loader is None:
            from fsmount.tree.loader import Loader

            self._loader = Loader(self.tree.kernel, self.tree)
        return self._loader

    def load(self, paths: Iterable[str] = (), texts: Mapping[str, str] | None = None) -> None:
        """Load files, or without any those that are loaded, anew. ProfileError changes nothing."""
        self.loader.load(paths, texts)

    def group(self) -> AttributeGroup[Kernel]:
        """Their files in control/."""
        group: AttributeGroup[Kernel] = AttributeGroup("", singleton, fs=Filesystem.CONTROL)

        @group.store
        def reload_store(kernel: Kernel, buf: str, caller: Caller) -> None:
            """Take the modules' files, or those of the key `modules`, into the running machine.

            `texts` is what is in them, by path, as the caller sees them; others are opened as this process sees them.
            """
            kernel.platform.refusal = ""
            if caller.uid not in (0, os.geteuid()):  # whatever the file's mode has become
                kernel.platform.refusal = (
                    "a module runs as who mounted the machine: only he may load one"
                )
                raise KernelError(errno.EPERM, kernel.platform.refusal)
            try:
                request = _request(buf, "modules texts")
                paths, texts = request.get("modules", []), request.get("texts", {})
                if not isinstance(paths, list) or not isinstance(texts, dict):
                    raise ProfileError("reload: expected a list `modules` and an object `texts`")
                if not all(_is_path(one) for one in [*paths, *texts, *texts.values()]):
                    raise ProfileError("reload: expected paths and texts in `modules` and `texts`")
                known = [module.file for module in self._loader.modules] if self._loader else []
                self.load(paths, _texts(kernel, paths or known, texts))
            except ProfileError as error:
                kernel.platform.refusal = str(error)
                raise KernelError(errno.EINVAL, str(error)) from None

        @group.show
        def modules_show(kernel: Kernel) -> str:
            """The modules that are loaded, one file a line."""
            return "".join(f"{one.file}\n" for one in self._loader.modules) if self._loader else ""

        @group.show
        def log_show(kernel: Kernel) -> str:
            """What the modules printed, and their mistakes."""
            return (
                "".join(f"{line}\n" for line in self._loader.journal.lines) if self._loader else ""
            )

        return group


GROUPS = (control,)
