"""What a refusal leaves in the log."""

from __future__ import annotations

import errno

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import KERN_DEBUG, Printk
from fsmount.tree.boundary import attempt


def refuse() -> None:
    raise KernelError(errno.EBUSY, "a notifier's word")


def test_a_refusal_is_the_errno_and_with_debugging_a_reason_in_the_log():
    quiet, debugging = Printk(), Printk(dynamic_debug="*")
    assert attempt(quiet, refuse) == attempt(debugging, refuse) == -errno.EBUSY
    assert list(quiet) == []
    assert [(r.level, r.text) for r in debugging] == [
        (KERN_DEBUG, "kdumpfs: EBUSY: a notifier's word")
    ]
