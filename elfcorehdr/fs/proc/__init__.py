"""Headers of files in /proc: vmcore, that of a capture kernel. May import kernel/, lib/ and the codec."""
