"""Layers of JSON and typed access to their fields, for the file that Prophet saves.

Knows JSON and refusals, not what the fields mean (`prophet_file` does). Every refusal is a
BundleInvalid that names the file, the field and what it should have been.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from registry.errors import BundleInvalid

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def decoded(path: Path) -> dict[str, Any]:
    """The file's object, out of one or two layers of JSON."""
    try:
        value = _loads(path.read_bytes())
        value = _loads(value) if isinstance(value, str) else value
    except (OSError, ValueError, RecursionError) as fault:
        msg = f"{path.name}: cannot be read as JSON ({fault})"
        raise BundleInvalid(msg) from fault
    if not isinstance(value, dict):
        msg = f"{path.name}: expected a JSON object as Prophet saves it, got {type(value).__name__}"
        raise BundleInvalid(msg)
    return value


def _loads(text: str | bytes) -> Any:
    """JSON, and the NaN that Python writes and the standard does not know."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


@dataclass(frozen=True)
class Fields:
    """Typed access to the file's fields; each refusal names the file and the field."""

    file: str
    values: dict[str, Any]

    def fault(self, name: str, expected: str) -> BundleInvalid:
        """Make the refusal of one field."""
        return BundleInvalid(f"{self.file}: {name} must be {expected}")

    def need(self, name: str) -> Any:
        """Look up a field that every file has."""
        if name not in self.values:
            msg = f"{self.file}: {name} is missing; Prophet saves it with every fitted model"
            raise BundleInvalid(msg)
        return self.values[name]

    def number(self, name: str) -> float:
        """Look up a finite number."""
        return self.finite(name, self.need(name))

    def positive(self, name: str) -> float:
        """Look up a finite number above 0."""
        return self.above_zero(name, self.need(name))

    def finite(self, name: str, value: object) -> float:
        """Check `value`, for which `name` stands in the refusal."""
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise self.fault(name, f"a finite number, not {value!r:.60}")
        return float(value)

    def above_zero(self, name: str, value: object) -> float:
        """Check `value` to be a finite number above 0."""
        if self.finite(name, value) <= 0:
            raise self.fault(name, f"more than 0, not {value!r:.60}")
        return self.finite(name, value)

    def word(self, name: str, known: tuple[str, ...], default: str | None = None) -> str:
        """Look up one of the `known` words; `default` where older files lack the field."""
        value = self.need(name) if default is None else self.values.get(name, default)
        return self.one_of(name, value, known)

    def one_of(self, name: str, value: object, known: tuple[str, ...]) -> str:
        """Check `value` to be one of the `known` words."""
        if value not in known:
            raise self.fault(name, f"one of {', '.join(known)}, not {value!r:.60}")
        return str(value)

    def optional_text(self, name: str) -> str | None:
        """Look up a text that may be null."""
        value = self.need(name)
        return None if value is None else str(value)

    def array(self, name: str, value: object) -> NDArray[np.float64]:
        """A rectangular array of finite numbers."""
        try:
            array = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError) as fault:
            raise self.fault(name, "a rectangular array of numbers") from fault
        if not np.isfinite(array).all():
            raise self.fault(name, "finite: it holds NaN or infinity")
        return array

    def series(self, name: str) -> list[Any]:
        """The values of a pandas series saved with orient `split`; none where it is null."""
        saved = self.need(name)
        return [] if saved is None else list(_loads(saved)["data"])

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of a pandas frame saved with orient `table`; none where it is null."""
        return self.series(name)

    def ordered(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """The pairs of an ordered mapping, saved as [keys, mapping]."""
        keys, mapping = self.need(name)
        return [(key, mapping[key]) for key in keys]
