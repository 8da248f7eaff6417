"""arch/arm64/kernel/: setup (the class Arm64), machine_kexec_file (headers and loading)."""
