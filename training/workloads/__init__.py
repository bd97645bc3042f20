"""The workloads: every module here that ends with `WORKLOAD = …`, or `WORKLOADS` for several."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from registry.errors import SettingsError, UnknownName
from training.workload import Workload


@cache
def find() -> dict[str, Workload]:
    """All workloads by name; raises SettingsError if two have the same."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return by_name(workload for module in modules for workload in _of(module))


def get(name: str, *, configuration: Mapping[str, Any] | None = None) -> Workload:
    """The workload called `name`; with the content of a configuration file, the one it describes.

    Raises UnknownName listing those there are, or SettingsError for what is wrong in the file,
    which `name` is then the path of.
    """
    if configuration is not None:
        from training.workloads.tabular import configured  # noqa: PLC0415 - found like the others

        return configured(configuration, where=name)
    workloads = find()
    if name not in workloads:
        raise UnknownName("workload", name, workloads)
    return workloads[name]


def by_name(workloads: Iterable[Workload]) -> dict[str, Workload]:
    """`workloads` by their names; raises SettingsError if two have the same."""
    found: dict[str, Workload] = {}
    for workload in workloads:
        if (name := workload.about.name) in found:
            raise SettingsError(f"workload {name!r}: there are two of this name; rename one")
        found[name] = workload
    return found


def _of(module: ModuleType) -> Iterator[Workload]:
    """The one or the many of a module."""
    if hasattr(module, "WORKLOADS"):
        yield from module.WORKLOADS
    else:
        yield module.WORKLOAD
