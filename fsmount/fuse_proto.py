"""The /dev/fuse protocol as data: include/uapi/linux/fuse.h (7.31 and later). Imports nothing."""

from __future__ import annotations

import enum
import struct


class Op(enum.IntEnum):
    """enum fuse_opcode, as far as it is answered."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    BATCH_FORGET = 42
    RENAME2 = 45
    LSEEK = 46
    TMPFILE = 51


IN_HEADER = struct.Struct("=IIQQIIIHH")  # len opcode unique nodeid uid gid pid total_extlen padding
OUT_HEADER = struct.Struct("=IiQ")  # len error unique
ATTR = struct.Struct("=6Q10I")  # struct fuse_attr
ENTRY_OUT = struct.Struct("=4Q2I")  # nodeid generation entry_valid attr_valid and their nsec; ATTR
ATTR_OUT = struct.Struct("=Q2I")  # attr_valid attr_valid_nsec dummy; ATTR
INIT_IN = struct.Struct("=4I")  # major minor max_readahead flags
INIT_OUT = struct.Struct("=4I2H2I2HI7I")
OPEN_IN = struct.Struct("=2I")  # flags open_flags
OPEN_OUT = struct.Struct("=Q2I")  # fh open_flags backing_id
READ_IN = struct.Struct("=QQIIQII")  # fh offset size read_flags lock_owner flags padding
WRITE_IN = READ_IN
WRITE_OUT = struct.Struct("=2I")  # size padding
RELEASE_IN = struct.Struct("=Q2IQ")  # fh flags release_flags lock_owner
GETATTR_IN = struct.Struct("=2IQ")  # getattr_flags dummy fh
SETATTR_IN = struct.Struct("=2I6Q3I5I")
FORGET_IN = struct.Struct("=Q")  # nlookup
BATCH_FORGET_IN = struct.Struct("=2I")  # count dummy
FORGET_ONE = struct.Struct("=2Q")  # nodeid nlookup
GETXATTR_IN = struct.Struct("=2I")  # size padding
INTERRUPT_IN = struct.Struct("=Q")  # unique
LSEEK_IN = struct.Struct("=QQII")  # fh offset whence padding
LSEEK_OUT = struct.Struct("=Q")  # offset
POLL_IN = struct.Struct("=QQII")  # fh kh flags events
POLL_OUT = struct.Struct("=2I")  # revents padding
DIRENT = struct.Struct("=QQII")  # ino off namelen type, then the name, padded to 8
STATFS_OUT = struct.Struct("=5Q10I")  # struct fuse_kstatfs

# INIT flags we want
FUSE_ATOMIC_O_TRUNC, FUSE_BIG_WRITES, FUSE_PARALLEL_DIROPS = 1 << 3, 1 << 5, 1 << 18
# OPEN reply flags
FOPEN_DIRECT_IO, FOPEN_NOFLUSH = 1 << 0, 1 << 5
# SETATTR valid bits
FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE = 1, 2, 4, 8
FATTR_ATIME, FATTR_MTIME, FATTR_ATIME_NOW, FATTR_MTIME_NOW = 16, 32, 128, 256
POLL_SCHEDULE_NOTIFY = 1
GETATTR_FH = 1
# enum fuse_notify_code
NOTIFY_POLL, NOTIFY_INC_EPOCH = 1, 8
