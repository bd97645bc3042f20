"""Runs a module out of the way of the requests on this machine.

    python -m registry.background idle MODULE ARGUMENTS…    only when nobody else wants a processor
    python -m registry.background nice MODULE ARGUMENTS…    with a small share of it

Said before the module is imported: importing is most of what a short trial computes. Started by
registry/trial.py.
"""

from __future__ import annotations

import os
import runpy
import sys

_NICENESS = 10


def main() -> None:
    """Step back, then become the module."""
    how, module, *arguments = sys.argv[1:]
    if how == "idle":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(_NICENESS)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
