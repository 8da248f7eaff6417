"""What is clicked, as a shell line that does the same in a mounted tree, and back."""

from __future__ import annotations

import json
import shlex
from typing import Any

from elfcorehdr.errors import ProfileError
from elfcorehdr.machine.sizes import parse_size


def line_of(path: str, text: str) -> str:
    """The shell line for a write: `echo offline > sys/...`, of control/'s files the command."""
    name = path.strip("/")
    if name.startswith("control/"):
        try:
            line = _command(name.removeprefix("control/"), json.loads(text or "{}"))
        except (ValueError, AttributeError, TypeError):
            line = ""
        if line:
            return line
    if text.endswith("\n"):
        return f"echo {shlex.quote(text[:-1])} > {shlex.quote(name)}"
    return f"printf %s {shlex.quote(text)} > {shlex.quote(name)}"


def _command(name: str, body: dict[str, Any]) -> str:
    """`kdumpfs NAME . ...`; empty for what no command does."""
    words = ["kdumpfs", name]
    if name in ("load", "unload"):
        words += ["--legacy"] if body.get("syscall") == "kexec_load" else []
        words += ["--hotplug"] if body.get("hotplug") else []
        return " ".join([*words, "."])
    if name in ("plug", "unplug"):
        words += ["--node", str(body["node"])] if body.get("node") else []
        if "cpu" in body:
            return " ".join([*words, ".", "cpu", str(body["cpu"])])
        at = body.get("memory")
        if name == "plug":
            words += ["--at", hex(at)] if at is not None else []
            return " ".join([*words, ".", "memory", hex(body["size"])])
        return " ".join([*words, ".", "memory", hex(at or 0), hex(body["size"])])
    if name == "crash":
        words += ["--panic", shlex.quote(body["panic"])] if "panic" in body else []
        return " ".join([*words, "."])
    if name == "reload":
        return "kdumpfs reload ."
    return ""


def write_of(line: str) -> tuple[str, str]:
    """The path and text of a line as line_of() makes them; ProfileError for any other."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ProfileError(f"--do {line!r:.80}: {error}") from None
    if len(words) >= 3 and words[-2] == ">":
        if words[0] == "echo":
            return words[-1], " ".join(words[1:-2]) + "\n"
        if words[:2] == ["printf", "%s"] and len(words) == 5:
            return words[-1], words[2]
    if words[:1] == ["kdumpfs"] and len(words) > 1 and words[1] in _BODIES:
        options = [word for word in words[2:] if word != "."]
        try:
            return f"control/{words[1]}", json.dumps(_BODIES[words[1]](options))
        except (IndexError, KeyError, ValueError):
            pass
    raise ProfileError(
        f"--do {line!r:.80}: expected `echo TEXT > FILE` or kdumpfs load, unload, plug, unplug, crash, reload"
    )


def _number(text: str) -> int:
    value = parse_size(text)
    if value is None:
        raise ValueError(text)
    return value


def _loading(words: list[str]) -> dict[str, Any]:
    if {*words} - {"--legacy", "--hotplug"}:
        raise ValueError(words)
    body: dict[str, Any] = {"syscall": "kexec_load"} if "--legacy" in words else {}
    return {**body, "hotplug": True} if "--hotplug" in words else body


def _plugging(words: list[str]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    while words[0].startswith("--"):
        key = {"--at": "memory", "--node": "node"}[words[0]]
        body[key], words = _number(words[1]), words[2:]
    if words[0] == "cpu" and len(words) == 2:
        return {**body, "cpu": _number(words[1])}
    if words[0] != "memory" or len(words) != 2:
        raise ValueError(words)
    return {"memory": None, **body, "size": _number(words[1])}


def _unplugging(words: list[str]) -> dict[str, Any]:
    if words[0] == "cpu" and len(words) == 2:
        return {"cpu": _number(words[1])}
    if words[0] != "memory" or len(words) not in (2, 3):
        raise ValueError(words)
    body = {"memory": _number(words[1])}
    return {**body, "size": _number(words[2])} if len(words) == 3 else body


def _crashing(words: list[str]) -> dict[str, Any]:
    if words and (words[0] != "--panic" or len(words) != 2):
        raise ValueError(words)
    return {"panic": words[1]} if words else {}


def _reloading(words: list[str]) -> dict[str, Any]:
    if words:
        raise ValueError(words)
    return {}


def _unloading(words: list[str]) -> dict[str, Any]:
    if {*words} - {"--legacy"}:
        raise ValueError(words)
    return {"syscall": "kexec_load"} if words else {}


_BODIES = {
    "load": _loading,
    "unload": _unloading,
    "plug": _plugging,
    "unplug": _unplugging,
    "crash": _crashing,
    "reload": _reloading,
}
