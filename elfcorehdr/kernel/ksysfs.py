"""What /sys/kernel keeps by itself: kernel/{ksysfs,profile}.c (v7.1)."""

from __future__ import annotations


class Ksysfs:
    """The settings behind its files."""

    def __init__(self) -> None:
        self.profiling = 0
        self.rcu_expedited = 0
        self.rcu_normal = 0
