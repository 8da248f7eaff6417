"""arch/powerpc/kernel/: setup (the class Ppc64), prom (the device tree), fadump. Start with setup.py."""
