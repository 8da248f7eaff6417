# `make check` before every commit; CI runs the same.
.PHONY: check format
check:
	./scripts/test
format:
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .
