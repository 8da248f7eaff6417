"""kernel/module: main (loaded modules, parameters)."""
