"""A stand-in, for the benchmark only: versions with a marker file sleep when they are loaded.

An ONNX file cannot sleep. Python imports this module at its start because the benchmark puts this
folder on PYTHONPATH; no part of Baton knows of it. Every row measured with it says so.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_PATCHED = "serving.servable"
_MARKER = "sleeps.json"


class _Finder(importlib.abc.MetaPathFinder):
    """Lets `serving.servable` be found as ever, and wraps its loading."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _PATCHED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader:
            spec.loader.exec_module = _then_wrap(spec.loader)  # type: ignore[method-assign]
        return spec


def _then_wrap(loader: Any) -> Any:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        servable: Any = module.Servable
        load = servable.load.__func__

        def slow_load(cls: Any, root: Path, *positional: Any, **named: Any) -> Any:
            marker = Path(root) / _MARKER
            if marker.is_file():
                time.sleep(float(marker.read_text(encoding="ascii")))
            return load(cls, root, *positional, **named)

        servable.load = classmethod(slow_load)

    return exec_module


sys.meta_path.insert(0, _Finder())
