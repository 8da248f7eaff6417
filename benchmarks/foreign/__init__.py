"""`python -m benchmarks.foreign`: programs of another architecture in `kdumpfs run`."""
