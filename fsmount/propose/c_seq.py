"""The C of files in debugfs and procfs: seq_file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fsmount.propose.c_body import Body, call
from fsmount.propose.c_unit import Unit, octal
from fsmount.tree.kobject import Attribute, AttributeGroup, Filesystem


class SeqFiles(Unit):
    """What of a file is seq_file."""

    def _seq_files(
        self, name: str, group: AttributeGroup[Any], attributes: list[Attribute[Any]]
    ) -> Iterator[str]:
        proc = group.fs is not Filesystem.DEBUGFS
        parent = self._seq_directory(name, group.path, proc=proc)
        for attr in attributes:
            c_name = self._c_name(group, attr)
            mode = octal(attr.mode)
            if attr.show is None:
                yield ""
                yield f"/* {attr.name}: file operations of its own */"
                continue
            body = Body(attr.show)
            yield ""
            yield f"static int {c_name}_show(struct seq_file *m, void *unused)"
            yield "{"
            yield from body.comment()
            yield from body.refusals()
            yield from call("seq_printf", "m", body)
            yield "\treturn 0;"
            yield "}"
            if attr.store is None:
                yield f"DEFINE_SHOW_ATTRIBUTE({c_name});"
            else:
                yield from self._seq_write(c_name, attr)
            made = (
                f'\tproc_create_single("{attr.name}", {mode}, {parent}, {c_name}_show);'
                if proc
                else f'\tdebugfs_create_file("{attr.name}", {mode}, {parent}, NULL, &{c_name}_fops);'
            )
            self._init.append(made)
            if proc:
                self._exit.append(f'\tremove_proc_entry("{attr.name}", {parent});')

    def _seq_directory(self, name: str, path: str, *, proc: bool) -> str:
        if not path:
            return "NULL"
        kind = "proc_dir_entry" if proc else "dentry"
        self._variables.append(f"static struct {kind} *{name}_dir;")
        parent = "NULL"
        for part in path.split("/"):
            made = (
                f'proc_mkdir("{part}", {parent})'
                if proc
                else f'debugfs_create_dir("{part}", {parent})'
            )
            self._init.append(f"\t{name}_dir = {made};")
            parent = f"{name}_dir"
        self._exit.insert(
            0, f"\t{'proc_remove' if proc else 'debugfs_remove_recursive'}({name}_dir);"
        )
        return parent

    def _seq_write(self, c_name: str, attr: Attribute[Any]) -> Iterator[str]:
        assert attr.store is not None
        body = Body(attr.store)
        yield ""
        yield f"static ssize_t {c_name}_write(struct file *file, const char __user *ubuf, size_t count,"
        yield "\t\t\tloff_t *ppos)"
        yield "{"
        yield "\tunsigned long long value;"
        yield "\tint error = kstrtoull_from_user(ubuf, count, 0, &value);"
        yield ""
        yield from body.comment()
        yield from body.refusals()
        yield "\treturn error ?: count;"
        yield "}"
        yield ""
        yield f"static int {c_name}_open(struct inode *inode, struct file *file)"
        yield "{"
        yield f"\treturn single_open(file, {c_name}_show, inode->i_private);"
        yield "}"
        yield ""
        yield f"static const struct file_operations {c_name}_fops = {{"
        yield "\t.owner = THIS_MODULE,"
        yield f"\t.open = {c_name}_open,"
        yield "\t.read = seq_read,"
        yield f"\t.write = {c_name}_write,"
        yield "\t.llseek = seq_lseek,"
        yield "\t.release = single_release,"
        yield "};"
