"""Layout: what each row of a Core is for.

Files: arches (what has to be known of an architecture: how it maps memory), roles (Layout), notes (what PT_NOTEs
hold), told (what VMCOREINFO says), spans (arithmetic of memory), sizes (in words).
Above inputs: imports that, printer.words and the codec.
Start reading at roles.Layout.
"""
