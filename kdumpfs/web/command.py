"""What `kdumpfs web` does: machines as asked for, an address of one's own, and the page on it."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from pathlib import Path
from typing import Any

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.record import replace
from fsmount.cli.boot import BootOptions
from kdumpfs.web.files import Below, Files, Here
from kdumpfs.web.lines import write_of
from kdumpfs.web.steps import Session
from printer.lacking import install


def web(
    directory: str | None,
    *,
    beside: tuple[str, ...],
    do: tuple[str, ...],
    output: str | None,
    port: int,
    bind: str,
    opens: bool,
    **options: Any,
) -> None:
    """Serve the page until Ctrl-C, or with output write one file. ProfileError."""
    writes = [write_of(line) for line in do]
    session = Session(_sides(directory, beside, BootOptions(**options)))
    for path, text in writes:
        session.write(path, text)
    if output is not None:
        _write(output, session)
        return
    try:
        from kdumpfs.web.server import serve
    except ImportError:
        needed = f"the page needs starlette and uvicorn: {install('starlette', 'uvicorn')}"
        raise ProfileError(needed) from None
    listener = _listener(bind, port)
    port = listener.getsockname()[1]
    token = secrets.token_urlsafe(32)
    shown = f"[{bind}]" if ":" in bind else bind
    hosts = frozenset(f"{name}:{port}" for name in (shown, "127.0.0.1", "localhost"))
    address = f"http://{shown}:{port}/{token}/"
    if bind not in ("127.0.0.1", "::1", "localhost"):
        sys.stderr.write(
            f"kdumpfs: --bind {bind}: whoever reaches this address and has the token can write to the machine's "
            "files; it travels unencrypted\n"
        )

    def ready() -> None:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        if opens:
            import webbrowser

            webbrowser.open(address)

    everywhere = bind in ("0.0.0.0", "::")
    serve(
        session, listener, token, hosts, ready, waits=directory is not None, any_address=everywhere
    )


def _sides(
    directory: str | None, beside: tuple[str, ...], options: BootOptions
) -> list[tuple[str, Files]]:
    if directory is not None:
        if beside:
            raise ProfileError("--beside and DIR: a mounted machine has one kernel; leave DIR out")
        return [(os.path.basename(os.path.abspath(directory)), Below(directory))]
    kernels = [options.kernel, *beside]
    machines = [Here(replace(options, kernel=kernel)) for kernel in kernels]
    return [(f"{one.kernel.machine.name}, {one.kernel.release}", one) for one in machines]


def _listener(bind: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((bind, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise ProfileError(f"{bind} port {port}: {getattr(error, 'strerror', error)}") from None
    listener.listen(64)
    return listener


def _write(output: str, session: Session) -> None:
    from kdumpfs.web.export import one_file

    labels = [side.label for side in session.sides]
    try:
        Path(output).write_text(one_file({"labels": labels, "steps": session.steps}), "utf-8")
    except OSError as error:
        raise ProfileError(f"{output}: {error.strerror}; nothing was kept") from None
