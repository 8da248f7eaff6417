"""powerpc, 64 bit, little endian: laid out as arch/powerpc/ is, each function in the file that has it there.

include/asm/kexec.py says what kexec.h declares and where it is; kexec/ has reservation, loading and hotplug of the
crash image; kernel/setup.py the class Ppc64, kernel/prom.py the device tree; mm/drmem.py the table of LMBs;
platforms/ pseries and powernv. May import what arch/ may. Start with kexec/crash.py.
"""
