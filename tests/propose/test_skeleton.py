"""The C of a proposal: what is in it, and that it compiles against the kernel's headers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from fsmount.cli.commands import kdumpfs
from tests.propose.kernel import SID, compiled, headers

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
TORTURE = Path(__file__).with_name("torture.py")


def skeleton(*words: object) -> str:
    done = CliRunner().invoke(kdumpfs, ["skeleton", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.apt
@pytest.mark.parametrize("module", [TORTURE, *EXAMPLES], ids=lambda path: path.stem)
@pytest.mark.parametrize(("release", "where"), [("6.1", ""), ("7.2", SID)], ids=["this", "sid"])
def test_it_compiles_against_debian_s_headers(
    tmp_path: Path, module: Path, release: str, where: str
) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing: apt install gcc")
    source = tmp_path / "proposal.c"
    source.write_text(skeleton("--kernel", release, module))
    assert compiled(source, headers(where)) == ""


@pytest.mark.apt
def test_a_wrong_skeleton_would_not_compile(tmp_path: Path) -> None:
    source = tmp_path / "proposal.c"
    source.write_text(skeleton(EXAMPLES[0]).replace("seq_printf(m", "seq_printf(m, 1"))
    assert "error" in compiled(source, headers(""))


def test_show_and_store_have_their_python_format_errnos_and_macro() -> None:
    text = skeleton(TORTURE)
    assert 'sysfs_emit(buf, "%llu 100%% %#llx %08llx %s %s\\n",' in text
    assert "\t/* return -ENOENT where the proposal raises it */" in text
    assert "static struct kobj_attribute limit_attr = __ATTR_RW(limit);" in text
    assert "__ATTR(odd-name.2, 0400, odd_name_2_show, NULL);" in text
    assert "static DEVICE_ATTR_RO(crash_rows);" in text
    assert "dev_attr_memory_state_of = __ATTR(state_of, 0644, memory_state_of_show, memory" in text
    assert "/* It joins memory_memblk_attr_groups[] of drivers/base/memory.c. */" in text
    assert "DEFINE_SHOW_ATTRIBUTE(secret);" in text
    assert 'debugfs_create_file("secret", 0600, torture_deep' in text


def test_the_abi_entry_stands_at_its_head() -> None:
    text = skeleton(TORTURE)
    assert " * What:\t\t/sys/kernel/kexec/limit\n" in text
    assert " * Contact:\tA B <a@b.c>\n" in text
    assert " * Users:\t\tkexec-tools\n" in text


def test_it_is_the_same_each_time() -> None:
    assert skeleton(TORTURE) == skeleton(TORTURE)


def test_a_release_that_is_none() -> None:
    done = CliRunner().invoke(kdumpfs, ["skeleton", "--kernel", "new", str(TORTURE)])
    assert done.exit_code == 2
    assert done.output == "kdumpfs: --kernel: 'new', expected a release such as 7.1\n"
