"""Where programs are looked for. kexec, kdump-config and chmem are in sbin, which an ordinary user's PATH lacks."""

from __future__ import annotations

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""What root's PATH has besides, on Debian; also in the order of /etc/login.defs' ENV_SUPATH."""


def search_path(path: str) -> str:
    """A PATH with what it lacks of SBIN at its end."""
    listed = path.split(":")
    return ":".join([path, *(place for place in SBIN if place not in listed)])
