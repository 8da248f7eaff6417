"""riscv64: kernel/setup.py has the class Riscv64; its platform is arch/virt.py."""
