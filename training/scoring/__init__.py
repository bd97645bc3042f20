"""Batch scoring: Parquet answered by the Production version, one output a partition.

    stores.py      directories and S3: where partitions are read from and written to
    partitions.py  which there are, and what tells one input from another
    order.py       which versions answer, pinned in the output for all who work on it
    child.py       the process that loads and asks them: `python -m serving.batch`
    task.py        one partition, in a process of a crew
    score.py       all of it together; called by `python -m training score`

Nothing of a version is loaded by these files, and none of them imports serving.
"""
