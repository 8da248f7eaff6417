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
    from typing import Any


def main() -> None:
    """Entry point: exit status 0 done, 2 for what the user got wrong; of `run` the command's."""
    gc.disable()  # starting makes no garbage; what then serves for long enables it
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
    from fsmount.cli.commands import run

    run()


def _mount(given: dict[str, Any]) -> None:
    """Mount, and end: there is nothing to tidy up that the kernel does not."""
    from elfcorehdr.errors import ProfileError
    from fsmount.cli.mount import mount

    status = 0
    try:
        mount(**given)
    except ProfileError as error:
        sys.stderr.write(f"kdumpfs: {error}\n")
        status = 2
    except KeyboardInterrupt:
        sys.stderr.write("\nAborted!\n")
        status = 1
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
