"""Look-up, attributes of nodes, and the semantics of open, read and write, without a mount."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from elfcorehdr.errors import KernelError
from fsmount.tree.kernfs import Setattr, Tree
from fsmount.tree.kobject import AttributeGroup, Caller, Kset, Link, Subtree, singleton
from tests.counters import DECLARATIONS, Machine

COUNTER = "sys/devices/system/counter"


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def tree(machine):
    return Tree(machine, DECLARATIONS)


def opened(tree, path, flags=os.O_RDONLY, **kwargs):
    return tree.open(tree.lookup(path), flags, **kwargs)


def cat(tree, path):
    return opened(tree, path).read(1 << 17, 0)


def names(tree, path):
    return [name for name, _ in tree.names(tree.lookup(path))]


def errno_of(function, *args):
    with pytest.raises(KernelError) as caught:
        function(*args)
    return errno.errorcode[caught.value.errno]


# Look-up


def test_lookup_finds_files_of_singletons_and_of_objects(tree):
    assert cat(tree, "sys/kernel/text/text") == b"hello\n"
    assert cat(tree, f"/{COUNTER}/counter2/topology/core_id") == b"2\n"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("sys/nothing", "ENOENT"),
        (f"{COUNTER}/counter3", "ENOENT"),
        (f"{COUNTER}/counter01", "ENOENT"),
        (f"{COUNTER}/counter1/nothing", "ENOENT"),
        ("sys/kernel/text/text/x", "ENOTDIR"),
        ("sys/kernel/text_length/x", "ENOTDIR"),
        ("sys/firmware/devicetree/base/compatible/x", "ENOTDIR"),
        ("sys/firmware/devicetree/base/x", "ENOENT"),
        ("dev", "ENOENT"),
    ],
)
def test_lookup_of_what_is_not_there(tree, path, error):
    assert errno_of(tree.lookup, path) == error


def test_object_appears_and_disappears_with_the_machines_state(tree, machine):
    machine.plug(7)
    machine.unplug(0)
    assert cat(tree, f"{COUNTER}/counter7/value") == b"0\n"
    assert errno_of(tree.lookup, f"{COUNTER}/counter0/value") == "ENOENT"
    assert names(tree, COUNTER) == [
        "plug", "unplug", "online", "counter1", "counter2", "counter7",
    ]  # fmt: skip


def test_invisible_group_takes_its_directory_away(tree, machine):
    machine.set_online(1, False)
    assert errno_of(tree.lookup, f"{COUNTER}/counter1/topology") == "ENOENT"
    assert names(tree, f"{COUNTER}/counter1") == ["value", "power", "subsystem"]
    assert names(tree, f"{COUNTER}/counter2") == ["value", "topology", "power", "subsystem"]


def test_first_visible_alternative_is_what_exists(tree, machine):
    assert stat.S_ISLNK(tree.getattr(tree.lookup("sys/kernel/text_length")).mode)
    machine.new_names = False
    assert cat(tree, "sys/kernel/text_length") == b"6\n"
    assert names(tree, "sys/kernel") == ["text", "text_length"]


def test_building_and_looking_up_walks_no_set():
    machine = Machine(counters=5)
    tree = Tree(machine, DECLARATIONS)
    tree.getattr(tree.lookup(COUNTER))
    cat(tree, f"{COUNTER}/counter4/value")
    assert machine.walks == 0


def test_directory_of_objects_is_walked_lazily(tree):
    produced = []

    def endless(_kernel):
        for number in range(1 << 60):
            produced.append(number)
            yield f"x{number}"

    huge = Kset(names=endless, lookup=lambda _, name: name, count=lambda _: 1 << 60)
    tree = Tree(Machine(), [AttributeGroup("x*", huge)])
    entries = tree.names(tree.lookup("sys"))
    assert [next(entries), next(entries)] == [("x0", stat.S_IFDIR), ("x1", stat.S_IFDIR)]
    assert produced == [0, 1]


def test_readdir_lists_the_dots_then_what_is_declared_then_objects(tree):
    node = tree.lookup(f"{COUNTER}/counter1")
    assert list(tree.readdir(node)) == [
        (".", stat.S_IFDIR),
        ("..", stat.S_IFDIR),
        ("value", stat.S_IFREG),
        ("topology", stat.S_IFDIR),
        ("power", stat.S_IFDIR),
        ("subsystem", stat.S_IFLNK),
    ]
    assert errno_of(tree.readdir, tree.lookup(f"{COUNTER}/plug")) == "ENOTDIR"


def test_nested_sets_get_the_object_of_the_directory_above():
    machine = Machine()
    outer = Kset(
        names=Machine.names, lookup=Machine.named, count=lambda machine: len(machine.counters)
    )
    inner = Kset(
        names=lambda counter: [f"index{n}" for n in range(counter.number)],
        lookup=lambda counter, name: (counter.number, name) if name[5:] == "0" else None,
        count=lambda counter: counter.number,
        parent=outer,
    )
    group = AttributeGroup("cpu/counter*/cache/index*", inner)
    group.add("level", show=lambda obj: f"{obj}\n")
    tree = Tree(machine, [group])
    assert cat(tree, "sys/cpu/counter2/cache/index0/level") == b"(2, 'index0')\n"
    assert names(tree, "sys/cpu/counter2/cache") == ["index0", "index1"]
    assert tree.getattr(tree.lookup("sys/cpu/counter2/cache")).nlink == 4


@pytest.mark.parametrize(
    "second",
    [
        Link("kernel/text/text", singleton, "kernel"),
        Link("kernel/text", singleton, "kernel"),
        Subtree("kernel/text/text", singleton, lambda _: {}),
        AttributeGroup("kernel/text/text", singleton),
    ],
)
def test_two_declarations_of_a_name_are_refused(second):
    with pytest.raises(ValueError, match=r"sys/kernel/text(/text)? is declared twice"):
        Tree(Machine(), [*DECLARATIONS, second])


# Attributes of nodes


def test_root_is_inode_1_and_holds_the_declared_file_systems(tree):
    root = tree.getattr(tree.lookup("/"))
    assert (root.ino, oct(root.mode), root.nlink) == (1, "0o40755", 4)
    assert names(tree, "/") == ["sys", "proc"]


@pytest.mark.parametrize(
    ("path", "mode", "size", "nlink"),
    [
        ("sys/kernel/text/text", "0o100644", 4096, 1),
        ("sys/kernel/text/clear", "0o100200", 4096, 1),
        ("sys/kernel/text/secret", "0o100400", 4096, 1),
        ("sys/kernel/text/raw", "0o100444", 6, 1),
        ("sys/kernel/text/sized", "0o100444", 28, 1),
        ("sys/kernel/text_length", "0o120777", 0, 1),
        ("sys/kernel", "0o40755", 0, 3),
        (COUNTER, "0o40755", 0, 5),
        (f"{COUNTER}/counter1", "0o40755", 0, 4),
        ("sys/bus/counter/devices", "0o40755", 0, 2),
        ("sys/firmware/devicetree/base", "0o40755", 0, 3),
        ("sys/firmware/devicetree/base/chosen/linux,crashkernel-size", "0o100444", 8, 1),
        ("proc", "0o40555", 0, 2),
        ("proc/long", "0o100444", 0, 1),
    ],
)
def test_getattr(tree, path, mode, size, nlink):
    got = tree.getattr(tree.lookup(path))
    assert (oct(got.mode), got.size, got.nlink) == (mode, size, nlink)
    assert (got.uid, got.gid, got.mtime_ns) == (0, 0, tree.boot_ns)


def test_page_size_is_that_of_the_machine():
    tree = Tree(Machine(page_size=65536), DECLARATIONS)
    assert tree.getattr(tree.lookup("sys/kernel/text/text")).size == 65536


def test_inode_numbers_are_stable_and_differ():
    one, other = Tree(Machine(9), DECLARATIONS), Tree(Machine(9), DECLARATIONS)
    paths = [f"{COUNTER}/counter{n}{rest}" for n in range(9) for rest in ("", "/value", "/power")]
    inodes = [one.lookup(path).ino for path in paths]
    assert inodes == [other.lookup(path).ino for path in paths]
    assert len(set(inodes)) == 27


def test_chmod_chown_and_utimes_stick_until_the_object_goes(tree, machine):
    node = tree.lookup(f"{COUNTER}/counter1/value")
    tree.setattr(node, Setattr(mode=0o600))
    tree.setattr(node, Setattr(uid=5, gid=6, mtime_ns=7))
    got = tree.getattr(tree.lookup(f"{COUNTER}/counter1/value"))
    assert (oct(got.mode), got.uid, got.gid, got.mtime_ns) == ("0o100600", 5, 6, 7)
    assert got.size == 4096
    machine.unplug(1)
    tree.getattr(tree.lookup(f"{COUNTER}/counter2"))
    machine.plug(1)
    assert oct(tree.getattr(tree.lookup(f"{COUNTER}/counter1/value")).mode) == "0o100644"


def test_links_are_relative_as_sysfs_writes_them(tree):
    targets = {
        path: tree.readlink(tree.lookup(path))
        for path in (
            f"{COUNTER}/counter1/subsystem",
            "sys/bus/counter/devices/counter1",
            "sys/kernel/text_length",
            "proc/device-tree",
        )
    }
    assert targets == {
        f"{COUNTER}/counter1/subsystem": "../../../../bus/counter",
        "sys/bus/counter/devices/counter1": "../../../devices/system/counter/counter1",
        "sys/kernel/text_length": "text/length",
        "proc/device-tree": "/sys/firmware/devicetree/base",
    }
    assert errno_of(tree.readlink, tree.lookup("sys/kernel/text/text")) == "EINVAL"


# Open


@pytest.mark.parametrize(
    ("path", "flags", "error"),
    [
        ("sys/kernel/text/clear", os.O_RDONLY, "EACCES"),
        ("sys/kernel/text/clear", os.O_RDWR, "EACCES"),
        ("sys/kernel/text/length", os.O_WRONLY, "EACCES"),
        ("sys/kernel/text/length", os.O_RDWR, "EACCES"),
        ("sys/firmware/devicetree/base/compatible", os.O_WRONLY, "EACCES"),
        ("sys/kernel", os.O_RDONLY, "EISDIR"),
        ("sys/kernel/text_length", os.O_RDONLY, "ELOOP"),
    ],
)
def test_open_is_refused_to_root_too(tree, path, flags, error):
    assert errno_of(opened, tree, path, flags) == error


def test_chmod_opens_a_file_whose_method_is_missing_and_takes_access(tree):
    tree.setattr(tree.lookup("sys/kernel/text/clear"), Setattr(mode=0o666))
    assert errno_of(opened(tree, "sys/kernel/text/clear").read, 1, 0) == "EIO"
    tree.setattr(tree.lookup("sys/kernel/text/text"), Setattr(mode=0o200))
    assert errno_of(opened, tree, "sys/kernel/text/text") == "EACCES"


def test_proc_files_open_for_anything_and_fail_at_the_call_with_eio(tree):
    file = opened(tree, "proc/long", os.O_RDWR)
    assert errno_of(file.write, b"x", 0) == "EIO"


def test_method_with_one_more_argument_gets_the_caller(tree):
    assert opened(tree, "sys/kernel/text/secret").read(99, 0) == b"secret\n"
    caller = Caller(uid=1, capable=lambda cap: False)
    assert opened(tree, "sys/kernel/text/secret", caller=caller).read(99, 0) == b"0\n"


# Read


def test_read_continues_in_the_snapshot_and_rewinding_shows_again(tree, machine):
    file = opened(tree, "sys/kernel/text/text")
    assert file.read(3, 0) == b"hel"
    machine.text = "HELLO\n"
    assert file.read(100, 3) == b"lo\n"
    assert file.read(100, 6) == b""
    assert machine.shows == 1
    assert file.read(100, 0) == b"HELLO\n"
    assert machine.shows == 2


def test_pread_elsewhere_shows_again(tree, machine):
    file = opened(tree, "sys/kernel/text/text")
    assert file.read(2, 0) == b"he"
    machine.text = "HELLO\n"
    assert file.read(2, 4) == b"O\n"
    assert file.read(9, 99) == b""
    assert machine.shows == 3


def test_after_a_failed_show_the_next_read_asks_again(tree, machine):
    group = AttributeGroup("x", singleton)

    @group.show
    def flaky_show(machine: Machine) -> str:
        if not machine.text:
            raise KernelError(errno.EBUSY)
        return machine.text

    tree = Tree(machine, [group])
    file = opened(tree, "sys/x/flaky")
    assert file.read(3, 0) == b"hel"
    machine.text = ""
    assert errno_of(file.read, 3, 0) == "EBUSY"
    machine.text = "HELLO\n"
    assert file.read(3, 3) == b"LO\n"


def test_show_is_cut_at_a_page_less_one_byte_and_logged(tree, machine):
    machine.text = "x" * 4095
    assert len(cat(tree, "sys/kernel/text/text")) == 4095
    assert [record.text for record in machine.log] == []
    machine.text = "x" * 4096
    assert len(cat(tree, "sys/kernel/text/text")) == 4095
    assert [(r.level, r.text) for r in machine.log] == [
        (4, "fill_read_buffer: kobj_attr_show returned bad count")
    ]


def test_devices_log_both_lines():
    machine = Machine()
    group = AttributeGroup("devices/x", singleton)

    @group.show
    def big_show(machine: Machine) -> str:
        return "x" * 5000

    assert len(cat(Tree(machine, [group]), "sys/devices/x/big")) == 4095
    assert [record.text for record in machine.log] == [
        "dev_attr_show: big_show returned bad count",
        "fill_read_buffer: dev_attr_show returned bad count",
    ]


def test_without_page_limit_show_is_whole(machine):
    machine.text = "x" * 5000
    tree = Tree(machine, DECLARATIONS, page_limit=False)
    assert len(cat(tree, "sys/kernel/text/text")) == 5000
    assert list(machine.log) == []


def test_proc_and_binary_files_have_no_page_limit(tree, machine):
    machine.text = "x" * 5000
    assert len(cat(tree, "proc/long")) == 16384
    assert len(cat(tree, "sys/kernel/text/raw")) == 5000
    assert opened(tree, "sys/kernel/text/raw").read(10, 4995) == b"xxxxx"
    assert cat(tree, "sys/firmware/devicetree/base/compatible") == b"ibm,powernv\0"


# Write


def test_each_write_is_one_store_at_whatever_offset(tree, machine):
    file = opened(tree, f"{COUNTER}/counter1/value", os.O_WRONLY)
    assert [file.write(b"12\n", 0), file.write(b"3", 3)] == [3, 1]
    assert machine.counters[1].stores == ["12\n", "3"]


def test_empty_write_calls_no_store(tree, machine):
    assert opened(tree, f"{COUNTER}/counter1/value", os.O_WRONLY).write(b"", 0) == 0
    assert machine.counters[1].stores == []


def test_write_passes_and_counts_one_page(tree, machine):
    file = opened(tree, f"{COUNTER}/counter1/value", os.O_WRONLY)
    assert file.write(b"y" * 5000, 0) == 4096
    assert machine.counters[1].stores == ["y" * 4096]


def test_store_errors_come_out_as_they_are(tree):
    file = opened(tree, "sys/kernel/text/text", os.O_WRONLY)
    assert errno_of(file.write, b"no\n", 0) == "EINVAL"


def test_any_bytes_survive_store_and_show(tree):
    data = bytes(range(256))
    assert opened(tree, "sys/kernel/text/text", os.O_WRONLY).write(data, 0) == 256
    assert cat(tree, "sys/kernel/text/text") == data


def test_truncate_is_accepted_on_files_only(tree, machine):
    tree.truncate(tree.lookup("sys/kernel/text/text"))
    assert machine.text == "hello\n"
    assert errno_of(tree.truncate, tree.lookup("sys/kernel")) == "EISDIR"


def test_open_file_of_a_removed_object_gives_enodev_for_good(tree, machine):
    reader = opened(tree, f"{COUNTER}/counter1/value")
    writer = opened(tree, f"{COUNTER}/counter1/value", os.O_WRONLY)
    other = opened(tree, f"{COUNTER}/counter2/value")
    assert reader.read(9, 0) == b"0\n"
    machine.unplug(1)
    assert errno_of(reader.read, 9, 0) == "ENODEV"
    machine.plug(1)
    assert errno_of(reader.read, 9, 0) == "ENODEV"
    assert errno_of(writer.write, b"1", 0) == "ENODEV"
    assert other.read(9, 0) == b"0\n"
    assert cat(tree, f"{COUNTER}/counter1/value") == b"0\n"


def test_open_file_of_an_attribute_that_vanished_gives_enodev(tree, machine):
    file = opened(tree, f"{COUNTER}/counter1/topology/core_id")
    machine.set_online(1, False)
    assert errno_of(file.read, 9, 0) == "ENODEV"


def test_faults_of_ours_are_not_swallowed(tree):
    with pytest.raises(ZeroDivisionError):
        cat(tree, "sys/kernel/text/broken")
