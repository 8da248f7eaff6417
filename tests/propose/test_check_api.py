"""The kernel's rules for its interface: each is found where it is broken, and not where it is kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from fsmount.cli.commands import kdumpfs

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = (
    "import errno\nfrom kdumpfs.module import *\n"
    'g = AttributeGroup("kernel/kexec", singleton)\n'
    'd = AttributeGroup("kdump", singleton, fs=Filesystem.DEBUGFS)\n'
)


def found(path: Path) -> tuple[int, list[str]]:
    """Exit status, and the findings as `level rule`."""
    done = CliRunner().invoke(kdumpfs, ["check-api", str(path)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    lines = [line for line in done.output.splitlines() if not line.startswith("    ")]
    return done.exit_code, [
        f"{line.split(':')[0]} {re.findall(r'.(?<=.)([a-z-]+)[]]$', line)[-1]}" for line in lines
    ]


BROKEN = {
    '@g.show\ndef x_show(k):\n    "D."\n    return "one"\n': ["warning newline"],
    '@g.show\ndef x_show(k):\n    "D."\n    return "1 two\\n"\n': ["warning one-value"],
    '@g.show\ndef x_show(k):\n    "D."\n    return "1\\n2\\n"\n': ["warning one-value"],
    '@g.show\ndef x_show(k):\n    "D."\n    return "\\xe4\\n"\n': ["warning ascii"],
    "@g.show\ndef x_show(k):\n    return '1\\n'\n": ["warning undocumented"],
    '@g.show(name="X-y")\ndef x_show(k):\n    "D."\n    return "1\\n"\n': ["warning name"],
    '@g.show(mode=0o644)\ndef x_show(k):\n    "D."\n    return "1\\n"\n': [
        "error mode-without-method"
    ],
    '@g.show(mode=0)\ndef x_show(k):\n    "D."\n    return "1\\n"\n': [
        "error method-without-mode",
        "note read-error",
    ],
    '@g.show\ndef x_show(k):\n    "D."\n    return k.nope\n': ["error bug"],
    '@g.show\ndef x_show(k):\n    "D."\n    raise OSError(errno.EBUSY)\n': ["note read-error"],
    '@g.show\ndef x_show(k):\n    "D."\n    return " ".join(map(str, k.cpus.online)) + "\\n"\n': [
        "error page-size"
    ],
    '@g.store\ndef x_store(k, buf):\n    "D."\n    int(buf)\n': ["error bug"],
    '@g.store\ndef x_store(k, buf):\n    "D."\n': ["warning takes-anything"],
    '@g.show\ndef x_show(k):\n    "D."\n    return "[on]\\n"\n'
    '@g.store\ndef x_store(k, buf):\n    "D."\n    if buf.strip() != "on": raise OSError(errno.EINVAL)\n': [
        "warning write-back"
    ],
    '@g.bin_show()\ndef x_show(k):\n    "D."\n    return b"x"\n': ["note binary"],
    '@g.show(is_visible=lambda k, o: False)\ndef x_show(k):\n    "D."\n    return "1\\n"\n': [
        "note not-there"
    ],
}
KEPT = (
    '@g.show\ndef x_show(k):\n    "D."\n    return "12\\n"\n'
    '@g.store\ndef x_store(k, buf):\n    "D."\n    if not buf.strip().isdigit(): raise OSError(errno.EINVAL)\n',
    '@g.show\ndef x_show(k):\n    "D."\n    return "12 0x7 8\\n"\n',
    "@d.show\ndef x_show(k):\n    return 'any\\nthing 1\\n' * 9999\n",
)


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_rule_is_found(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD + text)
    status, rules = found(path)
    assert rules == BROKEN[text]
    assert status == int(any(not rule.startswith("note") for rule in rules))


@pytest.mark.parametrize("text", KEPT)
def test_nothing_is_said_of_a_file_that_keeps_the_rules(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD + text)
    assert found(path) == (0, [])


def test_a_finding_names_line_path_and_source(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD + '@g.show\ndef x_show(k):\n    "D."\n    return "one"\n')
    done = CliRunner().invoke(kdumpfs, ["check-api", str(path)])
    assert done.output == (
        f"warning: {path}: line 6: /sys/kernel/kexec/x: does not end in a newline [newline]\n"
        '    Documentation/filesystems/sysfs.rst: sysfs_emit(buf, "%s\\n", dev->name)\n'
    )


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("elfcorehdr_print", ["warning one-value", "error page-size"]),
        ("elfcorehdr_raw", ["note binary"]),
        ("elfcorehdr_debugfs", []),
        ("elfcorehdr_values", []),
    ],
)
def test_what_is_said_of_the_shipped_proposals(name: str, rules: list[str]) -> None:
    assert found(EXAMPLES / f"{name}.py")[1] == rules


def test_a_module_of_the_user_that_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def\n")
    done = CliRunner().invoke(kdumpfs, ["check-api", str(path)])
    assert (done.exit_code, done.output) == (
        2,
        f"kdumpfs: {path}: line 1: invalid syntax; expected Python\n",
    )


@pytest.mark.parametrize("objects", ["cpus", "memory_blocks", "nodes"])
def test_a_file_of_each_object_is_looked_at(tmp_path: Path, objects: str) -> None:
    """Other names match the `*`, too: cpuidle and cpufreq match cpu*."""
    places = {"cpus": "cpu/cpu*", "memory_blocks": "memory/memory*", "nodes": "node/node*"}
    path = tmp_path / "mine.py"
    group = f'o = AttributeGroup("devices/system/{places[objects]}", {objects})\n'
    path.write_text(HEAD + group + '@o.show\ndef x_show(one):\n    "D."\n    return "one"\n')
    assert found(path) == (1, ["warning newline"])
