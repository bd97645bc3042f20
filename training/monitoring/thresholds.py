"""The thresholds of every rule, for each model: read from TOML, refused when not understood.

The packaged `rules.toml` has all defaults; a file of one's own (BATON_RULES) changes single keys.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self, get_type_hints

from registry.errors import SettingsError

PACKAGED = Path(__file__).with_name("rules.toml")
RULES = (
    "drift",
    "prediction_drift",
    "confidence",
    "low_confidence",
    "inference_time",
    "one_class",
    "deviation",
    "accuracy",
    "error_drift",
)
_SHARES = ("low_confidence", "low_confidence_share", "class_share", "accuracy", "mean_confidence")


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What holds for one model; each key is explained in rules.toml.

    `baseline` is what predictions are held against where their records carry no last known price.
    """

    span_seconds: float
    samples: int
    off: tuple[str, ...]
    drift_psi: float
    drift_samples: int
    drift_chance: float
    mean_confidence: float
    low_confidence: float
    low_confidence_share: float
    inference_seconds: float
    class_share: float
    deviation: float
    truth_days: float
    truth_samples: int
    accuracy: float
    error_slack: float
    error_alarm: float
    baseline: float | None = None


@dataclass(frozen=True)
class RulesFile:
    """The defaults, and what single models change of them."""

    default: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, own: Path | None = None) -> Self:
        """The packaged rules, with those of the file `own` over them.

        Raises SettingsError naming the file, the model and the key that is not understood.
        """
        packaged = _tables(PACKAGED)
        given = _tables(own) if own else {}
        default = {**packaged.get("default", {}), **given.get("default", {})}
        models = {**packaged.get("models", {}), **given.get("models", {})}
        where = f"BATON_RULES: {own or PACKAGED.name}"
        made = cls(
            _checked(f"{where}: default", default),
            {name: _checked(f"{where}: models.{name}", table) for name, table in models.items()},
        )
        Thresholds(**made.default)
        return made

    def of(self, model: str) -> Thresholds:
        """Those of a model: by its name, else by the first pattern that fits, else the defaults."""
        own = self.models.get(model)
        if own is None:
            fitting = (table for name, table in self.models.items() if fnmatchcase(model, name))
            own = next(fitting, {})
        return Thresholds(**{**self.default, **own})


def _tables(path: Path) -> dict[str, Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"BATON_RULES: {path} cannot be read: {error}") from error
    if unknown := tables.keys() - {"default", "models"}:
        raise SettingsError(
            f"BATON_RULES: {path}: expected tables [default] and [models.NAME], "
            f"got {', '.join(sorted(unknown))}"
        )
    models = tables.get("models", {})
    given = [*tables.values(), *(models.values() if isinstance(models, dict) else ())]
    if not all(isinstance(table, dict) for table in given):
        raise SettingsError(f"BATON_RULES: {path}: expected tables [default] and [models.NAME]")
    return tables


def _checked(where: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with its values in their types; raises SettingsError."""
    hints = get_type_hints(Thresholds)
    known = [field.name for field in fields(Thresholds)]
    return {key: _value(f"{where}: {key}", hints.get(key), table[key], known) for key in table}


def _value(where: str, kind: Any, value: Any, known: list[str]) -> Any:
    if kind is None:
        raise SettingsError(f"{where}: unknown; there is: {', '.join(known)}")
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not set(map(str, value)) <= {*RULES}:
            raise SettingsError(f"{where}: expected names of {', '.join(RULES)}, got {value!r}")
        return tuple(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or (kind is int and not isinstance(value, int)):
        raise SettingsError(
            f"{where}: expected {'an integer' if kind is int else 'a number'}, got {value!r}"
        )
    name = where.rpartition(" ")[2]
    if name in _SHARES and not 0 <= value <= 1:
        raise SettingsError(f"{where}: expected a share from 0 to 1, got {value!r}")
    if name == "drift_chance" and value >= 1:
        raise SettingsError(f"{where}: expected less than 1, got {value!r}")
    if name != "baseline" and name not in _SHARES and value <= 0:
        raise SettingsError(f"{where}: expected more than 0, got {value!r}")
    return value
