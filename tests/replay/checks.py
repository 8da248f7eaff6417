"""What is compared after a step, by what the case says was seen."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.vmcore_info import vmcoreinfo_note
from elfcorehdr.lib.ranges import format_ids, parse_ids
from fsmount.tree.kernfs import Node, Tree
from tests.replay import compare
from tests.replay.machine import Json, number
from tests.replay.verdict import Verdict


class Checks:
    """The comparisons; Run does the steps."""

    case: Json
    dir: Path
    kernel: Kernel
    tree: Tree
    last_header: bytes | None

    # the tree, as a mount uses it

    def lookup(self, path: str) -> Node:
        """The node of a path, links followed."""
        path = path.lstrip("/")
        for _ in range(8):
            parts = path.split("/")
            for i in range(1, len(parts) + 1):
                node = self.tree.lookup("/".join(parts[:i]))
                if stat.S_ISLNK(self.tree.getattr(node).mode):
                    target = self.tree.readlink(node)
                    base = "" if target.startswith("/") else "/".join(parts[: i - 1])
                    path = os.path.normpath(os.path.join("/", base, target, *parts[i:])).lstrip("/")
                    break
            else:
                return node
        raise KernelError(errno.ELOOP, path)

    def read(self, path: str) -> str:
        """A file's content without newlines at its end: the captures were stripped of all of them."""
        node = self.lookup(path)
        data = self.tree.open(node, os.O_RDONLY).read(1 << 20, 0)
        return data.decode("latin-1").rstrip("\n")

    def content(self, path: str) -> object:
        """A file's content, or the errno that reading it gives, as `reads` has it."""
        try:
            return self.read(path)
        except KernelError as error:
            return {"errno": errno.errorcode[error.errno]}

    # comparing

    def at_boot(self) -> Verdict:
        """What is known of the machine before the first step, and is not an input."""
        verdict, told = Verdict(-1, "boot"), self.case["machine"]
        if "crash_size" in told:
            verdict.check("crash_size", number(told["crash_size"]), self.kernel.kexec.crash_size())
        if "crash_elfcorehdr_size" in told:
            size = number(told["crash_elfcorehdr_size"])
            verdict.check("crash_elfcorehdr_size", size, self.size_file())
        if "crash_notes_size" in told:
            notes = self.kernel.arch.crash_note_bytes
            verdict.check("crash_notes_size", told["crash_notes_size"], notes)
        if "vmcoreinfo" in told:
            size = number(told["vmcoreinfo"]["size"])
            verdict.check("vmcoreinfo size", size, vmcoreinfo_note(self.kernel)[1])
        for group in told.get("blocks", ()):
            for n in parse_ids(group["blocks"]):
                block = self.kernel.memory.block(n)
                verdict.check(f"block {n}", group["state"], block.state.value if block else None)
                if block is None:
                    continue
                zones = self.read(f"sys/devices/system/memory/memory{n}/valid_zones")
                verdict.check(f"valid_zones {n}", group.get("valid_zones", zones), zones)
                if "node" in group:
                    nodes = self.kernel.memory.nodes(block)
                    verdict.check(f"node of {n}", [group["node"]], nodes)
        return verdict

    def check_blocks(self, verdict: Verdict, do: Json, seen: Json, uevents_from: int) -> None:
        """Which blocks went on- and offline in this step, in order."""
        for key, action in (("onlined", "online@"), ("offlined", "offline@")):
            expected = seen.get(key, do.get(key) if do["op"].endswith("plug_memory") else None)
            if expected is None or do.get("removed") is False:
                continue
            prefix = f"{action}/devices/system/memory/memory"
            events = [str(e) for e in self.kernel.uevents.kept if e.seqnum > uevents_from]
            got = [int(e.removeprefix(prefix)) for e in events if e.startswith(prefix)]
            verdict.check(key, expected, got)

    def check_errno(self, verdict: Verdict, do: Json, seen: Json, code: int | None) -> None:
        """The errno of a write or a load; a load that failed only says that it did, if `fails` is true."""
        got = errno.errorcode[code] if code else None
        if do["op"] == "write":
            if "errno" in seen:
                verdict.check("errno", seen["errno"], got)
        elif do["op"] in ("load", "unload"):
            if do.get("fails") is True:
                verdict.check("fails", True, got is not None)
            else:
                verdict.check("errno", do.get("fails"), got)
        elif code:
            verdict.differs.append(f"{do['op']} failed with {got}")

    def check_state(self, verdict: Verdict, seen: Json) -> None:
        """Everything that says what the machine is now."""
        kernel, kexec = self.kernel, self.kernel.kexec
        simple = {
            "crash_loaded": lambda: int(kexec.crash_image is not None),
            "crash_hotplug": lambda: int(kexec.crash_hotplug()),
            "cpus_online": lambda: format_ids(sorted(kernel.cpus.online)),
            "cpus_present": lambda: format_ids(sorted(kernel.cpus.present)),
        }
        for name, value in simple.items():
            if name in seen:
                verdict.check(name, seen[name], value())
        for name, size in (
            ("crash_size", kexec.crash_size),
            ("crash_elfcorehdr_size", self.size_file),
        ):
            if name in seen:
                try:
                    verdict.check(name, number(seen[name]), size())
                except KernelError as error:
                    verdict.differs.append(f"{name}: expected {seen[name]}, got {error}")
        for n, state in seen.get("blocks", {}).items():
            block = kernel.memory.block(int(n))
            verdict.check(f"block {n}", state, block.state.value if block else None)
        for n, zones in seen.get("valid_zones", {}).items():
            path = f"sys/devices/system/memory/memory{n}/valid_zones"
            verdict.check(f"valid_zones {n}", zones, self.content(path))
        if "memory" in seen:
            compare.check_memory(verdict, kernel, seen["memory"])
        if "system_ram" in seen:
            compare.check_system_ram(verdict, kernel, seen["system_ram"])
        if "nested_memory" in seen:
            compare.check_nested(verdict, kernel, seen["nested_memory"])
        if "resources" in seen:
            compare.check_resources(verdict, kernel, seen["resources"])
        if "vmcore" in seen:
            page_size = kernel.page_size
            header = kernel.vmcore.elfcorehdr if kernel.vmcore else kernel.kexec.elfcorehdr()
            compare.check_vmcore(verdict, self.dir, header, seen["vmcore"], page_size)
        if "crashkernel" in seen:
            compare.check_crashkernel(verdict, kernel, seen["crashkernel"])
        for path, content in seen.get("reads", {}).items():
            verdict.check(path, content, self.content(path))

    def size_file(self) -> int:
        """crash_elfcorehdr_size as the tree has it."""
        return int(self.read("sys/kernel/crash_elfcorehdr_size"))

    def check_header(self, verdict: Verdict, do: Json, seen: Json) -> None:
        """The header's bytes, and whether they changed."""
        got = self.kernel.kexec.elfcorehdr()
        if do["op"] == "load":
            self.last_header = None
        if "header" not in seen:
            return
        if seen["header"] is None:
            verdict.check("no header", None, got)
        else:
            expected = (self.dir / seen["header"]).read_bytes()
            if got == expected:
                verdict.agreed.append(f"header ({len(expected)} bytes)")
            else:
                verdict.differs.append(f"header: {compare.header_difference(expected, got)}")
            compare.check_segment(verdict, self.kernel, self.dir, seen)
        if "changed" in seen and self.last_header is not None:
            verdict.check("changed", seen["changed"], got != self.last_header)
        self.last_header = got
