"""Modules in a running machine: their life, what events call, what is said of mistakes, and reload."""

from __future__ import annotations

import errno
import re
import subprocess
import sys

import pytest

from elfcorehdr.errors import KernelError, ProfileError
from fsmount.cli.boot import BootOptions, boot, booted
from fsmount.tree import authors
from fsmount.tree.loader import Loader

HEAD = (
    "import errno\n"
    "from kdumpfs.module import *\n"
    "state = State(hits=0)\n"
    'group = AttributeGroup("kernel/kexec", singleton)\n'
)
HITS = "@group.show\ndef hits_show(kernel): return f'{state.hits}\\n'\n"


class Running:
    """A machine with one module."""

    def __init__(self, path):
        self.path = path
        self.kernel, self.tree = boot(BootOptions(load=True))
        self.loader = Loader(self.kernel, self.tree)

    def load(self, text):
        self.path.write_text(HEAD + text)
        self.loader.load([str(self.path)])

    def reload(self, text):
        self.path.write_text(HEAD + text)
        self.loader.load()

    def read(self, name):
        file = self.tree.open(self.tree.lookup(f"sys/kernel/kexec/{name}"))
        return file.read(1 << 20, 0).decode()

    def write(self, name, text):
        self.tree.open(self.tree.lookup(f"sys/kernel/kexec/{name}"), 1).write(text.encode(), 0)

    def refused(self, name, *text):
        with pytest.raises(KernelError) as caught:
            self.write(name, *text) if text else self.read(name)
        return caught.value.errno

    def said(self):
        return "\n".join(self.loader.journal.lines).replace(str(self.path), "mine.py")


@pytest.fixture
def running(tmp_path):
    return Running(tmp_path / "mine.py")


def test_init_is_called_at_boot_with_the_kernel(running):
    running.load(HITS + "def init(kernel):\n    state.hits = kernel.page_size\n")
    assert running.read("hits") == "65536\n"


def test_print_is_a_line_of_the_log(running):
    running.load(HITS + "print('one', 2)\ndef init(kernel):\n    print('booted')\n")
    assert [r.text for r in running.kernel.log][-2:] == ["mine: one 2", "mine: booted"]


def test_events_call_hooks(running):
    running.load(
        HITS
        + "seen = []\n"
        + "@on_memory\ndef m(kernel, action, notify): seen.append(action.name)\n"
        + "@on_cpu\ndef c(kernel, cpu, online): seen.append(f'cpu{cpu} {online}')\n"
        + "@on_kexec\ndef k(kernel): seen.append('kexec')\n"
        + "@group.show\ndef seen_show(kernel): return ' '.join(seen) + '\\n'\n"
    )
    running.kernel.cpus.down(3)
    block = running.kernel.memory.block(30)
    running.kernel.memory_hotplug.offline(block)
    running.kernel.kexec.file_load(None, None, b"", 3)
    assert running.read("seen").split() == (
        ["kexec", "cpu3", "False", "GOING_OFFLINE", "kexec", "OFFLINE", "kexec"]
    )


def test_a_memory_hook_may_veto(running):
    running.load(
        HITS
        + "@on_memory\n"
        + "def m(kernel, action, notify):\n"
        + "    if action is MemAction.GOING_OFFLINE: raise OSError(errno.EADDRINUSE)\n"
    )
    with pytest.raises(KernelError) as caught:
        running.kernel.memory_hotplug.offline(running.kernel.memory.block(30))
    assert caught.value.errno == errno.EADDRINUSE


def test_a_hook_with_a_bug_hurts_nobody(running):
    running.load(HITS + "@on_cpu\ndef c(kernel, cpu, online): cpu.nope\n")
    running.kernel.cpus.down(3)
    assert "mine.py: line 8: in c: AttributeError" in running.said()


