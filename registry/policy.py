"""What a model's entry in the gates file allows: read from TOML, refused when it is not understood.

The file is reviewed like code; its digest stands in every promotion report. A model without an
entry gets `Policy()`: the gates that need no numbers.
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self, get_type_hints

from registry.errors import SettingsError, SignatureMismatch
from registry.job_bodies import TrainBody


class Adoption(StrEnum):
    """What happens to a version that was put into Production by hand."""

    GATE = "gate"
    TRUST = "trust"
    DENY = "deny"


class Packaging(StrEnum):
    """Whether a version that is code is converted before it is judged."""

    OFF = "off"
    AUTO = "auto"


class Rollback(StrEnum):
    """What the registrar does when a version it watches is worse than the one before."""

    AUTO = "auto"
    ALERT = "alert"
    OFF = "off"


class Retrain(StrEnum):
    """What a new training follows from."""

    MANUAL = "manual"
    ON_DRIFT = "on_drift"
    ON_SCHEDULE = "on_schedule"
    ON_ACCURACY = "on_accuracy"


class Promote(StrEnum):
    """Whether a version that such a training made is promoted, through all gates."""

    MANUAL = "manual"
    AUTO = "auto"


class Symptom(StrEnum):
    """What a version is watched for after its promotion."""

    ERRORS = "errors"
    LATENCY = "latency"
    CONFIDENCE = "confidence"


@dataclass(frozen=True, kw_only=True)
class MetricRule:
    """One demand on one metric.

    `gate` names a gate of registry/gates.py that takes rules. `min` and `max` bound the metric
    itself; `min_ratio` and `max_ratio` bound candidate ÷ compared. `baseline` names the naive
    forecast of `beats_baseline`. A `report_only` rule is shown but refuses nothing.
    """

    gate: str
    metric: str
    min: float | None = None
    max: float | None = None
    min_ratio: float | None = None
    max_ratio: float | None = None
    baseline: str = ""
    report_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The rules of one registered model. Empty `sources` and zero numbers mean: not asked.

    `watch` are the symptoms for which `rollback` happens within `watch_minutes` of a promotion.
    `train` is what a training that follows is asked for, as the body of `POST /train`.
    """

    adoption: Adoption = Adoption.GATE
    package: Packaging = Packaging.OFF
    sources: tuple[str, ...] = ()
    min_rows: int = 0
    max_age_days: float = 0
    max_latency_ms: float = 0
    allow_series_change: bool = False
    rollback: Rollback = Rollback.AUTO
    watch: tuple[Symptom, ...] = (Symptom.ERRORS,)
    watch_minutes: float = 15
    retrain: Retrain = Retrain.MANUAL
    promote: Promote = Promote.MANUAL
    every_hours: float = 24
    cool_down_hours: float = 6
    most_a_day: int = 2
    train: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[MetricRule, ...] = ()


