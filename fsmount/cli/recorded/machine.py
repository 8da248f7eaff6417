"""A machine from a recording: for `-m RECORDING` and `kdumpfs machines --from`."""

from __future__ import annotations

import os
import sys

from elfcorehdr.errors import ProfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.machine import Machine
    from elfcorehdr.machine.derive.main import Derived
    from fsmount.host.recordings.recording import Recording


def derived(recording: Recording, arch: str = "", kernel: str = "") -> Derived:
    """The machine that boots to a recording's files. ProfileError where too little is in it."""
    from elfcorehdr.arch import arch_of
    from elfcorehdr.machine.derive.main import derive

    name = os.path.basename(os.path.normpath(recording.name))
    for ending in (".zst", ".gz", ".xz", ".bz2", ".tgz", ".tar", ".bin", ".txt"):
        name = name.removesuffix(ending)
    try:
        return derive(
            recording, name, lambda one: arch_of(one).cpuinfo_rows(), arch=arch, release=kernel
        )
    except ProfileError as error:
        raise ProfileError(f"{recording.name}: {error}") from None


def recorded_machine(path: str) -> Machine:
    """As derived(), of a file or directory."""
    from fsmount.host.recordings.recording import read_recording

    recording = read_recording(path)
    for sentence in recording.mended:
        sys.stderr.write(f"kdumpfs: {path}: {sentence}\n")
    return derived(recording).machine


def as_toml(path: str, arch: str, kernel: str, iomem: str | None = None) -> str:
    """`kdumpfs machines --from`: the machine's file, with what could not be known at its top."""
    from elfcorehdr.machine.reader import from_toml
    from elfcorehdr.machine.writer import to_toml
    from fsmount.cli.recorded.header import is_header, recording_of_header
    from fsmount.host.recordings.recording import check_kind, read_recording

    check_kind(path)
    header = is_header(path)
    recording = recording_of_header(path, iomem) if header else read_recording(path)
    found = derived(recording, arch, kernel)
    comments = [f"Derived from {os.path.basename(path)} by `kdumpfs machines --from`."]
    comments += [f"Mended: {what}" for what in recording.mended]
    comments += [f"Not known: {what}" for what in found.missing]
    text = to_toml(found.machine, tuple(comments))
    from_toml(text, path)
    return text
