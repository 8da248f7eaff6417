"""The command `kdumpfs`. An ordinary `mount` runs before click is imported.

What is out of the ordinary (another command, an option that is unknown or lacks its value, help,
shell completion) goes to commands.py, which says and does the rest.
"""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn


def main() -> None:
    """Entry point: exit status 0 done, 2 for what the user got wrong; of `run` the command's."""
    gc.disable()  # starting makes no garbage; what then serves for long enables it
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        from printer.cli.terminal import hold_streams

        hold_streams()
    words = sys.argv[1:]
    if "_KDUMPFS_COMPLETE" not in os.environ:
        if words in (["--version"], ["-V"]):
            from printer.version import __version__

            try:
                os.write(1, f"kdumpfs, version {__version__}\n".encode())
            except BrokenPipeError:
                sys.exit(1)
            except OSError as error:
                sys.stderr.write(f"kdumpfs: standard output: {error.strerror}\n")
                sys.exit(2)
            return
        if words[:1] == ["mount"]:
            from fsmount.cli.options import MOUNT_OPTIONS, parse

            given = parse(words[1:], MOUNT_OPTIONS, "directory")
            if given is not None:
                _mount(given)
        if words[:1] == ["run"]:
            from fsmount.cli import packed
            from fsmount.cli.options import parse_run

            given = parse_run(words[1:])
            if given is not None:
                packed.use()
                from fsmount.cli.mount import run as run_command

                _end(run_command, given)
    from fsmount.cli.commands import run

    run()


def _mount(given: dict[str, Any]) -> None:
    from fsmount.cli.mount import mount

    _end(mount, given)


def _end(command: Callable[..., int | None], given: dict[str, Any]) -> NoReturn:
    """Do it, and end: there is nothing to tidy up that the kernel does not."""
    from elfcorehdr.errors import ProfileError

    status = 1
    try:
        status = command(**given) or 0
    except ProfileError as error:
        from printer.cli.terminal import bounded

        status = 2
        sys.stderr.write(f"kdumpfs: {bounded(str(error))}\n")
    except KeyboardInterrupt:
        status = 130
    except OSError as error:
        from printer.cli.terminal import sentence_of

        status = 2
        sys.stderr.write(f"kdumpfs: {sentence_of(error)}\n")
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, AttributeError):  # closed, or never open
                continue
        os._exit(status)


if __name__ == "__main__":
    main()
