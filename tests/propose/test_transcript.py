"""Scripts as text for a cover letter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from elfcorehdr.errors import ProfileError
from fsmount.propose.transcript import driver

SCRIPT = """\
#!/bin/sh
# The header is there:

head -2 /sys/kernel/kexec/crash_elfcorehdr_print
for n in 1 2; do
    echo $n
done
cat <<X
here
X
word=kept; false
echo $word \\
   two
dmesg | tail -1; ls -l /sys/kernel/kexec/loaded
exit 3
"""
EXPECTED = """\
The header is there:

$> head -2 /sys/kernel/kexec/crash_elfcorehdr_print
ELF Program Header Summary:
  Total Program Headers: 13 (0xd)
$> for n in 1 2; do
>     echo $n
> done
1
2
$> cat <<X
> here
> X
here
$> word=kept; false
$> echo $word \\
>    two
kept two
$> dmesg | tail -1; ls -l /sys/kernel/kexec/loaded
[    0.00N000] crashkernel reserved: 0x0000000018000000 - 0x0000000058000000 (1024 MB)
-r--r--r-- 1 root root 65536 Jan  1  2026 /sys/kernel/kexec/loaded
$> exit 3
"""


@pytest.mark.namespaces
def test_commands_and_output_as_the_mail_has_them_and_the_same_twice(tmp_path: Path) -> None:
    script = tmp_path / "demo.sh"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "fsmount.cli.main", "transcript", "--load", "--prompt", "$> "]
    printed = []
    for zone in ("UTC", "Asia/Tokyo"):
        done = subprocess.run(
            [*command, str(script)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TZ": zone, "LC_ALL": "de_DE.UTF-8"},
        )
        assert (done.returncode, done.stderr) == (3, "")
        assert re.sub(r"0\.00\d000", "0.00N000", done.stdout) == EXPECTED
        printed.append(done.stdout)
    assert printed[0] == printed[1]


@pytest.mark.parametrize(
    ("script", "line", "command"),
    [
        ("true\nif true; then\n", 2, "if true; then"),
        ("echo 'a\n", 1, "echo 'a"),
        ("cat <<X\nY\n", 1, "cat <<X"),
        ("echo \\\n", 1, "echo \\\\"),
    ],
)
def test_a_command_that_does_not_end_is_named(script: str, line: int, command: str) -> None:
    with pytest.raises(ProfileError) as caught:
        driver(script, "demo.sh", "$ ")
    assert str(
        caught.value
    ) == f"demo.sh: line {line}: {command!r} does not end, expected a whole command".replace(
        "\\\\\\\\", "\\\\"
    )


def test_what_is_wrong_in_another_way_is_said_by_bash() -> None:
    assert driver("fi\n", "demo.sh", "$ ") == ("$ fi\n", "exec 2>&1 </dev/null\nfi\n")


def test_a_script_that_is_too_long() -> None:
    with pytest.raises(ProfileError, match="is longer than 60,000 bytes"):
        driver(f"echo {'x' * 70_000}\n", "demo.sh", "$ ")
