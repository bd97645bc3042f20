"""The versions that a process of batch scoring has, loaded when they are first asked.

    <directory>/versions.json    {"models": {name: {"root": …, "manifest": {…}}}, "engines": […]}

The name is the series that a version forecasts, or empty where one version answers every row.
`root` is the directory with its files, which are verified against the manifest before anything is
loaded from them.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from registry.bundle import Manifest
from registry.errors import BundleInvalid, SignatureMismatch
from serving.kinds import Limits
from serving.servable import Servable

# A partition is one request, however long it is.
_LIMITS = Limits(max_rows=10_000_000, max_horizon=1_000_000, max_pixels=1)
_MOST_LOADED = 10_000


class Versions:
    """All that can be asked here."""

    def __init__(self, directory: Path) -> None:
        """Read what there is; loads nothing yet."""
        told: dict[str, Any] = orjson.loads((directory / "versions.json").read_bytes())
        self._models: dict[str, dict[str, str]] = told["models"]
        self._engines = tuple(told["engines"])
        self._loaded = lru_cache(maxsize=_MOST_LOADED)(self._load)

    @property
    def names(self) -> tuple[str, ...]:
        """The series there are; one empty name where a single version answers every row."""
        return tuple(self._models)

    @property
    def is_fleet(self) -> bool:
        """Whether a row says by its series which version it asks."""
        return self.names != ("",)

    @property
    def first(self) -> Servable:
        """Any of them: they are all of one kind."""
        return self._loaded(self.names[0])

    def of(self, series: str) -> Servable:
        """The version of a series; raises SignatureMismatch if there is none, or BundleInvalid."""
        name = series.replace("/", "-").replace(":", "-")
        if name not in self._models:
            raise SignatureMismatch(
                "series", expected="one with a model in Production", got=repr(series)
            )
        return self._loaded(name)

    def _load(self, name: str) -> Servable:
        told = self._models[name]
        manifest = Manifest.from_json(orjson.loads(Path(told["manifest"]).read_bytes()))
        try:
            return Servable.load(
                Path(told["root"]), manifest, allowed=self._engines, limits=_LIMITS
            )
        except BundleInvalid as error:
            raise BundleInvalid(f"version of {name}: {error}" if name else str(error)) from error
