"""What a request may say beside its rows: MLflow's `params`, each of a type, with a default."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from registry.errors import BundleInvalid, SignatureMismatch
from registry.signature import Array, Column, Tensor, describe, narrowed

_TYPES = frozenset({"boolean", "integer", "long", "float", "double", "string", "datetime"})


@dataclass(frozen=True)
class Param:
    """One of them; a list of any length if `many`."""

    name: str
    type: str
    default: Any
    many: bool = False

    def checked(self, value: Any) -> Any:
        """`value` if MLflow would take it; raises SignatureMismatch, naming `params.<name>`."""
        field = f"params.{self.name}"
        if isinstance(value, list) != self.many:
            expected = f"a list of {self.type}" if self.many else self.type
            raise SignatureMismatch(field, expected=expected, got=describe(value))
        Column(field, self.type).array(value if self.many else [value])
        return value


def from_mlmodel(text: str | None) -> tuple[Param, ...]:
    """The params of a signature's JSON; those of types that are not ours keep their defaults."""
    try:
        return tuple(
            Param(spec["name"], spec["type"], spec["default"], many=bool(spec.get("shape")))
            for spec in json.loads(text or "[]")
            if spec["type"] in _TYPES
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BundleInvalid(f"MLmodel: its params cannot be read: {error!r}") from error


def changes(mine: Sequence[Param], theirs: Sequence[Param]) -> list[str]:
    """Why requests that say `theirs` would not be taken with `mine`; empty if they are."""
    named = {param.name: param for param in mine}
    reasons = []
    for old in theirs:
        new = named.get(old.name)
        if new is None:
            reasons.append(f"param {old.name!r} is gone")
        elif (was := _written(old)) != (now := _written(new)) and not _takes(new, old):
            reasons.append(f"param {old.name!r} was {was} and is {now}")
    return reasons


class Given:
    """The params that one model takes, as its engine takes them: one input of that name each."""

    def __init__(self, params: Sequence[Param], inputs: Sequence[Tensor]) -> None:
        """A param without an input is none that a request could change."""
        named = {tensor.name: tensor for tensor in inputs}
        self._taken = [(param, named[param.name]) for param in params if param.name in named]
        self.params = tuple(param for param, _ in self._taken)
        self.names = frozenset(param.name for param in self.params)

    def arrays(self, said: Any) -> Mapping[str, Array]:
        """What a request says, and defaults for the rest. Raises SignatureMismatch."""
        if not self._taken and not said:
            return {}
        given = {} if said is None else said
        if not isinstance(given, dict):
            raise SignatureMismatch("params", expected="an object", got=describe(given))
        if unknown := sorted(given.keys() - self.names):
            known = ", ".join(sorted(self.names)) or "none for this model"
            raise SignatureMismatch(f"params.{unknown[0]}", expected=known, got="an unknown param")
        return {
            param.name: _array(param.checked(given.get(param.name, param.default)), param, tensor)
            for param, tensor in self._taken
        }


def _written(param: Param) -> str:
    return f"a list of {param.type}" if param.many else param.type


def _takes(new: Param, old: Param) -> bool:
    return new.many == old.many and Column("", new.type).takes_all_of(Column("", old.type))


def _array(value: Any, param: Param, tensor: Tensor) -> Array:
    """Of the input's type and shape; where that is any object, the value itself without a shape."""
    if tensor.dtype == "object" and not tensor.shape:
        whole = np.empty((), dtype=object)
        whole[()] = value
        return whole
    field = f"params.{param.name}"
    array = narrowed(np.array(value), tensor.dtype, field=lambda _: field)
    shape = array.shape if param.many else (1,) * len(tensor.shape)
    fits = len(shape) == len(tensor.shape) and all(
        want in (-1, have) for want, have in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        raise SignatureMismatch(field, expected=str(tensor), got=f"shape {list(array.shape)}")
    return array.reshape(shape)
