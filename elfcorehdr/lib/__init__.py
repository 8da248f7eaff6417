"""Plain values and small algorithms that know no kernel: what lib/ of Linux has, and what a list needs.

kstrtox (how numbers are read), kobject_uevent, idr; ranges, range_map, journal, lanes, record (ours).
May import each other and the files directly in elfcorehdr/. Start with ranges.py.
"""
