"""The spool of a node: what its workers predicted and no sink has yet. Files, and nothing else.

    spool/id                  names this spool to the sink
    spool/used                how many bytes it has, told by the shipper (usage.py)
    spool/<lane>/<n>.seg      what one worker process wrote, in frames (frames.py); n rises from 1
    spool/corrupt/            frames that cannot be read, kept for people

A lane has one writer for its life (writer.py), who holds a lock on it: whoever gets that lock knows
that nobody writes there any more. So kill -9 leaves a torn end at most, which nobody continues.
"""
