"""Moves what workers wrote down from the node's spool to the prediction log; beside the watcher.

__main__.py    the process: puts its parts together, ships until it is told to stop
shipper.py     one pass over all lanes
pace.py        how long to wait before the next
"""
