"""arch/powerpc/include/: asm/."""
