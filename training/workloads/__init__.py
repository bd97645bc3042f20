"""The workloads: every module here that ends with `WORKLOAD = …` is one."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from registry.errors import UnknownName
from training.workload import Workload


@cache
def find() -> dict[str, Workload]:
    """All workloads by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = (importlib.import_module(f"{__name__}.{name}") for name in names)
    found: list[Workload] = [module.WORKLOAD for module in modules]
    return {workload.about.name: workload for workload in found}


def get(name: str) -> Workload:
    """The workload called `name`; raises UnknownName listing those there are."""
    workloads = find()
    if name not in workloads:
        raise UnknownName("workload", name, workloads)
    return workloads[name]
