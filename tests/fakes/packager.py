"""A packager that runs nothing: what it makes of a version is a bundle of the fakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from registry.bundle import Manifest
from registry.errors import NotPackaged
from registry.model_version import ModelVersion
from registry.packager import PACKAGE_TAG, Package
from tests.fakes.bundles import write_bundle
from tests.fakes.registry import FakeRegistry


class FakePackager:
    """The `Packager` port; `asked` are the versions that it converted, or tried to.

    It refuses with `reason` if there is one; `meanwhile` is called in the middle of each.
    """

    def __init__(self, client: FakeRegistry, root: Path) -> None:
        """What it makes lies below `root`."""
        self._client, self._root = client, root
        self.asked: list[str] = []
        self.reason = ""
        self.meanwhile: Callable[[], object] = lambda: None

    def package(self, version: ModelVersion) -> Package:
        """See `Packager.package`."""
        self.asked.append(str(version))
        self.meanwhile()
        if self.reason:
            raise NotPackaged(self.reason)
        made_from = Manifest.of(Path(version.source)).digest
        folder = self._root / f"package-{len(self.asked)}"
        write_bundle(folder, content=f"graph {len(self.asked)}", packaged_from=made_from)
        package = Package(str(folder), Manifest.of(folder).digest, made_from)
        self._client.tag(version, {PACKAGE_TAG: json.dumps(package.to_json())})
        return package

    def is_at_work(self, version: ModelVersion) -> bool:
        """See `Packager.is_at_work`."""
        return False
