"""The tree, without FUSE: how a file is declared, found, shown and stored to. fs/kernfs/, fs/sysfs/.

kobject.py is the language of declarations, entries.py compiles them; dir.py looks up, inode.py
answers stat(2), file.py reads and writes, kernfs.py is all of it. A user's modules: hooks.py is what
they have besides files, modules.py imports them, authors.py says what is wrong in them, loader.py
takes them in. May import plain values of the engine only. Start with kobject.py, then kernfs.py.
"""
