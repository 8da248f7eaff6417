"""What a crashed machine's /proc/vmcore costs its readers."""
