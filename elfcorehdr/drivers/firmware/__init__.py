"""What firmware said: memmap, the map behind /sys/firmware/memmap. May import kernel/ and lib/."""