def test_oserror_is_its_errno_in_either_form(running):
    running.load(
        "@group.show\ndef one_show(kernel): raise OSError(errno.EBUSY)\n"
        "@group.show\ndef two_show(kernel): raise OSError(errno.ENXIO, 'no such thing')\n"
        "@group.show\ndef three_show(kernel): raise KernelError(errno.EAGAIN)\n"
    )
    refused = [running.refused(name) for name in ("one", "two", "three")]
    assert refused == [errno.EBUSY, errno.ENXIO, errno.EAGAIN]
    assert running.said() == ""


def test_a_negative_errno_is_told(running):
    running.load("@group.show\ndef one_show(kernel):\n    raise OSError(-errno.EBUSY)\n")
    assert running.refused("one") == errno.EIO
    assert running.said() == (
        "mine.py: line 7: OSError(-16), expected a positive errno, such as OSError(errno.EINVAL)"
    )


def test_an_exception_is_a_traceback_of_his_own_lines(running):
    running.load(
        "@group.show\ndef one_show(kernel):\n    return helper(kernel)\n"
        "def helper(kernel):\n    return f'{kernel.crash_hp.rebuild}\\n'\n"
    )
    assert running.refused("one") == errno.EIO
    lines = running.said().splitlines()
    assert lines[0].startswith(  # since 3.14 Python goes on with what may have been meant
        "mine.py: line 9: in one_show: AttributeError: 'CrashHotplug' object has no attribute 'rebuild'"
    )
    files = [line.split(",")[0:2] for line in lines if line.startswith("  File")]
    assert files == [['  File "mine.py"', " line 7"], ['  File "mine.py"', " line 9"]]
    assert [r.text for r in running.kernel.log if "AttributeError" in r.text]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise SystemExit(3)", "in one_show: SystemExit: 3"),
        ("return one_show(kernel)", "RecursionError: maximum recursion depth exceeded"),
        ("raise ValueError('x' * 10**6)", "in one_show: ValueError: xxx"),
        ("raise Odd()", "in one_show: mine.Odd: <exception str() failed>"),
        ("return Odd()", "one_show returned something (Odd), expected str"),
        ("return '\\ud800'", "one_show returned '\\ud800' (str), expected text that UTF-8 has"),
        ("yield Odd()", "TypeError: a piece is something (Odd), expected str or bytes"),
    ],
)
def test_whatever_a_show_does_it_is_one_call_that_fails_and_few_lines(running, text, said):
    running.load(
        "class Odd(Exception):\n"
        "    def __repr__(self): raise OSError\n"
        "    __str__ = __repr__\n"
        "Odd.__module__ = 'mine'\n"
        f"@group.show\ndef one_show(kernel):\n    {text}\n"
    )
    assert running.refused("one") == errno.EIO
    assert said in running.said()
    lines = running.said().splitlines()
    assert len(lines) < 70
    assert max(map(len, lines), default=0) < 500


def test_a_traceback_shows_the_lines_that_were_loaded(running):
    running.load("@group.show\ndef one_show(kernel):\n    return 1 / 0  # loaded\n")
    running.path.write_text("# being edited\n" * 20)
    running.refused("one")
    assert "return 1 / 0  # loaded" in running.said()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("return 5", 'line 6: one_show returned 5 (int), expected str, such as f"{value}\\n"'),
        ("pass", 'line 6: one_show returned None (NoneType), expected str, such as f"{value}\\n"'),
        (
            "return ['a'] * 99",
            "line 6: one_show returned ['a', 'a', 'a', 'a', 'a', 'a', 'a', '... (list), "
            'expected str, such as f"{value}\\n"',
        ),
    ],
)
def test_a_show_that_returns_no_text(running, text, sentence):
    running.load(f"@group.show\ndef one_show(kernel): {text}\n")
    assert running.refused("one") == errno.EIO
    assert running.said() == f"mine.py: {sentence}"


def test_a_store_that_returns_an_errno(running):
    running.load("@group.store\ndef one_store(kernel, buf): return -errno.EINVAL\n")
    assert running.refused("one", "x") == errno.EIO
    assert running.said().startswith(
        "mine.py: line 6: one_store returned -22 (int), expected nothing"
    )


