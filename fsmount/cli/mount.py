"""`kdumpfs mount` and `kdumpfs run`: boot a machine; mount its tree and serve it, or run a command in it."""

from __future__ import annotations

import gc
import os

from elfcorehdr.errors import ProfileError
from fsmount.cli import packed
from fsmount.cli.background import in_background

TYPE_CHECKING = False  # of typing, which is imported behind the fork
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fsmount.fuse.mount import Mount
    from fsmount.tree.kernfs import Tree


def mount(directory: str, *, foreground: bool, direct: bool, libfuse: bool, **options: Any) -> None:
    """Mount a machine on an empty directory; return when it is there, in the foreground when it is gone.

    The options are those of BootOptions. ProfileError with the remedy.
    """
    if direct and libfuse:
        raise ProfileError("--direct and --libfuse: expected one of them, or neither")

    def serve(ready: Callable[[], None]) -> None:
        packed.use()
        from fsmount.host.mounting import check_mountpoint, claimed, on_signals, top_mount

        check_mountpoint(directory)
        from fsmount.cli.boot import BootOptions, boot

        kernel, tree = boot(BootOptions(**options, processes=True))
        from fsmount.run.door import open_door

        asked: list[bool] = []
        on_signals(lambda: asked.append(True))  # from here on, whatever comes, it is unmounted
        with claimed(directory):
            mounted = mount_at(tree, directory, direct=direct, libfuse=libfuse)
        try:
            on_signals(mounted.stop)
            if asked:
                mounted.stop()
            packed.settle()
            gc.freeze()  # the start made no garbage, and nothing of it is ever freed
            gc.set_threshold(20_000, 20, 20)  # a request leaves none in cycles
            gc.enable()
            mount = top_mount(directory)
            device = mount.device if mount is not None else "none"
            close_door = open_door(mounted, device, kernel, tree)
            try:
                mounted.serve(ready)
            finally:
                close_door()
        finally:
            mounted.close()

    if foreground:
        serve(lambda: None)
    else:
        in_background(serve)
        if options.get("modules") and not os.isatty(2):
            told = f"{directory}/control/log has what the modules print, and their mistakes"
            os.write(2, f"kdumpfs: {told}\n".encode())


def mount_at(
    tree: Tree, directory: str, *, direct: bool = False, libfuse: bool = False, **how: Any
) -> Mount:
    """Mount a tree; ProfileError. Unless it is said which: without libfuse where this process may.

    how is what Mount takes besides.
    """
    from fsmount.fuse.mount import Mount, mount_on
    from fsmount.host.mounting import resolved

    mounted = mount_on(resolved(directory), direct=direct, libfuse=libfuse)
    try:
        return Mount(tree, mounted, **how)
    except BaseException:
        mounted.unmount()
        raise


def run(
    command: tuple[str, ...],
    *,
    share: tuple[str, ...],
    share_directory: bool,
    keep: str | None,
    over: tuple[str, ...],
    record: str | None,
    quiet: bool,
    then: str | None,
    crashed: bool,
    within: str | None,
    name: str | None,
    pass_fds: tuple[int, ...] = (),
    uname_machine: bool = True,
    root: str | None = None,
    **options: Any,
) -> int:
    """The command's exit status; the options are RUN_OPTIONS' and BootOptions'. ProfileError."""
    from fsmount.run.launch import Launch, RunOptions

    if not os.path.lexists("/proc/self"):
        raise ProfileError(
            "/proc is not mounted here, and nothing runs without it: mount -t proc proc /proc"
        )
    if os.path.lexists("/run/kdumpfs/fuse/control"):
        raise ProfileError(
            "no run can be made within a run; `kdumpfs mount DIR` mounts another machine here, and"
            " /run/kdumpfs/fuse is this one"
        )
    if share:
        from fsmount.host.mounting import check_not_silent

        for path in share:
            check_not_silent(path)
    for directory in over:
        if not os.path.isdir(directory):
            raise ProfileError(f"--package {directory}: expected a directory")
    if root is not None and not os.path.isdir(root):
        raise ProfileError(f"--root {root}: expected a directory")
    wanted = RunOptions(
        share=share,
        share_directory=share_directory,
        keep=os.path.abspath(keep) if keep else keep,
        pass_fds=pass_fds,
        over=tuple(os.path.realpath(directory) for directory in over),
        root=os.path.realpath(root) if root is not None else "/",
        uname_machine=uname_machine,
        record=record,
        quiet=quiet,
        then=("/bin/sh", "-c", then) if then is not None else (),
    )
    if within is not None or name is not None:
        word = "--in" if name is None else "--name"
        for other, value in (
            ("--record", record),
            ("--then", then),
            ("--crashed", crashed or None),
        ):
            if value is not None:
                raise ProfileError(f"{other} and {word}: expected one of them, or neither")
    if name is not None:
        if within is not None:
            raise ProfileError("--in and --name: expected one of them, or neither")
        within = _named(name, options)
    elif within is not None:
        _check_in(options, "--in")
        from fsmount.host.named import found

        within = found(within)
    from elfcorehdr.lib.record import replace
    from fsmount.foreign.qemu import needed

    wanted = replace(wanted, emulator=needed(command, wanted.over, wanted.root))
    if within is not None:
        from fsmount.run.join import run_in

        packed.settle()
        return run_in(within, command, wanted)
    launch = Launch(command, wanted)
    with launch as channel:  # forked before the engine is imported
        from fsmount.cli.boot import BootOptions, boot
        from fsmount.run.server import serve

        kernel, tree = boot(BootOptions(**options, crashes=crashed))
        if crashed:
            kernel.panic.sysrq("c")
        packed.settle()
        gc.freeze()
        gc.enable()
        return serve(kernel, tree, launch, channel, wanted, goes_on=not command)


def _named(name: str, options: dict[str, Any]) -> str:
    """Where the machine of a name is mounted; it is booted if it is not. ProfileError."""
    from fsmount.host import mounting, named

    directory = named.made(name)
    if mounting.mounted_at(directory) is None:
        try:
            mount(directory, foreground=False, direct=False, libfuse=False, **options)
        except ProfileError:
            if mounting.mounted_at(directory) is None:
                named.forget(directory)
                raise
        else:
            return directory
    _check_in(options, f"--name {name}")  # or another command was faster
    return directory


def _check_in(options: dict[str, Any], words: str) -> None:
    """ProfileError for an option that says what machine there is: it is there already."""
    from fsmount.cli.options import MACHINE_OPTIONS

    for option in MACHINE_OPTIONS:
        if options[option.name] != option.default:
            raise ProfileError(f"{option.words[-1]} and {words}: the machine is booted already")
