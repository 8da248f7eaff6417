"""kernel/irq: irqdesc (which interrupts there are)."""