def test_a_generator_in_debugfs_is_a_seq_file_without_a_page_limit(running):
    running.load(
        'dbg = AttributeGroup("kdump", singleton, fs=Filesystem.DEBUGFS)\n'
        "@dbg.show\ndef rows_show(kernel):\n    for n in range(30000):\n        yield f'{n}\\n'\n"
    )
    node = running.tree.lookup("sys/kernel/debug/kdump/rows")
    assert running.tree.getattr(node).size == 0
    assert running.tree.open(node).read(1 << 20, 0).count(b"\n") == 30000


def test_a_bug_behind_the_first_piece_is_told(running):
    running.load(
        'dbg = AttributeGroup("kdump", singleton, fs=Filesystem.DEBUGFS)\n'
        "@dbg.show\ndef rows_show(kernel):\n    yield 'a'\n    yield 1\n"
    )
    with pytest.raises(KernelError):
        running.tree.open(running.tree.lookup("sys/kernel/debug/kdump/rows")).read(99, 0)
    assert "TypeError: a piece is 1 (int), expected str or bytes" in running.said()


def test_a_binary_file_has_the_size_of_what_it_shows_now(running):
    running.load(
        "@group.bin_show()\ndef raw_show(kernel): return kernel.kexec.elfcorehdr() or b''\n"
    )
    node = running.tree.lookup("sys/kernel/kexec/raw")
    before, seq = running.tree.getattr(node).size, running.kernel.names_seq
    running.kernel.memory_hotplug.offline(running.kernel.memory.block(30))
    assert running.tree.getattr(node).size == before + 56
    assert running.kernel.names_seq > seq  # a server that keeps st_size is told


def test_a_binary_file_that_cannot_be_read_can_be_looked_at(running):
    running.load("@group.bin_show()\ndef raw_show(kernel): raise OSError(errno.EBUSY)\n")
    assert running.tree.getattr(running.tree.lookup("sys/kernel/kexec/raw")).size == 0


def test_objects_of_ones_own_have_a_directory_each(running):
    running.load(
        "rows = indexed(lambda kernel: [10, 20])\n"
        'per = AttributeGroup("kernel/kexec/rows/*", rows)\n'
        "@per.show\ndef value_show(row): return f'{row}\\n'\n"
    )
    names = [name for name, _ in running.tree.names(running.tree.lookup("sys/kernel/kexec/rows"))]
    assert names == ["0", "1"]
    assert running.read("rows/1/value") == "20\n"
    for absent in ("2", "01", "x", "-1"):
        with pytest.raises(KernelError):
            running.tree.lookup(f"sys/kernel/kexec/rows/{absent}")


def test_a_bug_in_is_visible_hides_the_file_and_is_told(running):
    running.load(HITS + "@group.show(is_visible=lambda k, o: o.nope)\ndef x_show(k): return ''\n")
    names = [name for name, _ in running.tree.names(running.tree.lookup("sys/kernel/kexec"))]
    assert "x" not in names
    assert "hits" in names
    assert "AttributeError" in running.said()


def test_a_slow_function_is_named(running):
    running.load(
        "import time\n@group.show\ndef one_show(k):\n    time.sleep(1.1)\n    return 'x'\n"
    )
    assert running.read("one") == "x"
    said = r"mine\.py: line 7: one_show took \d+\.\d s; nobody else was answered meanwhile"
    assert re.search(said, running.said())


def test_reload_takes_the_file_anew_and_keeps_state(running):
    running.load(HITS)
    running.loader.modules[0].states["state"].hits = 7
    assert running.read("hits") == "7\n"
    seq = running.kernel.names_seq
    running.reload(HITS.replace("hits}", "hits} times") + "state.fresh = 1\n")
    assert running.read("hits") == "7 times\n"
    assert running.kernel.names_seq > seq


