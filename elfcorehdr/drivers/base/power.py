"""What was written to the power/ directories of devices: drivers/base/power/sysfs.c (v7.1)."""

from __future__ import annotations


class DevicePm:
    """The settings of devices, by the path below /sys."""

    def __init__(self) -> None:
        self._settings: dict[str, dict[str, str]] = {}

    def get(self, devpath: str, name: str) -> str | None:
        """What was written to a device's power/<name>, or None."""
        return self._settings.get(devpath, {}).get(name)

    def set(self, devpath: str, name: str, value: str) -> None:
        """Keep what is written there."""
        self._settings.setdefault(devpath, {})[name] = value

    def forget(self, devpath: str) -> None:
        """device_pm_remove(): the device is gone."""
        self._settings.pop(devpath, None)
