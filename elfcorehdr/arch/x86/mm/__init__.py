"""arch/x86/mm: init (the direct map)."""
