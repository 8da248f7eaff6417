"""arm64: kernel/setup.py has the class Arm64; its platform is arch/virt.py."""
