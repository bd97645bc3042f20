"""The runner: a version whose format is code, in a process of its own, for all workers of a node.

    host.py      python -m serving.runner.host: keeps one runner a version that is named
    __main__.py  python -m serving.runner DIR …: one version's process
    model.py     the version itself; the only file of serving that imports mlflow
    batches.py   which requests share one predict
    rowwise.py   whether they may
    listener.py  the socket

Only where `BATON_ENGINES` names `runner`. Workers see serving/engines/runner.py.
"""
