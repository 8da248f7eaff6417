"""The dumps of real kernels' /sys and /proc against the emulated tree: `python -m tests.sysfs_dump CASE_DIR...`.

A dump is a list of rows: path, type, mode, size, and text, b64, target or an errno. The case's machine
is booted, its steps are replayed up to the point where the dump was taken, and every name, type, mode,
size, target and content is compared, in both directions. What differs must stand in the table
(tests/sysfs_dump_table.py) with the reason.
"""

from __future__ import annotations

import base64
import errno
import gzip
import json
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.record import replace
from fsmount.tree.kernfs import Node
from tests.replay.machine import Json
from tests.replay.run import Run
from tests.sysfs_dump_table import CONFIG, LIVE, TABLE, Entry

TYPES = {stat.S_IFDIR: "dir", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
FILES_ONLY = ("/sys/kernel",)
"""Directories of which a dump lists the files, but not the directories."""
STEP_ENDS = ("boot", "crash")
"""Operations after which the machine is another one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One path: what differs (missing, extra, type, mode, size, target, content), and how."""

    path: str
    what: str
    expected: object = ""
    got: object = ""

    def __str__(self) -> str:
        if self.what in ("missing", "extra"):
            return f"{self.path}: {self.what}"
        return f"{self.path}: {self.what}: expected {self.expected!r}, got {self.got!r}"


@dataclass(slots=True)
class Comparison:
    """One dump against the tree: how many paths agree, what differs, which entries explain it."""

    dump: Path
    arch: str
    agreed: int = 0
    live: int = 0
    """Files compared by their form alone."""
    explained: list[tuple[Difference, Entry]] = field(default_factory=list)
    unexplained: list[Difference] = field(default_factory=list)
    used: set[Entry] = field(default_factory=set)

    def __str__(self) -> str:
        return (
            f"{self.dump.parent.name}/{self.dump.name}: {self.agreed} paths agree "
            f"({self.live} by form), {len(self.explained)} differences are in the table, "
            f"{len(self.unexplained)} are not"
        )


def rows_of(dump: Path) -> dict[str, Json]:
    """The rows by path; the last one where a path was dumped twice.

    Those of x86_64 are in another form, {path: row}, with `data` for text.
    """
    with gzip.open(dump) as file:
        rows = json.load(file)
    if isinstance(rows, list):
        return {row["path"]: row for row in rows}
    return {
        path: {"text" if key == "data" else key: value for key, value in row.items()}
        for path, row in rows.items()
    }


def content_of(row: Json) -> bytes:
    """What a row says of a file's content; empty if nothing."""
    return base64.b64decode(row["b64"]) if "b64" in row else row.get("text", "").encode("latin-1")


def config_of(rows: dict[str, Json]) -> dict[str, bool]:
    """The kernel's configuration, as the dump tells it.

    Each option is told by one path or one word in it: that says nothing then, all the rest does.
    """
    return {
        option: any(
            re.fullmatch(pattern, path)
            and "stat_errno" not in row
            and re.search(word.encode(), content_of(row))
            for path, row in rows.items()
        )
        for option, (pattern, word) in CONFIG.items()
    }


class DumpRun(Run):
    """A replay with what replay.json does not say: the kernel's configuration and the processors' type."""

    def __init__(self, case: Json, case_dir: Path, rows: dict[str, Json]) -> None:
        self._config = config_of(rows)
        cpu0 = "/sys/devices/system/cpu/cpu0"
        self._core = self._compatible = ""
        if target := rows.get(f"{cpu0}/of_node", {}).get("target"):
            self._core = target.rpartition("/")[2].partition("@")[0]
        if m := re.search("OF_COMPATIBLE_0=(.*)", rows.get(f"{cpu0}/uevent", {}).get("text", "")):
            self._compatible = m[1]
        # On ppc64 it follows from the type of the cores.
        features = rows.get("/sys/devices/system/cpu/modalias", {}).get("text", "").rstrip()
        self._modalias = features if case["arch"] != "ppc64" else ""
        captured = json.loads((case_dir / "machine.json").read_text())
        smp = re.search(r"cores=(\d+)", " ".join(captured.get("qemu_args", ())))
        self._cores_per_package = int(smp[1]) if smp else 0
        super().__init__(case, case_dir)

    def boot(self, first: int) -> None:
        """As Run.boot()."""
        cpus = replace(
            self.machine.cpus,
            type=self._core or self.machine.cpus.type,
            compatible=self._compatible,
            modalias=self._modalias,
            cores_per_package=self._cores_per_package,
        )
        self.machine = replace(self.machine, cpus=cpus, config=self._config)
        super().boot(first)


def signature(rows: dict[str, Json]) -> dict[str, object]:
    """What tells the point of the case at which a dump was taken."""
    blocks = {
        int(m.group(1)): rows[path].get("text", "").strip()
        for path in rows
        if (m := re.fullmatch(r"/sys/devices/system/memory/memory(\d+)/state", path))
    }
    simple = (
        "/sys/kernel/kexec_crash_loaded",
        "/sys/kernel/kexec/crash_loaded",
        "/sys/kernel/kexec_crash_size",
        "/sys/devices/system/memory/crash_hotplug",
        "/sys/devices/system/cpu/online",
        "/sys/devices/system/cpu/present",
    )
    return {
        "blocks": blocks,
        **{p: rows[p]["text"].strip() for p in simple if "text" in rows.get(p, {})},
    }


def signature_of(run: Run, like: dict[str, object]) -> dict[str, object]:
    """The same of a machine that is being replayed."""
    memory = run.kernel.memory
    blocks = {n: b.state.value for n in memory.block_ids() if (b := memory.block(n))}
    return {"blocks": blocks, **{p: run.read(p) for p in like if p != "blocks"}}


def replayed(dump: Path, rows: dict[str, Json]) -> Run:
    """The machine at the last end of a captured step at which it looks as the dump does.

    ValueError if it never does. A dump called unloaded was taken before the first step.
    """
    case: Json = json.loads((dump.parent / "replay.json").read_text())
    wanted = signature(rows)
    first = "unloaded" in dump.name or "before-load" in dump.name
    ends = [0] if first else _ends(case["steps"])
    zones = {p: row["text"].strip() for p, row in rows.items() if p.endswith("/valid_zones")}
    found = None
    run = DumpRun(case, dump.parent, rows)
    done, exactly = 0, False
    for end in ends:
        for index in range(done, end):
            run.step(index, case["steps"][index])
        done = end
        if signature_of(run, wanted) == wanted:
            as_dumped = all(run.read(path) == zone for path, zone in zones.items())
            if as_dumped or not exactly:  # zones choose between points that look alike
                found, exactly = end, as_dumped
    if found is None:
        raise ValueError(f"{dump}: the case is never as this dump shows it: {wanted}")
    if found != done:
        run = DumpRun(case, dump.parent, rows)
        for index in range(found):
            run.step(index, case["steps"][index])
    return run


def _ends(steps: list[Json]) -> list[int]:
    """How many steps are done at the end of each captured step of the first boot."""
    ends = []
    for i, step in enumerate(steps):
        if step["do"]["op"] in STEP_ENDS:
            break
        following = steps[i + 1] if i + 1 < len(steps) else {}
        if following.get("captured", -1) != step.get("captured"):
            ends.append(i + 1)
    return [0, *ends]


def compare(dump: Path) -> Comparison:
    """Every path of a dump against the tree, and the names that only the tree has."""
    rows = rows_of(dump)
    run = replayed(dump, rows)
    result = Comparison(dump, run.case["arch"])
    for path, row in rows.items():
        live = any(entry.is_about(result.arch, path) for entry in LIVE)
        differences = list(_compare_row(run, path, row, result))
        result.agreed += not differences
        result.live += live and not differences
        _file(result, differences)
    _file(result, list(_extra(run, rows)))
    return result


def _file(result: Comparison, differences: list[Difference]) -> None:
    for difference in differences:
        for entry in TABLE:
            if entry.what == difference.what and entry.is_about(result.arch, difference.path):
                result.explained.append((difference, entry))
                result.used.add(entry)
                break
        else:
            result.unexplained.append(difference)


def _node(run: Run, path: str, row: Json) -> Node | None:
    """The tree's node of a row: the link itself if the row is a link, else what it leads to."""
    try:
        if row.get("type") == "link":
            return run.tree.lookup(path)
        return run.lookup(path)
    except KernelError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise


def _compare_row(run: Run, path: str, row: Json, result: Comparison) -> Iterator[Difference]:
    node = _node(run, path, row)
    if "stat_errno" in row:
        if node is not None:
            yield Difference(path, "extra")
        return
    if node is None:
        yield Difference(path, "missing")
        return
    found = run.tree.getattr(node)
    got_type = TYPES[stat.S_IFMT(found.mode)]
    if got_type != row["type"]:
        yield Difference(path, "type", row["type"], got_type)
        return
    mode = f"{stat.S_IMODE(found.mode):04o}"
    if mode != row.get("mode", mode):
        yield Difference(path, "mode", row["mode"], mode)
    if found.size != row.get("size", found.size):
        yield Difference(path, "size", row["size"], found.size)
    if row["type"] == "link":
        if run.tree.readlink(node) != row["target"]:
            yield Difference(path, "target", row["target"], run.tree.readlink(node))
    elif row["type"] == "file":
        yield from _compare_content(run, node, path, row, result)


def _compare_content(
    run: Run, node: Node, path: str, row: Json, result: Comparison
) -> Iterator[Difference]:
    """Bytes, or the errno of reading; the form alone where the content is live."""
    if "read_errno" in row:
        expected: object = row["read_errno"]
    elif "b64" in row or "text" in row:
        expected = content_of(row)
    else:
        return  # write-only, or a dump of names
    try:
        got: object = run.tree.content(node)
    except KernelError as error:
        got = errno.errorcode[error.errno]
    for entry in LIVE:
        if entry.is_about(result.arch, path):
            result.used.add(entry)
            expected, got = (form(v, entry) if isinstance(v, bytes) else v for v in (expected, got))
            break
    if expected != got:
        yield Difference(path, "content", expected, got)


def form(content: bytes, entry: Entry) -> str:
    """A text with every number made alike, however wide, but where it is aligned: there it ends.

    Lines of things that are not emulated are left out.
    """
    text = re.sub(entry.without, "", content.decode("latin-1"))
    return re.sub(rf"( *)({entry.number})", _alike, text)


def _alike(match: re.Match[str]) -> str:
    blanks, number = match.groups()
    return " " * (len(blanks) + len(number) - 1) + "N" if len(blanks) > 1 else f"{blanks}N"


def _extra(run: Run, rows: dict[str, Json]) -> Iterator[Difference]:
    """Names that the tree has and the dump has not, in directories that the dump lists."""
    listed: dict[str, set[str]] = {}
    for path in rows:
        parent, _, name = path.rpartition("/")
        listed.setdefault(parent, set()).add(name)
    for path, row in rows.items():
        listed.setdefault(path, set()).update(row.get("names", ()))
        if row.get("type") != "dir" or not listed[path]:
            continue
        node = _node(run, path, row)
        if node is None:
            continue
        for name, kind in sorted(run.tree.names(node)):
            if kind == stat.S_IFDIR and path in FILES_ONLY:
                continue
            if name not in listed[path]:
                yield Difference(f"{path}/{name}", "extra")


def dumps_of(case: Path) -> list[Path]:
    """The dumps of a case's folder."""
    return sorted(case.glob("sysfs-dump*.json.gz"))


def markdown() -> str:
    """The table for docs/fidelity.md."""
    what = {
        "missing": "not emulated",
        "extra": "only emulated",
        "form": "form only",
        "size": "other size",
        "content": "other content",
    }
    rows = [
        f"| `{entry.pattern.replace('|', chr(92) + '|')}` | {what[entry.what]} | {entry.reason} |\n"
        for entry in LIVE + TABLE
    ]
    return "| path (regular expression) | what | why |\n|---|---|---|\n" + "".join(rows)


def main(args: list[str]) -> int:
    """Compare the dumps of each case; 0 only if every difference is in the table."""
    if args == ["--table"]:
        sys.stdout.write(markdown())
        return 0
    verbose = "-v" in args
    cases = [Path(a) for a in args if a != "-v"]
    for case in cases:
        if not (case / "replay.json").is_file() or not dumps_of(case):
            sys.stderr.write(f"{case}: expected a case's folder, with replay.json and a dump\n")
            return 2
    if not cases:
        sys.stderr.write("usage: python -m tests.sysfs_dump [-v] CASE_DIR... | --table\n")
        return 2
    failed = False
    for dump in (d for case in cases for d in dumps_of(case)):
        result = compare(dump)
        for difference in result.unexplained:
            sys.stdout.write(f"  {difference}\n")
        if verbose:
            for difference, entry in result.explained:
                sys.stdout.write(f"  in the table: {difference}: {entry.reason}\n")
        sys.stdout.write(f"{result}\n")
        failed |= bool(result.unexplained)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
