"""The options of `kdumpfs mount` and `kdumpfs run`, written once, and the ordinary command line parsed.

click gets its options from these tables (fsmount/click_options.py); parse() takes what needs no
click, so that a mount starts without it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # of typing, which is imported behind the fork
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any


def machine_names() -> Iterable[str]:
    """The shipped machines."""
    from elfcorehdr import profiles

    return profiles.names()


def change_names() -> Iterable[str]:
    """The changes between kernels."""
    from elfcorehdr.changes import BY_NAME

    return BY_NAME


def releases() -> Iterable[str]:
    """The releases that are known by name."""
    from elfcorehdr.changes.change import RELEASES

    return RELEASES


class Option:
    """One option: its words, the name of what it gives, and what `--help` says of it."""

    def __init__(
        self,
        words: tuple[str, ...],
        name: str,
        help: str,
        metavar: str = "",
        default: Any = "",
        *,
        many: bool = False,
        choices: tuple[str, ...] = (),
        file: bool = False,
        completes: Callable[[], Iterable[str]] | None = None,
        shows_default: bool = False,
    ) -> None:
        self.words = words
        self.name = name
        self.help = help
        self.metavar = metavar
        """What its value is called; empty: a flag, which turns its default round."""
        self.default = default
        self.many = many
        """Whether it may be given more than once; the value is the tuple of all."""
        self.choices = choices
        self.file = file
        """Whether the value is a file, not a directory."""
        self.completes = completes
        """Words for shell completion."""
        self.shows_default = shows_default


SIZE_OPTIONS = (
    Option(("--memory",), "memory", "Memory of the machine, such as 48G.", "SIZE"),
    Option(("--cpus",), "cpus", "CPUs (hardware threads) of the machine.", "N"),
    Option(("--threads",), "threads", "CPUs of a core.", "N"),
    Option(("--nodes",), "nodes", "NUMA nodes, with equal shares of memory and CPUs.", "N"),
    Option(("--page-size",), "page_size", "Page size, such as 4K or 64K.", "SIZE"),
    Option(("--block-size",), "block_size", "Size of a memory block, such as 256M.", "SIZE"),
)
"""The machine's size, over what it is by itself; the names are those of BootOptions."""

MACHINE_OPTIONS = (
    Option(
        ("-m", "--machine"),
        "machine",
        "Machine to boot: a shipped one (see `kdumpfs machines`) or a TOML file.",
        "NAME|FILE",
        "pseries-16g",
        completes=machine_names,
        shows_default=True,
    ),
    Option(
        ("--kernel",),
        "kernel",
        "Kernel to behave as, such as 6.18 or 6.12.107 (see `kdumpfs kernels`). [default: the machine's own, else 7.1]",
        "VERSION",
        completes=releases,
    ),
    Option(
        ("--with",),
        "with_",
        "Switch on a single change (see `kdumpfs changes`).",
        "CHANGE",
        (),
        many=True,
        completes=change_names,
    ),
    Option(
        ("--without",),
        "without",
        "Switch off a single change.",
        "CHANGE",
        (),
        many=True,
        completes=change_names,
    ),
    Option(
        ("--cmdline",),
        "cmdline",
        "Kernel command line, instead of the machine's.",
        "TEXT",
        None,
    ),
    *SIZE_OPTIONS,
    Option(
        ("--recording", "--sysfs-dump"),
        "recording",
        "Show the files of a recorded machine, read-only, in place of the emulated ones.",
        "DIR|TAR",
    ),
    Option(
        ("--load",),
        "load",
        "Load kdump at once, as kexec_file_load does.",
        default=False,
    ),
    Option(
        ("--vmlinux",),
        "vmlinux",
        "The kernel's image, with symbols and BTF: it is in memory, so that crash and drgn read its symbols and tasks.",
        "FILE",
        "",
    ),
    Option(
        ("--vmcoreinfo",),
        "vmcoreinfo",
        "Change what VMCOREINFO says: -KEY takes a line away, KEY=VALUE changes or adds one.",
        "EDIT",
        (),
        many=True,
    ),
    Option(
        ("--module",),
        "modules",
        "Add your own attributes from a Python file.",
        "FILE.py",
        (),
        many=True,
        file=True,
    ),
    Option(
        ("--print-mode",),
        "print_mode",
        "What reading crash_elfcorehdr_print does: return the table, log it, or both.",
        "[text|dmesg|both]",
        "text",
        choices=("text", "dmesg", "both"),
        shows_default=True,
    ),
    Option(
        ("--no-page-limit",),
        "page_limit",
        "Do not cut files at one page.",
        default=True,
    ),
    Option(
        ("--debug",),
        "debug",
        "Put pr_debug() messages into the kernel log too.",
        default=False,
    ),
)
"""The machine that is booted; the names are those of BootOptions."""

