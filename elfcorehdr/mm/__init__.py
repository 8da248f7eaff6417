"""What Linux has in mm/: memblock (what is RAM), memory_hotplug (adding, onlining, offlining, removing),
page_isolation (what cannot be moved away).

May import kernel/, drivers/, lib/ and the files directly in elfcorehdr/.
Start with memory_hotplug.py: an event begins there.
"""
