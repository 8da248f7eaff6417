"""One server for a long time: its memory and descriptors, while tools of all kinds use it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from fsmount.host.mounting import server_pid
from tests.soak.kill import KDUMPFS, PROJECT, _environment

GROWS_KB = 8192
"""How much more a server may hold at the end than after its first minute (or third) of use."""
TOOLS = """
while :; do
  for block in 20 25 30; do
    echo offline > sys/devices/system/memory/memory$block/state
    cat sys/kernel/kexec/crash_elfcorehdr_print > /dev/null
    echo online > sys/devices/system/memory/memory$block/state
  done
  echo memory remove count 3 > sys/kernel/dlpar
  echo memory add count 3 > sys/kernel/dlpar
  ls -lR sys/devices/system/memory > /dev/null
  cat proc/iomem proc/cpuinfo proc/meminfo sys/devices/system/node/node0/* > /dev/null
  dd if=dev/kmsg iflag=nonblock of=/dev/null
  timeout 0.05 cat dev/kmsg > /dev/null
  cat nothing sys/kernel/kexec_crash_size < sys/kernel
  kdumpfs load .; kdumpfs unload .; kdumpfs load --legacy --hotplug .
  kdumpfs plug . memory 256M; kdumpfs unplug . memory 0x400000000 256M
  elfcorehdr print . ; elfcorehdr check .
done > /dev/null 2>&1
"""


class Endured(NamedTuple):
    """KiB held and descriptors, over time; `wrong` must be empty."""

    samples: list[tuple[int, int]]
    wrong: list[str]


def endured(seconds: float) -> Endured:
    """Use one server for so long."""
    samples: list[tuple[int, int]] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([*KDUMPFS, "mount", "--load", directory], cwd=PROJECT, check=True)
        pid = server_pid(directory)
        assert pid is not None
        users = [
            subprocess.Popen(["bash", "-c", TOOLS], cwd=directory, env=_environment(), start_new_session=True)
            for _ in range(2)
        ]  # fmt: skip
        try:
            began = time.monotonic()
            while (passed := time.monotonic() - began) < seconds:
                time.sleep(min(seconds / 12, 20))
                if passed > min(60, seconds / 3):
                    samples.append((_held(pid), 0))
        finally:
            for user in users:
                os.killpg(user.pid, 9)
                user.wait()
        time.sleep(0.3)
        samples.append((_held(pid), len(os.listdir(f"/proc/{pid}/fd"))))
        done = subprocess.run(
            [*KDUMPFS, "umount", directory],
            cwd=PROJECT,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            wrong.append(done.stderr)
    if samples[-1][0] - samples[0][0] > GROWS_KB:
        wrong.append(f"the server has grown from {samples[0][0]} to {samples[-1][0]} KiB")
    if samples[-1][1] > 12:
        wrong.append(f"the server holds {samples[-1][1]} descriptors when nobody uses it")
    return Endured(samples, wrong)


def _held(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has ended")


if __name__ == "__main__":
    sys.stdout.write(f"{endured(float(sys.argv[1]))}\n")