def test_reload_calls_exit_then_init(running):
    life = "def init(kernel): print('init')\ndef exit(kernel): print('exit')\n"
    running.load(HITS + life)
    running.reload(HITS + life)
    assert running.said() == "mine: init\nmine: exit\nmine: init"


@pytest.mark.parametrize(
    "text",
    [
        "def\n",
        "1 / 0\n",
        "@group.show\ndef more_show(): ...\n",
        "def more_show(k): ...\n",
        "def init(kernel): raise OSError(errno.ENODEV)\n",
    ],
)
def test_a_wrong_file_is_refused_whole(running, text):
    running.load(HITS)
    with pytest.raises(ProfileError, match=r"mine\.py: "):
        running.reload(HITS.replace("hits}", "new}") + text)
    assert running.read("hits") == "0\n"
    assert [module.path for module in running.loader.modules] == [str(running.path)]


def test_reload_leaves_open_files_of_the_kernel_open_and_ends_those_of_the_module(running):
    running.load(HITS)
    kernels = running.tree.open(running.tree.lookup("sys/kernel/kexec/loaded"))
    own = running.tree.open(running.tree.lookup("sys/kernel/kexec/hits"))
    running.reload(HITS)
    assert kernels.read(9, 0) == b"0\n"
    with pytest.raises(KernelError) as caught:
        own.read(9, 0)
    assert caught.value.errno == errno.ENODEV


def test_hooks_of_a_module_that_was_reloaded_are_called_once(running):
    text = HITS + "@on_cpu\ndef c(kernel, cpu, online): state.hits += 1\n"
    running.load(text)
    running.reload(text)
    running.kernel.cpus.down(3)
    assert running.read("hits") == "1\n"


def test_a_second_module_joins_the_first(running, tmp_path):
    running.load(HITS)
    running.loader.modules[0].states["state"].hits = 3
    other = tmp_path / "other.py"
    other.write_text(HEAD + "@group.show\ndef other_show(kernel): return 'other\\n'\n")
    running.loader.load([str(other)])
    assert running.read("other") == "other\n"
    assert running.read("hits") == "3\n"  # it was not loaded anew


def test_reload_without_a_module():
    kernel, tree = boot(BootOptions())
    with pytest.raises(ProfileError, match=r"no module is loaded; expected FILE\.py"):
        Loader(kernel, tree).load()


