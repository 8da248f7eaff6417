"""Machines as TOML, shipped as package data."""
