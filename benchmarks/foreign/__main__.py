"""Programs of another architecture in `kdumpfs run`: what an emulated drmgr and kexec cost.

`python -m benchmarks.foreign [--native DRMGR]` fetches Debian's ppc64el packages (or takes --package)
and measures, inside one run on pseries-16g: adding and removing memory with drmgr, beside a native
build of the same source in alternating rounds if one is given; the mail's kexec line with a 20 MiB
image; and programs that do nothing. Wall clock, lower quartiles: others on the machine only add; and
processor time, of all processes of the run, which others do not touch. What the emulator takes by itself, for `drmgr --help`
without kdumpfs, is the floor.

A native drmgr is made of Debian's sources: powerpc-utils' src/drmgr/*.c (as in its Makefile.am) and
librtas' librtas_src/*.c, compiled with -D__NR_rtas=255, linked with -lnuma.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.measure import PROJECT

AIM_TIMES, MOST_SECONDS = 3.0, 2.0
"""A foreign drmgr was to take so many times the native one's time, which qemu-user alone exceeds; kexec
takes at most so many seconds."""
ROUNDS = 15
IMAGE = 20 << 20

# Each line printed is a name and nanoseconds. The first round of each is dropped.
SCRIPT = """
t() {{ local name=$1 from; shift; from=$(date +%s%N); "$@" > /dev/null 2>&1 || echo "failed: $*" >&2; echo "$name $(($(date +%s%N) - from))"; }}
cat /boot-image > /boot/vmlinux; head -c 100000 /dev/zero > /boot/initrd
for round in $(seq {rounds}); do
    for drmgr in {drmgrs}; do t $drmgr-add $drmgr -c mem -a -q 1; t $drmgr-remove $drmgr -c mem -r -q 1; done
    t kexec kexec --initrd=/boot/initrd /boot/vmlinux --append=x -pds
    t nothing kexec --version
    t true /bin/true
done
"""


def elf_image(size: int) -> bytes:
    """A vmlinux for ppc64le of that size: one segment at 0, which is what kexec-tools and the kernel look at."""
    import struct

    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, 21, 1, 0, 64, 0, 2, 64, 56, 1, 0, 0, 0)
    row = struct.pack("<IIQQQQQQ", 1, 7, 0x10000, 0, 0, size - 0x10000, size - 0x10000, 0x10000)
    return (head + row).ljust(size, b"\0")


def processor_ms(command: list[str]) -> float:
    """Of a command and all that it starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    quiet = subprocess.DEVNULL
    subprocess.run(command, cwd=PROJECT, stdout=quiet, stderr=quiet, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent * 1000


def each_ms(run: list[str], drmgr: str) -> float:
    """Processor time of one call of drmgr in a run, the server's included; the median of five slopes."""

    def pairs(count: int) -> float:
        script = f"for i in $(seq {count}); do {drmgr} -c mem -a -q 1; {drmgr} -c mem -r -q 1; done 2> /dev/null"
        return processor_ms([*run, "bash", "-c", script])

    return statistics.median((pairs(12) - pairs(2)) / 20 for _ in range(5))


def alone_ms(packages: tuple[str, ...]) -> float:
    """The emulator's own, without us: the least of nine."""
    (emulator,) = (p for name in packages if (p := Path(name, "usr/bin/qemu-ppc64le")).exists())
    tree = next(name for name in packages if Path(name, "usr/sbin/drmgr").exists())
    command = [str(emulator), "-L", tree, f"{tree}/usr/sbin/drmgr", "--help"]
    return min(processor_ms(command) for _ in range(9))


@click.command()
@click.option("--native", type=click.Path(exists=True, dir_okay=False, resolve_path=True))
@click.option(
    "--package", "packages", multiple=True, type=click.Path(exists=True, resolve_path=True)
)
def main(native: str | None, packages: tuple[str, ...]) -> None:
    """Measure; exit status 1 if a target is missed."""
    with tempfile.TemporaryDirectory(prefix="kdumpfs-bench-") as work:
        tool = [sys.executable, "-m", "fsmount.cli.main"]
        if not packages:
            fetch = [
                "userland",
                "--suite",
                "sid",
                "--qemu",
                "ppc64le",
                "kexec-tools",
                "powerpc-utils",
            ]
            subprocess.run([*tool, *fetch, "-o", f"{work}/ppc"], cwd=PROJECT, check=True)
            packages = (f"{work}/ppc",)
        image = Path(work, "image")
        image.write_bytes(elf_image(IMAGE))
        drmgrs = " ".join(["/usr/sbin/drmgr", *([native] if native else [])])
        script = SCRIPT.format(rounds=ROUNDS + 1, drmgrs=drmgrs).replace("/boot-image", str(image))
        options = [part for package in packages for part in ("--package", package)]
        run = [*tool, "run", *options, "--"]
        argv = [*run, "bash", "-c", script]
        told = subprocess.run(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
        processor = {drmgr: each_ms(run, drmgr) for drmgr in drmgrs.split()}
        alone = alone_ms(packages)
    times: dict[str, list[float]] = {}
    for line in told.stdout.splitlines():
        name, nanoseconds = line.split()
        times.setdefault(name, []).append(int(nanoseconds) / 1e9)
    quick = {name: statistics.quantiles(values[1:], n=4)[0] for name, values in times.items()}
    missed = quick["kexec"] > MOST_SECONDS
    for name, seconds in quick.items():
        click.echo(f"{name:40} {seconds * 1000:8.1f} ms")
    for act in ("add", "remove") if native else ():
        times_ = quick[f"/usr/sbin/drmgr-{act}"] / quick[f"{native}-{act}"]
        click.echo(
            f"foreign drmgr, {act}: {times_:.1f} times the native one's time (the aim: {AIM_TIMES:g})"
        )
    for drmgr, spent in processor.items():
        click.echo(f"{drmgr}: {spent:.1f} ms of processor time a call")
    click.echo(f"the emulator alone, drmgr --help: {alone:.1f} ms")
    if native:
        click.echo(f"{processor['/usr/sbin/drmgr'] / processor[native]:.1f} times the native one's")
    click.echo(
        f"kexec -pds of {IMAGE >> 20} MiB: {quick['kexec']:.2f} s (at most {MOST_SECONDS:g})"
    )
    sys.exit(missed)


if __name__ == "__main__":
    main()
