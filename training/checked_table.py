"""A table of a TOML file whose every key is asked for by name and type; none may be left over.

A refusal is a SettingsError: file, key, what was expected, what came. Used by `configuration.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from registry.errors import SettingsError, UsageError
from training.parameter import Parameter

_REQUIRED: Final = object()


class CheckedTable:
    """`values` of the file `where`; `prefix` is how its keys begin in messages, as `data.`."""

    def __init__(self, where: str, values: Mapping[str, Any], *, prefix: str = "") -> None:
        """Nothing is asked for yet."""
        self._where, self._prefix, self._values = where, prefix, values
        self._known: list[str] = []

    def wrong(self, key: str, expected: str, got: str | None = None) -> SettingsError:
        """The refusal of a key's value; `got` where the value itself does not say it."""
        came = got or (repr(self._values[key]) if key in self._values else "nothing")
        return SettingsError(f"{self._where}: {self._prefix}{key}: expected {expected}, got {came}")

    def take(
        self,
        key: str,
        expected: str,
        fits: Callable[[Any], object],
        default: object = _REQUIRED,
    ) -> Any:
        """The value of `key`, which must fit; `default`, if there is one, where it is left out."""
        self._known.append(key)
        if key not in self._values and default is not _REQUIRED:
            return default
        if key not in self._values or not fits(self._values[key]):
            raise self.wrong(key, expected)
        return self._values[key]

    def table(self, key: str, default: object = _REQUIRED) -> CheckedTable:
        """A table inside this one."""
        values = self.take(key, "a table", lambda value: isinstance(value, dict), default)
        return CheckedTable(self._where, values, prefix=f"{self._prefix}{key}.")

    def switch(self, key: str, *, default: bool) -> bool:
        """True or false."""
        return bool(self.take(key, "true or false", lambda v: isinstance(v, bool), default))

    def text(
        self,
        key: str,
        default: object = _REQUIRED,
        *,
        expected: str = "a text that is not empty",
        fits: Callable[[str], object] = str.strip,
    ) -> str:
        """A text that fits."""
        return str(self.take(key, expected, lambda v: isinstance(v, str) and fits(v), default))

    def choice(self, key: str, known: Collection[str], default: object = _REQUIRED) -> str:
        """One of `known`."""
        expected = f"one of {', '.join(known)}"
        return self.text(key, default, expected=expected, fits=lambda text: text in known)

    def names(
        self,
        key: str,
        default: object = _REQUIRED,
        *,
        least: int,
        same: Callable[[str], str] = str,
        what: str = "texts",
    ) -> tuple[str, ...]:
        """A list of `least` texts or more, none empty, none twice (by `same`)."""
        expected = f"a list of at least {least} different {what}"

        def fits(value: Any) -> bool:
            if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
                return False
            return len(value) >= least and all(v.strip() for v in value)

        given = tuple(self.take(key, expected, fits, default))
        kinds = [same(name) for name in given]
        twice = [name for name in given if kinds.count(same(name)) > 1]
        if twice:
            raise self.wrong(key, expected, f"{twice[0]!r} twice")
        return given

    def parameter(self, parameter: Parameter) -> Parameter:
        """`parameter` with this table's value, if it has one, as its default."""
        self._known.append(parameter.name)
        if parameter.name not in self._values:
            return parameter
        given = self._values[parameter.name]
        if isinstance(given, str) and not isinstance(parameter.default, str):
            raise self.wrong(parameter.name, type(parameter.default).__name__)
        try:
            return dataclasses.replace(parameter, default=parameter.parse(given))
        except UsageError as error:
            raise SettingsError(f"{self._where}: {self._prefix}{error}") from error

    def given(self, parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
        """Those of `parameters` that this table sets, each with its value as default."""
        read = [(one.name, self.parameter(one)) for one in parameters]
        return tuple(one for name, one in read if name in self._values)

    def close(self, of: str = "key") -> None:
        """Refuse what nobody asked for, listing what there is; `of` is what a key is here."""
        for key in self._values:
            if key not in self._known:
                expected = f"one of {', '.join(sorted(self._known))}"
                raise self.wrong(key, expected, f"an unknown {of}")
