"""The write batteries of real kernels, each write(2) done on a mounted tree."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from elfcorehdr.errors import KernelError
from fsmount.cli.mount import mount_at
from fsmount.fuse.nodes import NameCache
from tests.replay.machine import Json
from tests.replay.run import Run
from tests.replay.verdict import Verdict

pytestmark = pytest.mark.fuse

GOLDEN = Path(__file__).parent.parent / "golden/kernel"


class MountedRun(Run):
    """A case whose files are opened, read and written through the mount; all else is done by calls."""

    def __init__(self, case: Json, case_dir: Path, mountpoint: Path) -> None:
        super().__init__(case, case_dir)
        self.root = mountpoint

    def read(self, path: str) -> str:
        try:
            fd = os.open(self.root / path.lstrip("/"), os.O_RDONLY)
        except OSError as error:
            raise KernelError(error.errno, path) from None
        try:
            return os.read(fd, 1 << 16).decode("latin-1").rstrip("\n")
        except OSError as error:
            raise KernelError(error.errno, path) from None
        finally:
            os.close(fd)

    def do_write(self, index: int, do: Json, seen: Json, verdict: Verdict) -> None:
        with self.surroundings(do, seen):
            try:
                fd = os.open(self.root / do["path"].lstrip("/"), os.O_WRONLY | os.O_TRUNC)
            except OSError as error:
                if "errno" in seen:
                    verdict.check("errno_at", "open", seen.get("errno_at"))
                    if "value" in seen:
                        verdict.check("value", seen["value"], self.read(do["path"]))
                raise KernelError(error.errno, do["path"]) from None
            try:
                written = os.write(fd, do["data"].encode("latin-1"))
                if "ret" in seen:
                    verdict.check("ret", seen["ret"], written)
            except OSError as error:
                raise KernelError(error.errno, do["path"]) from None
            finally:
                os.close(fd)
                if "value" in seen:
                    verdict.check("value", seen["value"], self.read(do["path"]))


@contextmanager
def mounted(run: MountedRun, directory: Path, kind: str) -> Iterator[None]:
    """The case's machine as it is now, mounted on a directory, served by a thread."""
    mount = mount_at(run.tree, str(directory), names=NameCache.NONE, **{kind: True})
    ready = threading.Event()
    server = threading.Thread(target=mount.serve, args=(ready.set,))
    server.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        mount.stop()
        server.join(10)
        mount.close()


CASES = sorted(
    path.parent
    for path in GOLDEN.glob("[aprx]*/*/replay.json")
    if any(step["do"]["op"] == "write" for step in json.loads(path.read_text()).get("steps", ()))
)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_every_write_of_a_battery_ends_as_on_the_real_kernel(
    case: Path, kind: str, tmp_path: Path
) -> None:
    run = MountedRun(json.loads((case / "replay.json").read_text()), case, tmp_path)
    verdicts: list[Verdict] = []
    steps = list(enumerate(run.case["steps"]))
    while steps:  # a boot is another machine, and another mount
        with mounted(run, tmp_path, kind):
            while steps and steps[0][1]["do"]["op"] != "boot":
                verdicts.append(run.step(*steps.pop(0)))
        if steps:
            verdicts.append(run.step(*steps.pop(0)))
    assert [str(v) for v in verdicts if not v.passed] == []
    writes = [v for v in verdicts if v.what.startswith("write") and "errno" in v.agreed]
    assert writes
