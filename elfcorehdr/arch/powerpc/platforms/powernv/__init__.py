"""Bare metal under OPAL: setup, the class Powernv."""