def test_a_machine_without_modules_imports_nothing_for_them():
    code = (
        "import sys, ctypes, warnings\n"
        "before = set(sys.modules)\n"
        "from fsmount.cli.boot import BootOptions, boot\n"
        "boot(BootOptions(load=True))\n"
        "print(*sys.modules.keys() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"loader", "modules", "authors", "hooks"}
    assert not loaded & {f"fsmount.tree.{name}" for name in heavy}
    assert not loaded & {"fsmount.propose", "kdumpfs", "traceback", "linecache", "inspect", "json"}


ENDLESS = """\
import sys
from elfcorehdr.errors import KernelError
from fsmount.cli.boot import BootOptions, boot, booted
from fsmount.tree import watch
watch.STUCK_S = 1.5
_, tree = boot(BootOptions(modules=(sys.argv[1],)))
try:
    tree.open(tree.lookup("sys/kernel/kexec/one")).read(99, 0)
except KernelError as refused:
    print(refused)
"""


def test_a_function_that_does_not_end_is_named_and_ended(tmp_path):
    path = tmp_path / "mine.py"  # in a process of its own: here SIGALRM is pytest-timeout's
    path.write_text(
        HEAD + "@group.show\ndef one_show(kernel):\n"
        "    while True:\n        try: pass\n        except Exception: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "EIO\n"
    assert f"{path}: line 6: one_show has run for 1 s and is at line " in done.stderr
    assert "in one_show: fsmount.tree.watch.Stuck: ended after 1.5 s" in done.stderr


def test_a_generator_that_does_not_end_is_ended(running, monkeypatch):
    monkeypatch.setattr(authors, "MOST", 1000)
    running.load(
        'dbg = AttributeGroup("kdump", singleton, fs=Filesystem.DEBUGFS)\n'
        "@dbg.show\ndef rows_show(kernel):\n    while True: yield 'x'\n"
    )
    with pytest.raises(KernelError):
        running.tree.open(running.tree.lookup("sys/kernel/debug/kdump/rows")).read(99, 0)
    assert "rows_show has yielded more than 0 MiB, expected an end" in running.said()


def test_the_same_mistake_is_told_ten_times_and_then_counted(running, monkeypatch):
    running.load("@group.show\ndef one_show(kernel): return 1\n")
    for _ in range(50):
        running.refused("one")
    assert running.said().count("one_show returned 1 (int)") == 10
    monkeypatch.setattr(authors, "INTERVAL_S", 0)
    running.refused("one")
    assert "mine.py: 40 more of these: line 6: one_show returned 1 (int)" in running.said()


def test_a_traceback_has_the_lines_of_his_other_files_and_their_prints_are_seen(running):
    running.path.with_name("other_of_his.py").write_text(
        "def help(kernel):\n    print('helping')\n    return kernel.nope\n"
    )
    running.load(
        "from other_of_his import help\n@group.show\ndef one_show(kernel): return help(kernel)\n"
    )
    assert running.refused("one") == errno.EIO
    assert "mine: helping" in running.said()
    assert 'other_of_his.py", line 3, in help' in running.said()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "@group.bin_show\ndef raw_show(kernel): ...\n",
            "line 5: @GROUP.bin_show stands without parentheses, expected @GROUP.bin_show()",
        ),
        (
            "@group.open()\ndef x_open(kernel): ...\n",
            "line 5: x_open takes 1 argument(s), expected (obj, caller, flags)",
        ),
        (
            "@group.store\ndef x_store(kernel): ...\n",
            "line 5: x_store takes 1 argument(s), expected (obj, buf) or (obj, buf, caller)",
        ),
        (
            "@on_memory\ndef changed(kernel): ...\n",
            "line 5: changed takes 1 argument(s), on_memory expects (kernel, action, notify)",
        ),
        (
            "def init(): ...\n",
            "line 5: init takes 0 argument(s), expected init(kernel)",
        ),
        (
            'b = AttributeGroup("devices/system/memory/memory*", cpus)\n',
            "devices/system/memory/memory*: the objects of another set are there, expected that set "
            "(memory_blocks, cpus, nodes)",
        ),
        (
            'b = AttributeGroup("devices/system/memory/memory*", singleton)\n',
            "line 5: sys/devices/system/memory/memory*: has 1 `*`, but its objects come from 0 set(s)",
        ),
    ],
)
def test_a_mistake_in_a_declaration_is_told_with_its_line(running, text, sentence):
    with pytest.raises(ProfileError) as caught:
        running.load(text)
    assert str(caught.value) == f"{running.path}: {sentence}"


def test_a_module_s_file_wins_over_a_recording_s_too_and_is_reloaded(tmp_path):
    dump = tmp_path / "dump/sys/kernel/kexec"
    dump.mkdir(parents=True)
    (dump / "loaded").write_text("recorded\n")
    (dump / "other").write_text("recorded\n")
    path = tmp_path / "mine.py"
    path.write_text(HEAD + "@group.show\ndef loaded_show(kernel): return 'mine\\n'\n")
    options = BootOptions(recording=str(tmp_path / "dump"), modules=(str(path),))
    _, tree, modules = booted(options)

    def read(name):
        return tree.open(tree.lookup(f"sys/kernel/kexec/{name}")).read(99, 0)

    assert (read("loaded"), read("other")) == (b"mine\n", b"recorded\n")
    path.write_text(path.read_text().replace("mine", "edited"))
    modules.load()
    assert (read("loaded"), read("other")) == (b"edited\n", b"recorded\n")
