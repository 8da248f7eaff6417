"""A server in the background: forked while the process is small."""

from __future__ import annotations

import os
import sys

from elfcorehdr.errors import ProfileError

TYPE_CHECKING = False  # of typing, which is imported behind the fork
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def in_background(serve: Callable[[Callable[[], None]], None]) -> None:
    """Fork a server that outlives this process; return when it calls the function it is given.

    What a start takes is best imported and done in serve: the less there is when it forks, the
    fewer pages have to be copied. ProfileError with the server's words if it ends before."""
    read_end, write_end = os.pipe()
    if os.fork():
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            words = pipe.read()
        if words != b"\0":
            said = words.decode(errors="surrogateescape")
            raise ProfileError(said or "the server ended before the tree was mounted")
        return
    os.close(read_end)
    _serve_child(serve, write_end)


def _serve_child(serve: Callable[[Callable[[], None]], None], write_end: int) -> NoReturn:
    """The server's process: when it is ready its own session, no terminal; never returns."""

    def ready() -> None:
        sys.stdout.flush()
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        if null > 2:
            os.close(null)
        os.write(write_end, b"\0")
        os.close(write_end)

    status = 1
    try:
        # Locks that the caller holds, pipes that somebody reads to their end.
        os.closerange(3, write_end)
        os.closerange(write_end + 1, max(os.sysconf("SC_OPEN_MAX"), 1 << 16))
        serve(ready)
        status = 0
    except ProfileError as error:
        os.write(write_end, str(error).encode(errors="surrogateescape"))
        sys.stdout.flush()
    except OSError as error:
        from printer.cli.terminal import sentence_of

        os.write(write_end, sentence_of(error).encode(errors="surrogateescape"))
    except KeyboardInterrupt:
        pass  # whoever waits for us was interrupted too
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)
