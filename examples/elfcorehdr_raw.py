"""The loaded elfcorehdr byte for byte, as a binary attribute: `elfcorehdr print` and readelf read it.

Contact: kexec@lists.infradead.org
Date: Mar 2026
"""

from kdumpfs.module import AttributeGroup, Kernel, singleton

kexec = AttributeGroup("kernel/kexec", singleton)


@kexec.bin_show(mode=0o400)
def crash_elfcorehdr_raw_show(kernel: Kernel) -> bytes:
    """The ELF core header that the loaded crash image hands to the capture kernel, as it is now.

    Empty without a crash image. Only root may read it: it holds physical addresses.
    """
    return kernel.kexec.elfcorehdr() or b""
