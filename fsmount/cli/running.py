"""`kdumpfs run`: boot a machine, run a command in it."""

from __future__ import annotations

import gc
import os

from elfcorehdr.errors import ProfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(
    command: tuple[str, ...],
    *,
    share: tuple[str, ...],
    share_directory: bool,
    keep: str | None,
    over: tuple[str, ...],
    record: str | None,
    then: str | None,
    crashed: bool,
    pass_fds: tuple[int, ...] = (),
    uname_machine: bool = True,
    **options: Any,
) -> int:
    """The command's exit status; the options are RUN_OPTIONS' and BootOptions'. ProfileError."""
    from fsmount.cli.boot import BootOptions, boot
    from fsmount.run.server import RunOptions, run_command

    for directory in over:
        if not os.path.isdir(directory):
            raise ProfileError(f"--package {directory}: expected a directory")
    if crashed:
        options["load"] = True
    kernel, tree = boot(BootOptions(**options))
    if crashed:
        kernel.panic.sysrq("c")
    from fsmount.foreign.qemu import needed

    emulator = needed(command, over)
    gc.freeze()
    gc.enable()
    wanted = RunOptions(
        share=share,
        share_directory=share_directory,
        keep=os.path.abspath(keep) if keep is not None else None,
        pass_fds=pass_fds,
        over=tuple(os.path.realpath(directory) for directory in over),
        uname_machine=uname_machine,
        record=record,
        emulator=emulator,
        then=("/bin/sh", "-c", then) if then is not None else (),
    )
    return run_command(kernel, tree, command, wanted)
