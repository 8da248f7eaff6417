"""Keys of encrypted disks for the capture kernel: kernel/crash_dump_dm_crypt.c (v7.3).

User space names each key by a directory of configfs; a load asks the caller's keyring for it. There is no keyring here, so
a load with a key fails as one whose key is not there. Imports errors.
"""

from __future__ import annotations

import errno

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.kstrtox import kstrtobool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

KEY_NUM_MAX = 128
KEY_DESC_MAX_LEN = 128


class DmCryptKeys:
    """config_keys_subsys: the keys by name, each with its description or None."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.keys: dict[str, str | None] = {}
        self.restore = False

    def supported(self) -> bool:
        """CONFIG_CRASH_DM_CRYPT, and an architecture that loads the keys."""
        change = self._kernel.arch.dm_crypt_keys
        has = change is not None and self._kernel.has(change)
        return has and self._kernel.config("CRASH_DM_CRYPT")

    def make_item(self, name: str) -> None:
        """config_keys_make_item(), for mkdir(2). KernelError: EEXIST, EINVAL for one too many."""
        if self._kernel.vmcore is not None:
            raise KernelError(errno.EPERM, "a capture kernel has no keys to be named")
        if name in self.keys:
            raise KernelError(errno.EEXIST, f"{name} is there already")
        # Quirk: one more than the message says.
        if len(self.keys) > KEY_NUM_MAX:
            self._kernel.log.err(f"Only {KEY_NUM_MAX} keys at maximum to be created")
            raise KernelError(errno.EINVAL, "too many keys")
        self.keys[name] = None
        self._kernel.names_changed()

    def drop_item(self, name: str) -> None:
        """config_key_release(), for rmdir(2)."""
        del self.keys[name]
        self._kernel.names_changed()

    def describe(self, name: str, text: str) -> None:
        """config_key_description_store(): up to the newline. KernelError(EINVAL): empty, or too long."""
        line = text.split("\0", 1)[0].partition("\n")[0]
        if len(line) > KEY_DESC_MAX_LEN:
            self._kernel.log.err(
                f"The key description shouldn't exceed {KEY_DESC_MAX_LEN} characters"
            )
            raise KernelError(errno.EINVAL, "too long")
        if not line:
            raise KernelError(errno.EINVAL, "empty")
        self.keys[name] = line

    def reuse(self) -> None:
        """config_keys_reuse_store(): KernelError(EINVAL), since no image has ever got keys here."""
        self._kernel.kexec.dprintk("dm-crypt keys haven't be saved to crash-reserved memory")
        raise KernelError(errno.EINVAL, "no keys are in the reserved memory")

    def set_restore(self, text: str) -> None:
        """config_keys_restore_store(), of a capture kernel. KernelError(EINVAL)."""
        self.restore = kstrtobool(text)

    def crash_load(self) -> None:
        """crash_load_dm_crypt_keys(): KernelError EINVAL for a key without description, ENOKEY for any other."""
        if not self.keys or not self.supported():
            return
        log = self._kernel.log
        for name, description in self.keys.items():
            code = errno.ENOKEY
            if description is None:
                log.warning(f"No key description for key {name}")
                code = errno.EINVAL
            else:
                log.warning(f"No such logon key {description}")
            log.err(f"Failed to build dm-crypt keys header, ret={-code}")
            raise KernelError(code, "a key that is not in the keyring")
