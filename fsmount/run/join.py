"""`kdumpfs run --in DIR`: run a command in a machine that is mounted at DIR. Imports nothing of the engine."""

from __future__ import annotations

import _socket as socket
import os

from elfcorehdr.errors import suppress
from fsmount.host import mountns
from fsmount.host.asking import ANSWER_S, server_of, silent
from fsmount.host.mountns import FSTYPE, RunError
from fsmount.run import door
from fsmount.run.inside import init
from fsmount.run.launch import Launch, RunOptions, Signalled, tell


def run_in(directory: str, argv: tuple[str, ...], options: RunOptions) -> int:
    """The command's exit status, as run_command(). RunError: no machine there, or one that cannot be joined."""
    launch = Launch(argv, options)
    uname = "machine" if options.uname_machine else "host"
    guest = options.emulator.guest.machine if options.emulator is not None else "-"
    connection, facts = _knock(directory, f"{uname} {guest}")
    channel = launch.start()
    status: int | None = None
    ended_by: Signalled | None = None
    error = ""
    try:
        init.say(channel, "facts", facts)
        launch.take_signals(connection)
        init.say(connection, "channel", "", (channel.fileno(),))
        channel.close()
        while True:
            word, text, _ = init.hear(connection)
            if not word:
                break
            if word == "end":
                status = int(text)
            else:
                error = error or tell(launch, connection, word, text)
    except Signalled as signalled:
        ended_by = signalled
    except OSError:
        pass  # the server has gone
    finally:
        launch.ignore_signals()
        launch.kill()
        connection.close()
        launch.end()
    if ended_by is not None:
        return ended_by.status()
    if error:
        raise RunError(error)
    if status is None:
        raise RunError(f"--in {directory}: the machine's server, or its init, was killed")
    return status


def _knock(directory: str, wanted: str) -> tuple[socket.socket, str]:
    """A connection to the server of a mount, and what its machine is."""
    given = os.path.abspath(directory)
    path = os.path.join(os.path.realpath(os.path.dirname(given)), os.path.basename(given))
    with suppress(OSError):  # no link; anything else would ask the server
        os.readlink(path)
        path = os.path.realpath(path)
    mount = mountns.mount_at(path, mountns.table())
    if mount is None or mount.fstype != FSTYPE or mount.point != path:
        raise RunError(
            f"--in {directory}: no kdumpfs is mounted there; `kdumpfs mount {directory}` first"
        )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(ANSWER_S)
        connection.connect(door.name(mount.device))
        if door.peer(connection) not in (0, os.geteuid()):
            raise ConnectionRefusedError
        init.say(connection, "joins", wanted)
        word, text, _ = init.hear(connection)
        if word != "facts":
            raise ConnectionResetError
        connection.settimeout(None)
    except TimeoutError:
        raise silent(directory, server_of(mount.device)) from None
    except OSError:
        raise RunError(
            f"--in {directory}: its server lets no run in; it was mounted by another user, in another"
            " network namespace, or by another version"
        ) from None
    return connection, text
