"""Where pictures come from: files, folders, lists, pipes, addresses, archives, videos, and values in memory.

`pictures.py` is the entry point: it turns whatever a user gives into `Picture`s, which are read one by one.
"""