@dataclass(frozen=True)
class GatesFile:
    """All policies of one file, and its SHA-256 (hex)."""

    digest: str
    policies: Mapping[str, Policy] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `path`; SettingsError names the model and the key that is not understood."""
        try:
            raw = path.read_bytes()
            tables = tomllib.loads(raw.decode())
        except (OSError, ValueError) as error:
            raise SettingsError(f"BATON_GATES: {path} cannot be read: {error}") from error
        models = tables.pop("models", {})
        if tables or not isinstance(models, dict):
            got = ", ".join(tables) or "no table"
            raise SettingsError(f"BATON_GATES: {path}: expected tables [models.NAME], got {got}")
        return cls(
            hashlib.sha256(raw).hexdigest(),
            {name: _policy(f"{path.name}: models.{name}", table) for name, table in models.items()},
        )

    def of(self, model: str) -> Policy:
        """The policy of a model: by its name, else by the first pattern that fits, else none."""
        if model in self.policies:
            return self.policies[model]
        fitting = (policy for name, policy in self.policies.items() if fnmatchcase(model, name))
        return next(fitting, Policy())


def _policy(where: str, table: Mapping[str, Any]) -> Policy:
    try:
        rest = dict(table)
        rules = tuple(_rule(f"{where}.gates", rule) for rule in rest.pop("gates", ()))
        _check_types(rest, Policy)
        rest |= {key: _READ[key](value) for key, value in rest.items() if key in _READ}
        return _consistent(Policy(**rest, rules=rules))
    except (TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"BATON_GATES: {where}: {error}") from error


def _consistent(policy: Policy) -> Policy:
    """The policy itself; ValueError if its parts do not fit."""
    if policy.retrain is not Retrain.MANUAL and not policy.train:
        raise ValueError(f"retrain = {policy.retrain.value!r} needs a table train")
    if policy.every_hours <= 0:
        raise ValueError(f"every_hours has to be more than 0, got {policy.every_hours:g}")
    return policy


def _trainable(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a training is asked for, if one could be; the registered model is the policy's own."""
    try:
        TrainBody.of(table)
    except SignatureMismatch as error:
        raise ValueError(f"train: {error}") from error
    if "model" in table:
        raise ValueError("train: model is what the entry is for, and cannot be another one")
    return table


# What a value of TOML becomes.
_READ: Mapping[str, Callable[[Any], Any]] = {
    "sources": tuple,
    "adoption": Adoption,
    "package": Packaging,
    "rollback": Rollback,
    "watch": lambda names: tuple(Symptom(name) for name in names),
    "retrain": Retrain,
    "promote": Promote,
    "train": _trainable,
}

# The TOML values that each type of field takes: an integer is a fine float, a boolean is not.
_TAKES: Mapping[Any, tuple[type, ...]] = {
    str: (str,),
    bool: (bool,),
    int: (int,),
    float: (int, float),
    float | None: (int, float),
    tuple[str, ...]: (list,),
    tuple[Symptom, ...]: (list,),
    Mapping[str, Any]: (dict,),
    **dict.fromkeys((Adoption, Packaging, Rollback, Retrain, Promote), (str,)),
}


def _check_types(table: Mapping[str, Any], kind: type) -> None:
    """Raise ValueError or TypeError unless every value fits the field of `kind` it is for."""
    hints = get_type_hints(kind)
    for key, value in table.items():
        items = value if isinstance(value, list) else ()
        if key in hints and (
            type(value) not in _TAKES.get(hints[key], ())
            or not all(isinstance(item, str) for item in items)
            or (isinstance(value, float) and not math.isfinite(value))
        ):
            raise ValueError(f"{key} cannot be {value!r}")


# What each gate with rules needs at least one of; it takes no other bound.
_BOUNDS = {
    "bound": ("min", "max"),
    "not_worse": ("min_ratio", "max_ratio"),
    "beats_baseline": ("min_ratio", "max_ratio"),
}

_ALL_BOUNDS = ("min", "max", "min_ratio", "max_ratio")


def _rule(where: str, table: Mapping[str, Any]) -> MetricRule:
    _check_types(table, MetricRule)
    rule = MetricRule(**table)
    if rule.gate not in _BOUNDS:
        raise SettingsError(
            f"BATON_GATES: {where}: unknown gate {rule.gate!r}; there is: {', '.join(_BOUNDS)}"
        )
    given = {bound for bound in _ALL_BOUNDS if getattr(rule, bound) is not None}
    if not given or not given <= set(_BOUNDS[rule.gate]):
        raise SettingsError(
            f"BATON_GATES: {where}: {rule.gate} of {rule.metric!r} needs "
            f"{' or '.join(_BOUNDS[rule.gate])}, got {', '.join(sorted(given)) or 'neither'}"
        )
    if (rule.gate == "beats_baseline") != bool(rule.baseline):
        raise SettingsError(
            f"BATON_GATES: {where}: a baseline's name belongs to beats_baseline, and only there"
        )
    return rule
