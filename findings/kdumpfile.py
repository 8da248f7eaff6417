"""libkdumpfile 0.5 through ctypes: a dump's bytes by physical address. The library is found by LD_LIBRARY_PATH."""

import ctypes
import os

MACHPHYSADDR = 1  # kdump_addrspace_t: ADDRXLAT_KPHYSADDR 0, then this


class Dump:
    def __init__(self, path: str) -> None:
        self.lib = ctypes.CDLL("libkdumpfile.so.10")
        self.lib.kdump_new.restype = ctypes.c_void_p
        self.lib.kdump_get_err.restype = ctypes.c_char_p
        self.lib.kdump_get_err.argtypes = [ctypes.c_void_p]
        self.lib.kdump_read.argtypes = [
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_uint64,
            ctypes.c_char_p,
            ctypes.POINTER(ctypes.c_size_t),
        ]
        self.lib.kdump_open_fdset.argtypes = [
            ctypes.c_void_p,
            ctypes.c_uint,
            ctypes.POINTER(ctypes.c_int),
        ]
        self.context = self.lib.kdump_new()
        fd = ctypes.c_int(os.open(path, os.O_RDONLY))
        if self.lib.kdump_open_fdset(self.context, 1, ctypes.byref(fd)):
            raise SystemExit(self.lib.kdump_get_err(self.context).decode())

    def byte(self, address: int) -> str:
        """The byte at a physical address as 0xNN, or the library's own words for why there is none."""
        buffer, size = ctypes.create_string_buffer(1), ctypes.c_size_t(1)
        if self.lib.kdump_read(self.context, MACHPHYSADDR, address, buffer, ctypes.byref(size)):
            return str(self.lib.kdump_get_err(self.context).decode())
        return "0x" + buffer.raw.hex()
