"""arch/riscv/mm: the reservation for a crash kernel. Start with init.py."""
