"""arch/arm64/mm: where DMA memory ends, and the reservation for a crash kernel. Start with init.py."""
