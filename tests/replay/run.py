"""Does the steps of a case and compares what was seen."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from elfcorehdr import changes
from elfcorehdr.drivers.base.memory import OnlineType
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import (
    KEXEC_CRASH_HOTPLUG_SUPPORT,
    KEXEC_FILE_DEBUG,
    KEXEC_FILE_NO_INITRAMFS,
    KEXEC_FILE_ON_CRASH,
    KEXEC_FILE_UNLOAD,
    KEXEC_ON_CRASH,
    KEXEC_UPDATE_ELFCOREHDR,
)
from elfcorehdr.kexec_tools import x86_64 as kexec_tools
from elfcorehdr.machine import Region
from fsmount import procfs, sysfs
from fsmount.tree.kernfs import Tree
from tests.replay import compare, files
from tests.replay.checks import Checks
from tests.replay.machine import Json, boot_options, build, number
from tests.replay.verdict import Verdict


class CannotReplayError(Exception):
    """Something in the step that this replay does not know how to do."""


def replay(case_dir: Path) -> Iterator[Verdict]:
    """Every step of a case, in order."""
    case = json.loads((case_dir / "replay.json").read_text())
    if "boots" in case:
        from tests.replay.boots import replay_boots

        yield from replay_boots(case)
        return
    run = Run(case, case_dir)
    yield run.at_boot()
    for i, step in enumerate(case["steps"]):
        yield run.step(i, step)


class Run(Checks):
    """One case under way."""

    def __init__(self, case: Json, case_dir: Path) -> None:
        self.case = case
        self.dir = case_dir
        self.machine = build(case)
        self.boot(0)

    def boot(self, first: int) -> None:
        """Start the machine (again); first is the index of the first step of this boot."""
        steps: list[Json] = []
        for step in self.case["steps"][first:]:
            if step["do"]["op"] == "boot":
                break
            steps.append(step)
        options = boot_options(self.case, steps)
        self.kernel = Kernel.boot(
            self.machine,
            self.case["kernel"]["release"],
            also=options.also,
            without=options.without,
            dynamic_debug=options.dynamic_debug,
        )
        # Where it is mounted, files are the server's user's.
        mine = (os.geteuid(), os.getegid())
        self.tree = Tree(self.kernel, [*sysfs.GROUPS, *procfs.GROUPS], owner=mine)
        self.last_header: bytes | None = None
        self.log_kept_for_later: int | None = None
        self.dead_log: list[str] = []

    # steps

    def step(self, index: int, step: Json) -> Verdict:
        """Do one step and compare."""
        do, seen = step["do"], step["seen"]
        verdict = Verdict(step["n"], describe(do))
        log_from, rebuilds = self.kernel.log.next_seq, self.kernel.crash_hp.rebuilds
        if self.log_kept_for_later is not None:
            log_from = self.log_kept_for_later
        later = "log" not in seen and self.same_captured_step(index)
        self.log_kept_for_later = log_from if later else None
        uevents_from = self.kernel.uevents.seqnum
        code: int | None = None
        try:
            getattr(self, f"do_{do['op']}")(index, do, seen, verdict)
        except KernelError as error:
            code = error.errno
        except (CannotReplayError, AttributeError, KeyError) as error:
            verdict.differs.append(f"cannot be replayed: {error!r}")
            return verdict
        if do["op"] == "boot":
            log_from = uevents_from = rebuilds = 0
        self.check_errno(verdict, do, seen, code)
        log_to = self.kernel.log.next_seq  # looking may log too
        with compare.Surroundings(self.kernel, [], False, environment_locked(do, seen)):
            self.check_state(verdict, seen)
        self.check_header(verdict, do, seen)
        if "rebuilds" in seen:
            verdict.check("rebuilds", seen["rebuilds"], self.kernel.crash_hp.rebuilds - rebuilds)
        if "log" in seen and do["op"] != "other":  # an `other` is not done, so it says nothing
            texts = [r.text for r in self.kernel.log if log_from <= r.seq < log_to]
            texts = self.dead_log if do["op"] == "crash" else texts
            expected, got = compare.log_lines(seen["log"]), compare.log_lines(texts)
            if self.case["arch"] == "arm64" and len(seen["log"]) == compare.ARM64_LOG_LIMIT:
                got = got[: len(expected)]
            verdict.check_lines("log", expected, got)
        self.check_blocks(verdict, do, seen, uevents_from)
        if "uevents" in seen:
            events = [str(e) for e in self.kernel.uevents.kept if e.seqnum > uevents_from]
            verdict.check_lines(
                "uevents", compare.uevents(seen["uevents"]), compare.uevents(events)
            )
        for name in seen.keys() - compare.KNOWN:
            verdict.differs.append(f"{name}: seen, but not compared")
        return verdict

    def same_captured_step(self, index: int) -> bool:
        """Whether the next step belongs to the same captured one, so that this one's log is told with it."""
        if index + 1 >= len(self.case["steps"]):
            return False
        this, following = self.case["steps"][index], self.case["steps"][index + 1]
        if "captured" in this or "captured" in following:
            return bool(this.get("captured") == following.get("captured"))
        return "uevents" in this["seen"] and this.get("note") == following.get("note")

    # operations

    def do_boot(self, index: int, do: Json, seen: Json, verdict: Verdict) -> None:
        """The same machine again."""
        self.boot(index + 1)

    def do_write(self, index: int, do: Json, seen: Json, verdict: Verdict) -> None:
        """One write(2) as root, after what the case says of the surroundings was arranged."""
        data = do["data"].encode("latin-1")
        with self.surroundings(do, seen):
            try:
                file = self.tree.open(self.lookup(do["path"]), os.O_WRONLY | os.O_TRUNC)
            except KernelError:
                if "errno" in seen:
                    verdict.check("errno_at", "open", seen.get("errno_at", "open"))
                raise
            try:
                written = file.write(data, 0)
                if "ret" in seen:
                    verdict.check("ret", seen["ret"], written)
                if "errno_at" in seen:
                    verdict.check("errno_at", seen["errno_at"], None)
            finally:
                if "value" in seen:
                    verdict.check("value", seen["value"], self.content(do["path"]))

    def surroundings(self, do: Json, seen: Json) -> compare.Surroundings:
        """What the running system kept in memory, and what its firmware refused, during this step."""
        pinned = [int(n) for n in seen.get("refused", ())]
        firmware = False
        if seen.get("environment"):
            if m := re.search(r"/memory(\d+)/(state|online)$", do.get("path", "")):
                pinned.append(int(m.group(1)))
            firmware = do.get("path", "").endswith("dlpar") and " add " in do["data"]
        locked = environment_locked(do, seen)
        size = self.kernel.memory.block_size
        return compare.Surroundings(
            self.kernel, [Region(n * size, size) for n in pinned], firmware, locked
        )

    def do_load(self, index: int, do: Json, seen: Json, verdict: Verdict) -> None:
        """kexec_load or kexec_file_load of a crash image."""
        with compare.Surroundings(self.kernel, [], False, environment_locked(do, seen)):
            self.load(index, do, seen, verdict)

    def load(self, index: int, do: Json, seen: Json, verdict: Verdict) -> None:
        """The load itself."""
        if do.get("fails") is True and self.case["arch"] != "ppc64":
            kexec_tools.reserved(self.kernel)
            # kexec(8) gave up for a reason of its own: no system call was made.
            raise KernelError(errno.EADDRNOTAVAIL, "kexec(8) gave up")
        if do["syscall"] == "kexec_load":
            self.kexec_load(do, verdict)
            return
        log = seen.get("log", ())
        flags = number(do.get("flags", KEXEC_FILE_ON_CRASH))
        if any(line.startswith(("kexec_file:", "crash_core: Crash")) for line in log):
            flags |= KEXEC_FILE_DEBUG
        what = f"{do.get('what', '')} {self.case['steps'][index].get('label', '')}"
        given = files.of_words(self.case["arch"], what)
        given = files.with_size(given, log)
        if given == files.Files():
            given = files.of_log(self.case["arch"], log)
        kernel_file, initrd, cmdline = given
        if "flags" not in do and not self.machine.kdump.initrd and initrd is None:
            flags |= KEXEC_FILE_NO_INITRAMFS
        self.kernel.kexec.file_load(kernel_file, initrd, cmdline, flags)
        image = self.kernel.kexec.crash_image
        if image is not None and "elfcorehdr" in do:
            segment = image.elfcorehdr()
            assert segment is not None
            verdict.check("elfcorehdr at", number(do["elfcorehdr"]["start"]), segment.mem)
            if "memsz" in do["elfcorehdr"]:
                verdict.check("memsz", number(do["elfcorehdr"]["memsz"]), segment.memsz)

    def kexec_load(self, do: Json, verdict: Verdict) -> None:
        """The segments that matter: the header that user space made, and on ppc64 a device tree."""
        kernel = self.kernel
        at = number(do["elfcorehdr"]["start"])
        if "user_header" in do:
            header = (self.dir / do["user_header"]).read_bytes()
        else:
            from elfcorehdr.kernel.crash_core import crash_prepare_elf64_headers

            header = bytes(crash_prepare_elf64_headers(kernel, kernel.arch.crash_ranges(kernel)))
        memsz = number(do["elfcorehdr"].get("memsz", 0x80000))
        if self.case["arch"] == "x86_64" and "backup" in do:
            compare.check_kexec_tools(verdict, kernel, do, header, memsz)
        segments = [(header, len(header), at, memsz)]
        region = kernel.kexec.crashk_res
        if self.case["arch"] == "ppc64" and region is not None:
            page = kernel.page_size
            segments.append((b"\xd0\x0d\xfe\xed\0\0\0\x08", 8, region.end + 1 - page, page))
        flags = KEXEC_ON_CRASH
        if do.get("hotplug"):
            new = kernel.has(changes.KEXEC_CRASH_HOTPLUG_FLAG)
            flags |= KEXEC_CRASH_HOTPLUG_SUPPORT if new else KEXEC_UPDATE_ELFCOREHDR
        kernel.kexec.load(at, segments, number(do["flags"]) if "flags" in do else flags)

    def do_unload(self, index: int, do: Json, seen: Json, verdict: Verdict) -> None:
        """Unload the crash image."""
        if do.get("syscall") == "kexec_file_load":
            flags = KEXEC_FILE_UNLOAD | KEXEC_FILE_ON_CRASH
            self.kernel.kexec.file_load(None, None, b"", number(do.get("flags", flags)))
        else:
            self.kernel.kexec.load(0, [], KEXEC_ON_CRASH)

    def do_plug_memory(self, index: int, do: Json, seen: Json, verdict: Verdict) -> None:
        """The hypervisor adds memory."""
        self.kernel.platform.plug_memory(
            number(do["start"]), number(do["size"]), do.get("node", 0), do.get("as", "dimm")
        )
        for n in do.get(
            "onlined", ()
        ):  # what the policy left offline, the guest's user space onlined
            block = self.kernel.memory.block(int(n))
            if block is not None and not block.online:
                self.kernel.memory_hotplug.online(block, OnlineType.ONLINE)

    def do_unplug_memory(self, index: int, do: Json, seen: Json, verdict: Verdict) -> None:
        """The hypervisor takes memory back, or fails to."""
        size = self.kernel.memory.block_size
        refused = [Region(int(n) * size, size) for n in do.get("refused", ())]
        with compare.Surroundings(self.kernel, refused, False):
            try:
                self.kernel.platform.unplug_memory(
                    number(do["start"]),
                    number(do["size"]),
                    do.get("as", "dimm"),
                    do.get("offlined", ()),
                )
            except KernelError:
                if do.get("removed", True):
                    raise
                verdict.agreed.append("refused")

    def do_plug_cpu(self, index: int, do: Json, seen: Json, verdict: Verdict) -> None:
        """The hypervisor adds CPUs; on ppc64 the label tells the core."""
        label = self.case["steps"][index].get("label", "")
        core = re.search(r"core (\d+)", label)
        slots = [int(core.group(1))] if core else do["cpus"]
        if "slot" in do:
            slots = [do["slot"]]
        if self.case["arch"] == "ppc64":
            slots = slots[:1]  # one core brings all its threads
        ids = [n for slot in slots for n in self.kernel.platform.plug_cpu(slot, do.get("node", 0))]
        verdict.check("cpus", do["cpus"], ids)

    def do_unplug_cpu(self, index: int, do: Json, seen: Json, verdict: Verdict) -> None:
        """The hypervisor takes CPUs away."""
        for n in do["cpus"]:
            self.kernel.platform.unplug_cpu(n)

    def do_crash(self, index: int, do: Json, seen: Json, verdict: Verdict) -> None:
        """sysrq c: what the dying kernel said is kept, its capture kernel's log begins anew."""
        log, boots = self.kernel.log, self.kernel.boots
        since = log.next_seq

        def keep() -> None:
            if self.kernel.boots == boots:
                self.dead_log = [r.text for r in log if r.seq >= since]

        log.listeners.append(keep)
        self.kernel.panic.sysrq("c")
        log.listeners.remove(keep)

    def do_other(self, index: int, do: Json, seen: Json, verdict: Verdict) -> None:
        """Nothing, but for loads of a normal image that are told in words."""
        what = do.get("what", "")
        m = re.match(r"kexec_file_load flags (0x[0-9a-f]+): (un)?load (a|the) normal", what)
        if m:
            kernel_file, initrd, cmdline = files.of_words(self.case["arch"], what)
            self.kernel.kexec.file_load(kernel_file, initrd, cmdline, number(m.group(1)))


def environment_locked(do: Json, seen: Json) -> bool:
    """Whether the kexec lock was left held by an oops of the captured kernel before this step."""
    busy = "EBUSY" in (seen.get("errno"), do.get("fails"))
    said = any("kexec_trylock() failed" in line for line in seen.get("log", ()))
    about_kexec = do["op"] in ("load", "unload") or "crash_size" in do.get("path", "")
    return bool(seen.get("environment")) and (said or (busy and about_kexec))


def describe(do: Json) -> str:
    """A step in a few words."""
    rest = " ".join(
        f"{v!r}" if k == "data" else str(v)
        for k, v in do.items()
        if k not in ("op", "elfcorehdr", "backup") and not isinstance(v, dict | list)
    )
    return f"{do['op']} {rest}"[:110]
