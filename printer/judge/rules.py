"""What check() can find: each rule with why it matters and which kernel change it points to."""

from __future__ import annotations

from enum import IntEnum

from elfcorehdr.lib.record import NamedTuple


class Level(IntEnum):
    """How bad a finding is; the words are SARIF's.

    >>> max(finding.level for finding in check(read("bad.bin"))).word
    'error'
    """

    NOTE = 1
    WARNING = 2
    ERROR = 3

    @property
    def word(self) -> str:
        """note, warning or error."""
        return self.name.lower()


class Rule(NamedTuple):
    """One kind of finding."""

    id: str
    level: Level
    title: str
    why: str
    change: str
    """Where it was seen, or the kernel change or source that it points to."""


_ERROR, _WARNING, _NOTE = Level.ERROR, Level.WARNING, Level.NOTE

RULES = (
    Rule(
        "backup-offset-zero",
        _ERROR,
        "first 64 KiB at offset 0",
        "purgatory saves the first 64 KiB to the backup region and the capture kernel then runs in "
        "them: at offset 0 the dump shows the capture kernel's memory, not the crashed one's",
        "powerpc: Linux commit 789335cacdf3 sets it at kexec_file_load (broken since v5.9), "
        "f53b24d1fa26 after a memory event; both in v7.1-rc1",
    ),
    Rule(
        "backup-outside-crashkernel",
        _ERROR,
        "backup region outside the crashkernel",
        "only memory of the crashkernel is left alone by the crashed kernel; elsewhere the backup is "
        "overwritten, or overwrites what should be dumped",
        "powerpc: load_backup_segment() places it in crashk_res (arch/powerpc/kexec/file_load_64.c)",
    ),
    Rule(
        "size-wraps",
        _ERROR,
        "a size that wraps past 2^64",
        "makedumpfile and the capture kernel reject the header, or read far beyond memory",
        "powerpc: remove_mem_range() in v6.10 to v6.18.1; Linux commit 7afe2383eff0 (v6.19, 6.18.2)",
    ),
    Rule(
        "size-one-byte-long",
        _ERROR,
        "a size that is one byte too long",
        "the range reaches into memory behind it, which may be gone; vmcore is a page longer",
        "powerpc: remove_mem_range() after Linux commit 7afe2383eff0 (v6.19, 6.18.2; until v7.3), "
        "when a block is taken from inside a range",
    ),
    Rule(
        "duplicate-load",
        _ERROR,
        "the same memory twice",
        "the dump holds it twice and tools may take either",
        "kexec-tools 2.0.32 does so after crash_size was shrunk: System RAM nested in System RAM",
    ),
    Rule(
        "overlapping-loads",
        _ERROR,
        "loads that overlap",
        "tools that look an address up find either row",
        "kexec-tools 2.0.32 does so after crash_size was shrunk: System RAM nested in System RAM",
    ),
    Rule(
        "load-in-crashkernel",
        _ERROR,
        "memory of the capture kernel is loaded",
        "what is read there is the capture kernel itself, not the crashed kernel",
        "crash_exclude_mem_range() cuts crashk_res, crashk_low_res and CMA out (kernel/crash_core.c)",
    ),
    Rule(
        "firmware-in-crashkernel",
        _NOTE,
        "a load inside the crashkernel that may be firmware",
        "powerpc lists RTAS and OPAL even where the crashkernel surrounds them; --machine says where "
        "they are",
        "powerpc: add_rtas_mem_range(), add_opal_mem_range() (arch/powerpc/kexec/ranges.c)",
    ),
    Rule(
        "cpu-notes-missing",
        _ERROR,
        "fewer CPU notes than possible CPUs",
        "registers of the CPUs without a note are not in the dump",
        "since v6.6 crash_prepare_elf64_headers() writes one for every possible CPU, before for "
        "every present one: plugging in a CPU needs a new load there",
    ),
    Rule(
        "cpu-notes-too-many",
        _ERROR,
        "more CPU notes than possible CPUs",
        "the header is another machine's, or rows point at memory where no CPU saves its registers",
        "crash_prepare_elf64_headers() writes one for each CPU of cpu_possible_mask (kernel/crash_core.c)",
    ),
    Rule(
        "note-size",
        _ERROR,
        "a CPU note of another size than the architecture's",
        "the capture kernel reads so many bytes and no more: registers are cut off, or the next CPU's note is read",
        "note_buf_t has CRASH_CORE_NOTE_BYTES (include/linux/kexec.h); kexec-tools reads it from crash_notes_size, "
        "and before v3.9, without that file, takes 1024 bytes",
    ),
    Rule(
        "note-repeated",
        _ERROR,
        "two notes at one address",
        "one CPU's registers show twice and another's are missing",
        "each CPU has a note of its own: per_cpu_ptr(crash_notes, cpu) (kernel/crash_core.c)",
    ),
    Rule(
        "note-not-loaded",
        _ERROR,
        "a note outside the loaded memory",
        "the note lies in the crashed kernel's memory: where no row loads it, it may be gone",
        "a block that holds crash notes cannot go offline (EBUSY), so a range is missing or wrong",
    ),
    Rule(
        "note-damaged",
        _ERROR,
        "a note that reaches beyond its row",
        "tools stop there: registers and VMCOREINFO behind it are lost",
        "the capture kernel drops such an entry: `Warning: Exceeded p_memsz, dropping PT_NOTE entry` "
        "(fs/proc/vmcore.c)",
    ),
    Rule(
        "vmcoreinfo-missing",
        _ERROR,
        "no VMCOREINFO note",
        "makedumpfile and crash cannot tell the kernel without it",
        "crash_prepare_elf64_headers() writes it behind the CPUs' notes (kernel/crash_core.c)",
    ),
    Rule(
        "phnum-limit",
        _ERROR,
        "e_phnum at its limit",
        "0xffff is PN_XNUM, an escape that the kernel neither writes nor reads: rows are lost",
        "x86: crash_load_segments() logs `number of Phdrs %lu exceeds max`",
    ),
    Rule(
        "unaligned-start",
        _WARNING,
        "a load that does not begin at a page",
        "the capture kernel widens it to whole pages, so a page is read that nobody asked for",
        "vmcore_init() rounds to pages (fs/proc/vmcore.c)",
    ),
    Rule(
        "unaligned-size",
        _NOTE,
        "a load that does not end at a page",
        "the capture kernel widens it to whole pages; makedumpfile leaves out what follows the last whole one",
        "powerpc lists RTAS with the exact size that the device tree gives",
    ),
    Rule(
        "not-ascending",
        _WARNING,
        "loads that do not ascend",
        "tools that search by halves miss rows; vmcore's offsets no longer follow the addresses",
        "powerpc: remove_mem_range() appends the split-off part last (since v6.10, until v7.3); kexec-tools "
        "appends RTAS",
    ),
    Rule(
        "vaddr-not-direct-map",
        _ERROR,
        "a virtual address that is not the direct map's",
        "tools translate through it: data shows at wrong addresses",
        "crash_prepare_elf64_headers() writes __va(start) (kernel/crash_core.c)",
    ),
    Rule(
        "vaddr-in-user-space",
        _ERROR,
        "a load that is not mapped in the kernel's half of the addresses",
        "tools look the kernel's addresses up in p_vaddr: they find none of this memory",
        "kexec-tools on riscv64 before its commit 71a968623b94 (2026) took the address of _sinittext for PAGE_OFFSET",
    ),
    Rule(
        "vaddr-twice",
        _ERROR,
        "two loads at one virtual address",
        "tools that look an address up find either row, and read other memory than they asked for",
        "each row's p_vaddr is __va() of its own p_paddr, and the image lies outside the direct map",
    ),
    Rule(
        "image-misplaced",
        _ERROR,
        "the kernel's image where none can be mapped",
        "tools find none of the kernel's symbols",
        "kexec-tools on arm64 writes 0xffffffffffffffff if /proc/kallsyms does not show _text "
        "(kexec/arch/arm64/crashdump-arm64.c)",
    ),
    Rule(
        "image-incomplete",
        _ERROR,
        "a row of the kernel's image that does not cover it",
        "variables behind it (bss: the log's ring buffer among them) have no address: makedumpfile's --dump-dmesg fails",
        "kexec-tools on riscv64 before its commit e7cd74c17c82 (2026) ended it with `Kernel data`",
    ),
    Rule(
        "offset-not-paddr",
        _ERROR,
        "a load read from elsewhere",
        "the capture kernel reads p_offset: only the low memory that is backed up may differ from "
        "p_paddr",
        "read_from_oldmem() is given the elfcorehdr's p_offset (fs/proc/vmcore.c)",
    ),
    Rule(
        "filesz-not-memsz",
        _WARNING,
        "p_filesz differs from p_memsz",
        "the capture kernel takes p_memsz for both; only a dump with pages left out may differ",
        "crash_prepare_elf64_headers() writes one size into both (kernel/crash_core.c)",
    ),
    Rule(
        "header-not-sane",
        _ERROR,
        "an ELF header that the capture kernel rejects",
        "there will be no /proc/vmcore: `Warning: Core image elf header is not sane`",
        "parse_crash_elf64_headers() (fs/proc/vmcore.c)",
    ),
    Rule(
        "no-load",
        _ERROR,
        "no memory at all",
        "nothing but notes can be dumped",
        "the capture kernel makes /proc/vmcore of PT_LOADs alone (process_ptload_program_headers_elf64(), "
        "fs/proc/vmcore.c)",
    ),
    Rule(
        "process-core",
        _ERROR,
        "not the core of a kernel",
        "every p_paddr is 0, as in the core of a process: there is no physical memory to check",
        "elf_core_dump() leaves p_paddr 0 (fs/binfmt_elf.c)",
    ),
    Rule(
        "file-cut-off",
        _ERROR,
        "the file ends before its rows do",
        "the dump was not written to its end, or only its beginning was copied",
        "a full disk in the capture kernel; cp of /proc/vmcore that was interrupted",
    ),
    Rule(
        "memory-not-loaded",
        _ERROR,
        "memory that no load covers",
        "it will be missing from the dump: the header is older than the memory, or a row is wrong",
        "x86, powerpc: the header follows memory events only while kexec's hotplug support is on "
        "(/sys/devices/system/memory/crash_hotplug is 1)",
    ),
    Rule(
        "load-not-memory",
        _WARNING,
        "a load of what is no memory",
        "reading it in the capture kernel may fault or hang: the memory was removed",
        "x86: MEM_OFFLINE comes before the resource goes, so a removed DIMM stays listed until the "
        "next memory event",
    ),
)
BY_ID = {rule.id: rule for rule in RULES}


class Finding(NamedTuple):
    """One thing that is wrong.

    >>> (finding,) = check(read("bad.bin"))
    >>> finding.rule.id, finding.row, finding.message
    ('backup-offset-zero', 9, 'p_offset is 0, expected the backup region')
    """

    rule: Rule
    message: str
    row: int | None = None
    """Index of the program header, None if it is about the whole."""
    raised: Level | None = None
    """A level of its own."""
    place: int | None = None
    """About the whole: the physical address where it shows, if it is about memory."""

    @property
    def level(self) -> Level:
        """The rule's, unless it has one of its own."""
        return self.raised or self.rule.level


def found(
    rule: str,
    message: str,
    row: int | None = None,
    level: Level | None = None,
    place: int | None = None,
) -> Finding:
    """A finding of the rule with that id."""
    return Finding(BY_ID[rule], message, row, level, place)