MOUNT_OPTIONS = (
    *MACHINE_OPTIONS,
    Option(
        ("--foreground",),
        "foreground",
        "Serve in this process until it is unmounted.",
        default=False,
    ),
    Option(
        ("--direct",),
        "direct",
        "Mount without libfuse; what root gets if nothing is said.",
        default=False,
    ),
    Option(
        ("--libfuse",),
        "libfuse",
        "Mount by libfuse: what others get, who may not mount by themselves.",
        default=False,
    ),
)
"""What `kdumpfs mount` takes besides DIR."""


RUN_OPTIONS = (
    *MACHINE_OPTIONS,
    Option(
        ("--in",),
        "within",
        "Run in the machine that `kdumpfs mount` has mounted at DIR: its state, its log, its events.",
        "DIR",
        None,
    ),
    Option(
        ("--name",),
        "name",
        "Run in the machine of this name: the first command boots it, later ones find what that one did; "
        "`kdumpfs umount NAME` ends it.",
        "NAME",
        None,
    ),
    Option(
        ("--rw", "--share"),
        "share",
        "Let the command write to the real PATH, a file or directory (--share is its old name).",
        "PATH",
        (),
        many=True,
    ),
    Option(
        ("--no-share",),
        "share_directory",
        "Share nothing but what --rw names: not the current directory either.",
        default=True,
    ),
    Option(
        ("--keep",),
        "keep",
        "Copy what the command wrote to private places (/var/log, /var/crash, ...) to DIR.",
        "DIR",
        None,
    ),
    Option(
        ("--package",),
        "over",
        "Lay an unpacked package (its usr, etc, boot, ...) over the system, for this run only.",
        "DIR",
        (),
        many=True,
    ),
    Option(
        ("--root",),
        "root",
        "Run in this tree instead of the host's /, for instance one of another architecture.",
        "DIR",
        None,
    ),
    Option(
        ("--record",),
        "record",
        "Log what the command read, wrote and called in the machine, one line each.",
        "FILE",
        None,
    ),
    Option(
        ("-q", "--quiet"),
        "quiet",
        "Do not say what cannot be had here for the lack of a privilege.",
        default=False,
    ),
    Option(
        ("--then",),
        "then",
        "What runs on the capture kernel once the machine has crashed, by sh -c; its status is the run's.",
        "COMMAND",
        None,
    ),
    Option(
        ("--crashed",),
        "crashed",
        "Load, crash at once, and run COMMAND on the capture kernel.",
        default=False,
    ),
)
"""What `kdumpfs run` takes before COMMAND, and click need not look at."""


def parse_run(words: Sequence[str]) -> dict[str, Any] | None:
    """The options' values by name, and the rest by `command`; None for whatever click has to judge."""
    known = {word: option for option in RUN_OPTIONS for word in option.words}
    values: dict[str, Any] = {option.name: option.default for option in known.values()}
    at = 0
    while at < len(words) and words[at][:1] == "-" and words[at] not in ("-", "--"):
        option, value = _option(known, words[at])
        at += 1
        if option is not None and option.metavar and value is None and at < len(words):
            value = words[at]
            at += 1
        if option is None or not _take(values, option, value):
            return None
    if at < len(words) and words[at] == "--":
        at += 1
    return {**values, "command": tuple(words[at:])}


def parse(words: Sequence[str], options: Iterable[Option], argument: str) -> dict[str, Any] | None:
    """What click would make of these words: the options' values by name, and one path by `argument`.

    None for whatever click has to judge: an unknown option, a value that is missing or not
    allowed, no path or two, a path that cannot be read.
    """
    known = {word: option for option in options for word in option.words}
    values: dict[str, Any] = {option.name: option.default for option in known.values()}
    paths: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            paths += rest
        elif word[:1] != "-" or word == "-":
            paths.append(word)
        else:
            option, value = _option(known, word)
            if option is not None and option.metavar and value is None:
                value = next(rest, None)
            if option is None or not _take(values, option, value):
                return None
    if len(paths) != 1:
        return None
    return {**values, argument: paths[0]}


def _option(known: dict[str, Option], word: str) -> tuple[Option | None, str | None]:
    """The option that a word names, and the value that is in the word: `--kernel=6.18`, `-mNAME`."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
    else:
        name, equals, value = word[:2], word[2:], word[2:]
    return known.get(name), value if equals else None


def _take(values: dict[str, Any], option: Option, value: str | None) -> bool:
    """Note an option that was given; False if it wants a value and has none, or the other way round."""
    if not option.metavar:
        values[option.name] = not option.default
        return value is None
    if value is None or (option.choices and value not in option.choices):
        return False
    if option.file and not (os.path.isfile(value) and os.access(value, os.R_OK)):
        return False
    values[option.name] = (*values[option.name], value) if option.many else value
    return True
