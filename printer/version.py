"""The version: of the package and of both commands (pyproject.toml reads it here)."""

__version__ = "0.1.0"
"""X.Y.Z."""
