"""/sys/kernel/config/crash_dm_crypt_keys/: kernel/crash_dump_dm_crypt.c, fs/configfs/dir.c (v7.3)."""

from __future__ import annotations

from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.record import Record
from fsmount.tree.kernfs import GrowingKset
from fsmount.tree.kobject import AttributeGroup, Declaration, singleton

TOP = "kernel/config/crash_dm_crypt_keys"


def _is_there(kernel: Kernel, obj: object) -> bool:
    return kernel.dm_crypt_keys.supported()


def _before(kernel: Kernel, obj: object) -> bool:
    return kernel.vmcore is None


def _captures(kernel: Kernel, obj: object) -> bool:
    return kernel.vmcore is not None


class ConfigKey(Record):
    """struct config_key: a directory that somebody made."""

    kernel: Kernel
    name: str


def _lookup(kernel: Kernel, name: str) -> ConfigKey | None:
    return ConfigKey(kernel, name) if name in kernel.dm_crypt_keys.keys else None


keys: GrowingKset[ConfigKey] = GrowingKset(
    names=lambda kernel: list(kernel.dm_crypt_keys.keys),
    lookup=_lookup,
    count=lambda kernel: len(kernel.dm_crypt_keys.keys),
    make=lambda kernel, name: kernel.dm_crypt_keys.make_item(name),
    drop=lambda kernel, name: kernel.dm_crypt_keys.drop_item(name),
)

group = AttributeGroup(TOP, singleton, is_visible=_is_there)
key = AttributeGroup(f"{TOP}/*", keys)


@group.show(is_visible=_before)
def count_show(kernel: Kernel) -> str:
    """How many keys are named."""
    return f"{len(kernel.dm_crypt_keys.keys)}\n"


@group.show(is_visible=_before)
def reuse_show(kernel: Kernel) -> str:
    """Whether the next load takes the keys of the image before it: never, since none has any."""
    return "0\n"


@group.store(is_visible=_before)
def reuse_store(kernel: Kernel, buf: str) -> None:
    """EINVAL: no image has keys."""
    kernel.dm_crypt_keys.reuse()


@group.show(is_visible=_captures)
def restore_show(kernel: Kernel) -> str:
    """Whether a capture kernel has put the keys into a keyring."""
    return f"{int(kernel.dm_crypt_keys.restore)}\n"


@group.store(is_visible=_captures)
def restore_store(kernel: Kernel, buf: str) -> None:
    """Put them there: there are none. EINVAL for what is no truth value."""
    kernel.dm_crypt_keys.set_restore(buf)


@key.show
def description_show(k: ConfigKey) -> str:
    """The key's description, by which a load asks for it; (null) at first."""
    return f"{k.kernel.dm_crypt_keys.keys[k.name] or '(null)'}\n"


@key.store
def description_store(k: ConfigKey, buf: str) -> None:
    """Set it; EINVAL if it is empty or longer than 128 characters."""
    k.kernel.dm_crypt_keys.describe(k.name, buf)


GROUPS: tuple[Declaration, ...] = (group, key)
