"""A stand-in for the prediction log's database, for a server with this folder on PYTHONPATH.

Python imports this module at its start; from then on `registry.sql_predictions` is
`file_sink.py` beside it, which can be away without anything being stopped.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

_STANDS_FOR = "registry.sql_predictions"


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _STANDS_FOR:
            return None
        return importlib.util.spec_from_file_location(
            fullname, Path(__file__).with_name("file_sink.py")
        )


sys.meta_path.insert(0, _Finder())
