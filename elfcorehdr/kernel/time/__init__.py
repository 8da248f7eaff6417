"""kernel/time: timekeeping (when the machine booted)."""
