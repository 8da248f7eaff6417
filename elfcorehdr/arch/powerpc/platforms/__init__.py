"""Whose firmware it is: pseries (a partition; hotplug by DLPAR) or powernv (bare metal under OPAL)."""
