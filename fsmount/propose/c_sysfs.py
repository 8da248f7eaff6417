"""The C of a group in sysfs: methods with sysfs_emit(), attribute macros, the group, and what it joins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fsmount.propose.c_body import Body, call
from fsmount.propose.c_unit import Unit, identifier, octal
from fsmount.tree.kobject import Attribute, AttributeGroup, singleton

DEVICES = {
    "devices/system/memory/memory*": (
        "struct memory_block *mem = container_of(dev, struct memory_block, dev);",
        "mem",
        "memory_memblk_attr_groups[] of drivers/base/memory.c",
    ),
    "devices/system/cpu/cpu*": (
        "unsigned int cpu = dev->id;",
        "cpu",
        "common_cpu_attr_groups[] of drivers/base/cpu.c",
    ),
    "devices/system/node/node*": (
        "int nid = dev->id;",
        "nid",
        "node_dev_groups[] of drivers/base/node.c",
    ),
    "devices/system/memory": ("", "", "memory_root_attr_groups[] of drivers/base/memory.c"),
    "devices/system/cpu": ("", "", "cpu_root_attr_groups[] of drivers/base/cpu.c"),
    "devices/system/node": ("", "", "cpu_root_attr_groups[] of drivers/base/node.c"),
}
"""Directories of devices: what a method finds there, its name, and the groups that a new one joins."""

KOBJECTS = {
    "kernel": "kernel_kobj",
    "firmware": "firmware_kobj",
    "power": "power_kobj",
    "kernel/mm": "mm_kobj",
}
"""Directories whose kobject is exported, include/linux/kobject.h and others."""


class SysfsFiles(Unit):
    """What of a file is sysfs."""

    def _attribute(
        self, attr: Attribute[Any], device: tuple[str, str, str] | None, group: AttributeGroup[Any]
    ) -> Iterator[str]:
        c_name = self._c_name(group, attr)
        if attr.binary:
            yield from self._binary(attr, c_name)
            return
        first, kind = (
            ("struct device *dev", "device") if device else ("struct kobject *kobj", "kobj")
        )
        found, used = device[:2] if device else self._entry(group)
        own = [f"\t{found}"] if found else []
        unused = ["", f"\t(void){used};"] if found else []
        if attr.show is not None:
            body = Body(attr.show)
            yield ""
            yield f"static ssize_t {c_name}_show({first}, struct {kind}_attribute *attr,"
            yield "\t\t\tchar *buf)"
            yield "{"
            yield from (*own, *unused)
            yield from body.comment()
            yield from body.refusals()
            yield from (
                line.replace("\t", "\treturn ", 1) for line in call("sysfs_emit", "buf", body)
            )
            yield "}"
        if attr.store is not None:
            body = Body(attr.store)
            yield ""
            yield f"static ssize_t {c_name}_store({first}, struct {kind}_attribute *attr,"
            yield "\t\t\tconst char *buf, size_t count)"
            yield "{"
            yield from (*own, "\tunsigned long long value;", *(unused or [""]))
            yield from body.comment()
            yield from body.refusals()
            yield "\tif (kstrtoull(buf, 0, &value))"
            yield "\t\treturn -EINVAL;"
            yield "\treturn count;"
            yield "}"
        words = {(True, False): "RO", (False, True): "WO", (True, True): "RW"}
        word = words[attr.show is not None, attr.store is not None]
        show, store = ("_show" if attr.show else ""), ("_store" if attr.store else "")
        methods = ", ".join(f"{c_name}{suffix}" if suffix else "NULL" for suffix in (show, store))
        made = f"__ATTR({attr.name}, {octal(attr.mode)}, {methods})"
        if attr.mode == {"RO": 0o444, "WO": 0o200, "RW": 0o644}[word] and c_name == attr.name:
            made = f"__ATTR_{word}({c_name})"
            if device:
                yield f"static DEVICE_ATTR_{word}({c_name});"
                return
        name = f"device_attribute dev_attr_{c_name}" if device else f"kobj_attribute {c_name}_attr"
        yield f"static struct {name} = {made};"

    def _entry(self, group: AttributeGroup[Any]) -> tuple[str, str]:
        """What a method of a set of one's own finds, and its name."""
        if group.kset is singleton:
            return "", ""
        kind = identifier(group.path.rpartition("/")[0].rpartition("/")[2])
        return (
            f"struct {kind}_entry *entry = container_of(kobj, struct {kind}_entry, kobj);",
            "entry",
        )

    def _binary(self, attr: Attribute[Any], c_name: str) -> Iterator[str]:
        assert attr.show is not None
        body = Body(attr.show)
        yield ""
        yield f"static ssize_t {c_name}_read(struct file *file, struct kobject *kobj,"
        yield f"\t\t\t{self._const}struct bin_attribute *attr,"
        yield "\t\t\tchar *buf, loff_t off, size_t count)"
        yield "{"
        yield "\tconst void *data = NULL;"
        yield "\tsize_t size = 0;"
        yield ""
        yield from body.comment()
        yield from body.refusals()
        yield "\treturn memory_read_from_buffer(buf, count, &off, data, size);"
        yield "}"
        size = attr.size if isinstance(attr.size, int) else 0
        mode = octal(attr.mode)
        yield f"static {self._const}struct bin_attribute bin_attr_{c_name} = __BIN_ATTR({attr.name}, {mode},"
        yield f"\t\t\t{c_name}_read, NULL, {size});"

    def _lists(
        self,
        name: str,
        group: AttributeGroup[Any],
        attributes: list[Attribute[Any]],
        device: tuple[str, str, str] | None,
    ) -> Iterator[str]:
        text = [attr for attr in attributes if not attr.binary]
        binary = [attr for attr in attributes if attr.binary]
        if text:
            yield ""
            yield f"static struct attribute *{name}_attrs[] = {{"
            for attr in text:
                c_name = self._c_name(group, attr)
                yield f"\t&dev_attr_{c_name}.attr," if device else f"\t&{c_name}_attr.attr,"
            yield "\tNULL,"
            yield "};"
        if binary:
            yield ""
            const = " const" if self._const else ""
            yield f"static {self._const}struct bin_attribute *{const.strip() + ' ' if const else ''}{name}_bin_attrs[] = {{"
            for attr in binary:
                yield f"\t&bin_attr_{self._c_name(group, attr)},"
            yield "\tNULL,"
            yield "};"
        visible = [
            ("the group", group.is_visible),
            *((attr.name, attr.is_visible) for attr in attributes),
        ]
        conditions = [(what, method) for what, method in visible if method is not None]
        if conditions and text:
            yield ""
            yield f"static umode_t {name}_is_visible(struct kobject *kobj, struct attribute *attr, int n)"
            yield "{"
            for what, method in conditions:
                yield f"\t/* {what}: {' '.join(Body(method).source) or 'see the proposal'} */".replace(
                    "*/ */", "*/"
                )
            yield "\treturn attr->mode;"
            yield "}"
        yield ""
        yield f"static const struct attribute_group {name}_group = {{"
        directory = self._directory(group.path)
        if not device and group.kset is singleton and directory:
            yield f'\t.name = "{directory}",'
        if text:
            yield f"\t.attrs = {name}_attrs,"
        if binary:
            yield f"\t.bin_attrs = {name}_bin_attrs,"
        if conditions and text:
            yield f"\t.is_visible = {name}_is_visible,"
        yield "};"
        if device:
            yield f"/* It joins {device[2]}. */"
            yield f"static const struct attribute_group *{name}_groups[] __maybe_unused = {{ &{name}_group, NULL }};"
        elif group.kset is singleton:
            kobj = self._kobject(group.path)
            self._create(name, kobj)
        else:
            yield from self._own_set(name, group)

    def _directory(self, path: str) -> str:
        """The name of a new directory that the group makes; empty if it joins one that is there."""
        return "" if path in self._existing else path.rpartition("/")[2]

    def _kobject(self, path: str) -> str:
        """The C expression of the directory in which the group is created."""
        place = path if path in self._existing else path.rpartition("/")[0]
        if place in KOBJECTS:
            return KOBJECTS[place]
        kobj = identifier(place.rpartition("/")[2] or "root") + "_kobj"
        line = f"extern struct kobject *{kobj};\t/* that of /sys/{place}; static where its file has it */"
        if line not in self._variables:
            self._variables.append(line)
        return kobj

    def _create(self, name: str, kobj: str) -> None:
        self._init.append(f"\terror = sysfs_create_group({kobj}, &{name}_group);")
        self._init.append("\tif (error)\n\t\treturn error;")
        self._exit.append(f"\tsysfs_remove_group({kobj}, &{name}_group);")

    def _own_set(self, name: str, group: AttributeGroup[Any]) -> Iterator[str]:
        """A set of the module's own: a kobject for each of its objects."""
        parent = group.path.rpartition("/")[0]
        kind = identifier(parent.rpartition("/")[2])
        yield ""
        yield f"static const struct attribute_group *{name}_groups[] = {{ &{name}_group, NULL }};"
        yield ""
        yield f"static void {name}_release(struct kobject *kobj)"
        yield "{"
        yield f"\tkfree(container_of(kobj, struct {kind}_entry, kobj));"
        yield "}"
        yield ""
        yield f"static const struct kobj_type {name}_ktype = {{"
        yield f"\t.release = {name}_release,"
        yield "\t.sysfs_ops = &kobj_sysfs_ops,"
        yield f"\t.default_groups = {name}_groups,"
        yield "};"
        yield ""
        yield f"static struct kobject *{name}_dir;"
        yield ""
        yield "/* Called for each object that appears. */"
        yield f"static int __maybe_unused {name}_add(unsigned int index)"
        yield "{"
        yield f"\tstruct {kind}_entry *entry = kzalloc(sizeof(*entry), GFP_KERNEL);"
        yield "\tint error;"
        yield ""
        yield "\tif (!entry)"
        yield "\t\treturn -ENOMEM;"
        yield "\tentry->index = index;"
        yield f'\terror = kobject_init_and_add(&entry->kobj, &{name}_ktype, {name}_dir, "%u", index);'
        yield "\tif (error)"
        yield "\t\tkobject_put(&entry->kobj);"
        yield "\treturn error;"
        yield "}"
        struct = f"struct {kind}_entry {{\n\tstruct kobject kobj;\n\tunsigned int index;\n}};"
        if struct not in self._variables:
            self._variables.append(struct)
        self._init.append(
            f'\t{name}_dir = kobject_create_and_add("{parent.rpartition("/")[2]}", {self._kobject(parent)});'
        )
        self._init.append(f"\tif (!{name}_dir)\n\t\treturn -ENOMEM;")
        self._exit.append(f"\tkobject_put({name}_dir);")
