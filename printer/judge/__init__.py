"""Judge: what changed between two headers, and what is wrong with one.

Files: diff with matching, rules (each kind of finding, with its source), checks with mappings and notes (how it is found),
surroundings (the machine around a header), machines (where that is told).
Above layout: imports that and what is below; machines.py alone the engine, to boot a machine.
Start reading at checks.check().
"""
