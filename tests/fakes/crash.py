"""A process that ends at a chosen call to a port: before the first, or right after any.

After one call is before the next, since nothing outside changes in between; so each call is ended
before and after with one point. `Doom` counts them; once it struck, whatever the process still
tries (a `finally`, a lease given back) comes to nothing, as after kill -9.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from registry.client import RegistryClient
from registry.ledger import Ledger
from registry.promotion import Ports


class Crash(BaseException):
    """The process ends here; nothing catches it."""


class Doom:
    """Strikes at point number `at`, counted from 1."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.points = 0
        self.where = ""

    @property
    def struck(self) -> bool:
        return bool(self.where)

    def reach(self, where: str) -> None:
        if not self.struck:
            self.points += 1
            if self.points < self.at:
                return
            self.where = where
        raise Crash(self.where)


class Doomed:
    """A port whose calls pass those points."""

    def __init__(self, port: object, doom: Doom) -> None:
        self._port = port
        self._doom = doom

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def call(*args: Any, **named: Any) -> Any:
            if self._doom.struck or not self._doom.points:
                self._doom.reach(f"before {name}")
            result = found(*args, **named)
            self._doom.reach(f"after {name}")
            return result

        return call


def doomed(ports: Ports, doom: Doom) -> Ports:
    """The ports of a process that ends when `doom` strikes."""
    return dataclasses.replace(
        ports,
        client=cast("RegistryClient", Doomed(ports.client, doom)),
        ledger=cast("Ledger", Doomed(ports.ledger, doom)),
    )
