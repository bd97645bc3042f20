"""A version in a directory of this machine, served without any registry having named it.

`python -m serving --bundle DIR` serves it alone. As a fallback it serves only where a node that has
nothing yet cannot reach the ledger, and is shown as degraded until an entry replaces it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from registry.bundle import Manifest
from registry.errors import SettingsError
from registry.ledger import Key, Route
from serving.node.aspired import Aspired


@dataclass
class Directory:
    """The version in `path`; its model is named after the folder, `name@3` being version 3."""

    path: Path
    told: bool = False

    def __post_init__(self) -> None:
        """Raises SettingsError if it is no directory."""
        if not self.path.is_dir():
            raise SettingsError(f"{self.path}: expected the directory of a version, there is none")

    @property
    def model(self) -> str:
        """What the version is served as."""
        return self.path.resolve().name.partition("@")[0]

    @property
    def expected(self) -> Collection[str]:
        """See `Outlook.expected`."""
        return (self.model,)

    def news(self) -> Iterable[Aspired]:
        """See `Outlook.news`: the version, once."""
        if self.told:
            return []
        self.told = True
        return [self.aspired]

    @property
    def aspired(self) -> Aspired:
        """The version as it is on the disk now."""
        _, _, number = self.path.resolve().name.partition("@")
        manifest = Manifest.of(self.path)
        version = int(number) if number.isdigit() else 0
        changed_ms = self.path.stat().st_mtime_ns // 1_000_000
        route = Route(
            version=version,
            created_ms=changed_ms,
            digest=manifest.digest,
            source=str(self.path.resolve()),
            manifest=manifest,
        )
        return Aspired(model=self.model, key=Key(0, 1), at_ms=changed_ms, route=route)
