"""arch/riscv/kernel/: setup (the class Riscv64), machine_kexec_file (headers and loading)."""
