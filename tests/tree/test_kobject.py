"""The declaration language: names, modes and refusals."""

from __future__ import annotations

import pytest

from fsmount.tree.kobject import AttributeGroup, Caller, Filesystem, Kset, Link, singleton


class Counter:
    value = 0


def the_attribute(group, name):
    (attribute,) = group.attributes[name]
    return attribute


def test_name_is_that_of_the_function_and_the_function_is_returned():
    group = AttributeGroup("kernel/counter", singleton)

    @group.show
    def value_show(counter: Counter) -> str:
        """The count."""
        return f"{counter.value}\n"

    assert value_show(Counter()) == "0\n"
    assert the_attribute(group, "value").show is value_show
    assert the_attribute(group, "value").doc == "The count."


def test_mode_follows_from_the_methods():
    group = AttributeGroup("kernel/counter", singleton)

    @group.show
    def both_show(counter: Counter) -> str:
        return ""

    @group.store
    def both_store(counter: Counter, buf: str) -> None: ...

    @group.store
    def reset_store(counter: Counter, buf: str) -> None: ...

    @group.show
    def value_show(counter: Counter) -> str:
        return ""

    @group.show(mode=0o400)
    def crash_notes_show(counter: Counter) -> str:
        return ""

    modes = {name: oct(the_attribute(group, name).mode) for name in group.attributes}
    assert modes == {
        "both": "0o644",
        "reset": "0o200",
        "value": "0o444",
        "crash_notes": "0o400",
    }


def test_legacy_names_share_one_method():
    group = AttributeGroup("kernel", singleton)

    def loaded_show(counter: Counter) -> str:
        """1 if loaded."""
        return "1\n"

    for name in ("kexec_loaded", "kexec_crash_loaded"):
        group.add(name, show=loaded_show)
    assert list(group.attributes) == ["kexec_loaded", "kexec_crash_loaded"]
    assert the_attribute(group, "kexec_loaded").doc == "1 if loaded."


def test_second_declaration_of_a_method_is_refused():
    group = AttributeGroup("kernel", singleton)
    group.add("value", show=lambda _: "")
    with pytest.raises(ValueError, match="kernel/value is declared twice"):
        group.add("value", show=lambda _: "")


def test_alternatives_of_which_the_first_can_be_invisible_are_kept():
    group = AttributeGroup("kernel", singleton)
    group.add("value", show=lambda _: "old", is_visible=lambda kernel, obj: False)
    group.add("value", show=lambda _: "new")
    assert [attribute.show(None) for attribute in group.attributes["value"]] == ["old", "new"]


def test_method_with_wrong_name_or_arguments_is_refused():
    group = AttributeGroup("kernel", singleton)

    def value(counter):
        return ""

    def value_show(counter, caller, more):
        return ""

    def value_store(counter):
        pass

    with pytest.raises(
        ValueError, match="value: its name must be that of the file followed by _show"
    ):
        group.show(value)
    with pytest.raises(ValueError, match=r"value_show takes 3 argument\(s\), expected \(obj\)"):
        group.show(value_show)
    with pytest.raises(
        ValueError, match=r"value_store takes 1 argument\(s\), expected \(obj, buf\)"
    ):
        group.store(value_store)
    assert group.attributes == {}


def test_path_needs_one_star_for_each_set():
    cpus = Kset(names=lambda _: ["cpu0"], lookup=lambda _, name: None, count=lambda _: 1)
    caches = Kset(
        names=lambda _: ["index0"], lookup=lambda _, name: None, count=lambda _: 1, parent=cpus
    )
    AttributeGroup("devices/system/cpu/cpu*/cache/index*", caches)
    with pytest.raises(ValueError, match=r"has 1 `\*`, but its objects come from 2 set"):
        AttributeGroup("devices/system/cpu/cpu*", caches)
    with pytest.raises(ValueError, match=r"has 1 `\*`, but its objects come from 0 set"):
        Link("devices/system/cpu/cpu*", singleton, "bus/cpu")


@pytest.mark.parametrize("path", ["/kernel", "kernel/", "a//b", "../x", "a*b*"])
def test_path_must_be_names(path):
    with pytest.raises(ValueError, match=r"proc/.*: not a path of names"):
        AttributeGroup(path, singleton, fs=Filesystem.PROCFS)


def test_callers_are_equal_by_their_ids():
    assert Caller(uid=1, capable=lambda cap: False) == Caller(uid=1)
