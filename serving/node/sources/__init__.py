"""Where versions' files are kept: a file for each kind of store, behind the port in `source.py`."""
