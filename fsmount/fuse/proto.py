"""The /dev/fuse protocol as data: include/uapi/linux/fuse.h (7.31 and later)."""

from __future__ import annotations

from struct import Struct

# enum fuse_opcode, as far as it is answered
LOOKUP, FORGET, GETATTR, SETATTR, READLINK = 1, 2, 3, 4, 5
SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK = 6, 8, 9, 10, 11, 12, 13
OPEN, READ, WRITE, STATFS, RELEASE = 14, 15, 16, 17, 18
SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR, INIT = 21, 22, 23, 24, 26
OPENDIR, READDIR, RELEASEDIR, CREATE, INTERRUPT, DESTROY = 27, 28, 29, 35, 36, 38
FSYNC, FSYNCDIR = 20, 30
IOCTL, POLL, BATCH_FORGET, RENAME2, LSEEK = 39, 40, 42, 45, 46

# enum fuse_notify_code
NOTIFY_POLL, NOTIFY_INC_EPOCH = 1, 8

IN_HEADER = Struct("=IIQQIIIHH")  # len opcode unique nodeid uid gid pid total_extlen padding
IN_START = Struct("=IIQQ")  # its first four
IN_CALLER = Struct("=III")  # uid gid pid, at CALLER
CALLER, BODY = IN_START.size, IN_HEADER.size
OUT_HEADER = Struct("=IiQ")  # len error unique
ENTRY_OUT = Struct("=6Q80s")
"""nodeid generation entry_valid attr_valid (nsec nsec); struct fuse_attr"""
ATTR_OUT = Struct("=3Q80s")  # attr_valid (nsec dummy); struct fuse_attr
ATTR_OTHERS = Struct("=5Q10I")
"""struct fuse_attr behind ino: size blocks, times, their nsec, mode nlink uid gid rdev blksize flags"""
INIT_IN = Struct("=5I")  # major minor max_readahead flags flags2
INIT_OUT = Struct("=4I2H2I2HI7I")
OPEN_IN = Struct("=2I")  # flags open_flags
OPEN_OUT = Struct("=Q2I")  # fh open_flags backing_id
READ_IN = Struct("=QQIIQII")  # fh offset size read_flags lock_owner flags padding
WRITE_IN = READ_IN
DATA = BODY + WRITE_IN.size
WRITE_OUT = Struct("=2I")  # size padding
RELEASE_IN = Struct("=Q")  # fh, and what is not used
GETATTR_IN = Struct("=2IQ")  # getattr_flags dummy fh
SETATTR_IN = Struct("=2I6Q3I5I")
FORGET_IN = Struct("=Q")  # nlookup
BATCH_FORGET_IN = Struct("=2I")  # count dummy
FORGET_ONE = Struct("=2Q")  # nodeid nlookup
GETXATTR_IN = Struct("=2I")  # size padding
MKDIR_IN = Struct("=II")  # mode, umask
MKNOD_IN = Struct("=I")  # mode, and what is not used
INTERRUPT_IN = Struct("=Q")  # unique
LSEEK_IN = Struct("=QQII")  # fh offset whence padding
LSEEK_OUT = Struct("=Q")  # offset
POLL_IN = Struct("=QQII")  # fh kh flags events
POLL_OUT = Struct("=2I")  # revents padding
STATFS_OUT = Struct("=5Q10I")  # struct fuse_kstatfs

# INIT flags we want
FUSE_ATOMIC_O_TRUNC, FUSE_BIG_WRITES, FUSE_PARALLEL_DIROPS = 1 << 3, 1 << 5, 1 << 18
FUSE_HANDLE_KILLPRIV_V2 = 1 << 28
FUSE_ASYNC_READ, FUSE_MAX_PAGES = 1 << 0, 1 << 22
FUSE_INIT_EXT = 1 << 30
FUSE_PASSTHROUGH = 1 << 37 - 32  # of flags2
# OPEN reply flags
FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE, FOPEN_NOFLUSH = 1 << 0, 1 << 1, 1 << 5
FOPEN_PASSTHROUGH = 1 << 7
# SETATTR valid bits
FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE = 1, 2, 4, 8
FATTR_ATIME, FATTR_MTIME, FATTR_ATIME_NOW, FATTR_MTIME_NOW = 16, 32, 128, 256
FATTR_KILL_SUIDGID = 1 << 11
POLL_SCHEDULE_NOTIFY = 1
GETATTR_FH = 1


def _dirent(length: int) -> Struct:
    return Struct(f"=QQII{(length + 7) & ~7}s")


_DIRENTS = [_dirent(length) for length in range(256)]
DIRENT_PACKS, DIRENT_SIZES = [d.pack for d in _DIRENTS], [d.size for d in _DIRENTS]
"""By the length of a name: struct fuse_dirent (ino off namelen type), then the name, padded to 8."""
