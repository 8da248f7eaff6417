"""Judge: what changed between two headers, and what is wrong with one.

Files: diff, rules (each kind of finding, with its source), checks (how it is found), surroundings (the
machine around a header).
Above layout: imports that and what is below.
Start reading at checks.check().
"""
