"""Which version of a model a node serves, when it is not the ledger that says so.

iris                  the ledger (Production)
iris@Staging          the version in that stage; the newest where there are several
iris@7                this version
iris@alias:champion   where the alias points
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.errors import SettingsError, UnknownName
from registry.model_version import ModelVersion, Stage

if TYPE_CHECKING:
    from registry.client import RegistryClient

_ALIAS = "alias:"


@dataclass(frozen=True)
class Selector:
    """A model, and what follows the `@`; empty for the ledger."""

    model: str
    what: str = ""

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Read one of the forms above. Raises SettingsError."""
        model, _, what = text.partition("@")
        stages = [stage.value for stage in Stage if stage is not Stage.NONE]
        named = what.removeprefix(_ALIAS) if what.startswith(_ALIAS) else ""
        if not model or not ("@" not in text or named or what.isdigit() or what in stages):
            raise SettingsError(
                f"BATON_MODELS: {text!r}: expected name, name@7, name@alias:champion or "
                f"name@ with one of {', '.join(stages)}"
            )
        return cls(model, what)

    @property
    def is_pinned(self) -> bool:
        """Whether something else than the ledger says what serves."""
        return bool(self.what)

    def resolve(self, client: RegistryClient) -> ModelVersion | None:
        """The version meant at this moment; None if there is none. May raise Unreachable."""
        try:
            if self.what.startswith(_ALIAS):
                number = client.alias(self.model, self.what.removeprefix(_ALIAS))
                return None if number is None else client.version(self.model, number)
            if self.what.isdigit():
                return client.version(self.model, int(self.what))
            found = client.versions(self.model)
            return next((one for one in found if one.stage == self.what), None)
        except UnknownName:
            return None

    def __str__(self) -> str:
        """As it is written in BATON_MODELS."""
        return f"{self.model}@{self.what}" if self.what else self.model
