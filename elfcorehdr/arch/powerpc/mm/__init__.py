"""arch/powerpc/mm/: drmem, the table of logical memory blocks."""
