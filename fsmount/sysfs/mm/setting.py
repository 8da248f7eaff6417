"""Files that keep what is written: words of which one is chosen, flags, numbers in bounds."""

from __future__ import annotations

import errno
from collections.abc import Callable

from elfcorehdr.changes.change import Change
from elfcorehdr.errors import KernelError, short
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.kstrtox import kstrtobool, kstrtoull, sysfs_streq
from fsmount.tree.kobject import AttributeGroup, IsVisible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

U32 = (1 << 32) - 1


def kernel_of(obj: Any) -> Kernel:
    """The kernel of a group's object, which may be that kernel itself."""
    kernel: Kernel = getattr(obj, "kernel", obj)
    return kernel


def since(change: Change | None) -> IsVisible[Any] | None:
    """Whether the kernel has the change."""
    return None if change is None else lambda kernel, obj: kernel.has(change)


def choice(
    group: AttributeGroup[Any],
    name: str,
    words: str,
    usual: str | Callable[[Any], str],
    key: Callable[[Any], str],
    *,
    visible: IsVisible[Any] | None = None,
) -> None:
    """All words, the chosen one in brackets; EINVAL for any other. key: where the choice is kept."""
    known = words.split()

    def show(obj: Any) -> str:
        default = usual if isinstance(usual, str) else usual(obj)
        chosen = kernel_of(obj).mm_settings.get(key(obj), default)
        return " ".join(f"[{word}]" if word == chosen else word for word in known) + "\n"

    def store(obj: Any, buf: str) -> None:
        for word in known:
            if sysfs_streq(buf, word):
                kernel_of(obj).mm_settings[key(obj)] = word
                return
        raise KernelError(errno.EINVAL, f"{short(buf)} is none of {', '.join(known)}")

    group.add(
        name,
        show=show,
        store=store,
        is_visible=visible,
        doc=f"One of {', '.join(known)}, in brackets.",
        store_doc="Choose one; it is kept. EINVAL.",
    )


def number(
    group: AttributeGroup[Any],
    name: str,
    usual: int | Callable[[Kernel], int],
    most: int | Callable[[Kernel], int] = U32,
    *,
    least: int = 0,
    form: str = "{}",
    visible: IsVisible[Any] | None = None,
) -> None:
    """A number from least to most, kept; EINVAL for any other."""
    at = f"{group.path}/{name}"

    def show(obj: Any) -> str:
        kernel = kernel_of(obj)
        default = usual if isinstance(usual, int) else usual(kernel)
        return form.format(int(kernel.mm_settings.get(at, default))) + "\n"

    def store(obj: Any, buf: str) -> None:
        kernel = kernel_of(obj)
        bound = most if isinstance(most, int) else most(kernel)
        value = kstrtoull(buf)
        if not least <= value <= bound:
            raise KernelError(errno.EINVAL, f"{value} is not in {least} to {bound}")
        kernel.mm_settings[at] = str(value)

    group.add(
        name,
        show=show,
        store=store,
        is_visible=visible,
        doc="A number that is kept.",
        store_doc="EINVAL beyond its bounds.",
    )


def truth(group: AttributeGroup[Any], name: str, usual: bool, *, mode: int | None = None) -> None:
    """true or false, kept; EINVAL for what kstrtobool() does not take."""
    at = f"{group.path}/{name}"

    def store(obj: Any, buf: str) -> None:
        kernel_of(obj).mm_settings[at] = str(kstrtobool(buf)).lower()

    group.add(
        name,
        show=lambda obj: kernel_of(obj).mm_settings.get(at, str(usual).lower()) + "\n",
        store=store,
        mode=mode,
        doc="true or false; kept.",
        store_doc="EINVAL.",
    )


def counters(
    group: AttributeGroup[Any], names: str, *, visible: IsVisible[Any] | None = None
) -> None:
    """Counters of what never happens here."""
    for name in names.split():
        group.add(name, show=lambda obj: "0\n", is_visible=visible, doc="0: nothing is counted.")
