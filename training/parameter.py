"""A workload's parameters: their names, types and defaults, and how typed text becomes a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from registry.errors import UnknownName, UsageError

Value = bool | int | float | str
Values = Mapping[str, Value]

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included; with `log`, evenly in the logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter; its type is the type of its default. `minimum` is inclusive.

    `search` is what a search may try: a range of numbers or some of the choices. Without it the
    parameter is left as it is.
    """

    name: str
    default: Value
    help: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    search: Range | tuple[str, ...] | None = None

    def parse(self, given: object) -> Value:
        """`given` (text from a command line, or a value) in this type; raise UsageError."""
        value = self._typed(given)
        if self.choices and value not in self.choices:
            raise UsageError(f"{self.name}: expected {' or '.join(self.choices)}, got {given!r}")
        if isinstance(value, int | float):
            if self.minimum is not None and not value >= self.minimum:
                raise UsageError(f"{self.name}: expected at least {self.minimum:g}, got {given!r}")
            if self.maximum is not None and not value <= self.maximum:
                raise UsageError(f"{self.name}: expected at most {self.maximum:g}, got {given!r}")
        return value

    def _typed(self, given: object) -> Value:
        """`given` as the default's type, without rounding anything away."""
        wanted = type(self.default)
        if isinstance(given, bool | int | float | str) and type(given) is wanted:
            return given
        if wanted is float and type(given) is int:
            return float(given)
        if isinstance(given, str):
            try:
                return _WORDS[given.lower()] if wanted is bool else wanted(given)
            except (KeyError, ValueError):
                pass
        raise UsageError(f"{self.name}: expected {wanted.__name__}, got {given!r}")


def resolve(parameters: Sequence[Parameter], given: Mapping[str, object]) -> dict[str, Value]:
    """Every parameter's value; raise UnknownName for a name that none of them has."""
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            raise UnknownName("parameter", name, sorted(known))
    return {n: p.parse(given[n]) if n in given else p.default for n, p in known.items()}
