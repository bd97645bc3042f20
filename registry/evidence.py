"""Evidence about versions: their bytes, hashed and tried, and of code what it was converted to.

Holds no lock and changes nothing, but that a conversion may be ordered. Called by promotion.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from registry.bundle import RUNNER, Bundle, Manifest
from registry.candidate import Conversion, Current
from registry.client import RegistryClient
from registry.errors import BundleInvalid, NotPackaged, Underway, UnknownName
from registry.ledger import Entry
from registry.model_version import ModelVersion
from registry.packager import FLAVOURS, PACKAGE_TAG, Package, Packager
from registry.policy import Packaging
from registry.trial import Trial, TrialReport

KIND_TAG = "baton.kind"


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A version as it was found: what would serve, from where, and how its trial went.

    `problem` says what is wrong with the files; `conversion` what came of converting a version that
    is code, None if nobody wanted that.
    """

    manifest: Manifest
    trial: TrialReport
    source: str = ""
    bundle: Bundle | None = None
    problem: str = ""
    conversion: Conversion | None = None


@dataclass(frozen=True, kw_only=True)
class Examiner:
    """Makes the evidence, through the ports of promotion."""

    client: RegistryClient
    trial: Trial
    packager: Packager

    def examine(self, version: ModelVersion, root: Path, *, packaging: Packaging) -> Examined:
        """Download, hash and try a version in the empty directory `root`.

        Of a version that is code the package is looked at instead, if it has one; with `packaging`
        AUTO it is made first. Raises Underway while that is being done elsewhere.
        """
        if self.packager.is_at_work(version):
            raise Underway(f"{version}: is being converted to ONNX; it is judged after that")
        own, kind = root / "version", version.tags.get(KIND_TAG)
        manifest = Manifest({})
        try:
            self.client.download(version, own)
            manifest = dataclasses.replace(Manifest.of(own), kind=kind)
            bundle = Bundle.open(own, kind=kind)
        except BundleInvalid as error:
            return _unusable(manifest, str(error))
        found = Examined(
            manifest=manifest,
            trial=TrialReport(ok=False),
            source=self.client.source(version),
            bundle=bundle,
        )
        if bundle.engine == RUNNER:
            try:
                found = self._packaged(version, found, root / "package", packaging)
            except NotPackaged as error:
                tried = TrialReport(ok=False, reason="not converted, so it was not tried")
                failed = Conversion(ok=False, said=str(error))
                return dataclasses.replace(found, trial=tried, conversion=failed)
        assert found.bundle
        tried = self.trial.run(found.bundle.root, manifest=found.manifest)
        return dataclasses.replace(found, trial=tried)

    def current(self, head: Entry | None) -> Current | None:
        """What is Production now, from its files; without them only its number and digest."""
        route = head.route if head else None
        if head is None or route is None:
            return None
        bare = Current(version=route.version, digest=route.digest)
        with tempfile.TemporaryDirectory(prefix="baton-current-") as scratch:
            root = Path(scratch, "version")
            try:
                self.client.version(head.model, route.version)
                self.client.fetch(route.source, root)
                route.manifest.verify(root)
                bundle = Bundle.open(root, kind=route.manifest.kind)
            except (BundleInvalid, UnknownName):
                return bare
            return dataclasses.replace(
                bare,
                signature=bundle.signature,
                params=bundle.params,
                labels=bundle.labels,
                evaluation=bundle.evaluation,
            )

    def _packaged(
        self, version: ModelVersion, found: Examined, into: Path, packaging: Packaging
    ) -> Examined:
        """What was converted instead of the code; `found` itself where nobody wants that."""
        flavours = sorted(FLAVOURS & {*(found.bundle.flavours if found.bundle else ())})
        is_auto = packaging is Packaging.AUTO and bool(flavours)
        package = Package.of(version.tags)
        if package and package.made_from == found.manifest.digest:
            try:
                return self._instead(package, found, into)
            except NotPackaged:
                if not is_auto:
                    raise
        elif PACKAGE_TAG in version.tags and not is_auto:
            raise NotPackaged(
                f"{version}: its tag {PACKAGE_TAG} is of other bytes: take it away, or run "
                f"`python -m training package {version.name} {version.version}` again"
            )
        return self._instead(self.packager.package(version), found, into) if is_auto else found

    def _instead(self, package: Package, found: Examined, into: Path) -> Examined:
        """The package's files in the place of the version's; NotPackaged if they are not those."""
        shutil.rmtree(into, ignore_errors=True)  # of one that was none
        try:
            self.client.fetch(package.address, into)
            manifest = Manifest.of(into)
            bundle = Bundle.open(into)
        except BundleInvalid as error:
            raise NotPackaged(f"the package at {package.address}: {error}") from error
        expected = (package.digest, found.manifest.digest)
        if (got := (manifest.digest, bundle.packaged_from)) != expected:
            raise NotPackaged(
                f"the package at {package.address}: expected digest {expected[0]}, made from "
                f"{expected[1]}, got {got[0]}, made from {got[1] or 'nothing'}"
            )
        return dataclasses.replace(
            found,
            manifest=manifest,
            source=package.address,
            bundle=bundle,
            conversion=Conversion(ok=True, said=f"serves from {package.address}"),
        )


def _unusable(manifest: Manifest, problem: str) -> Examined:
    return Examined(manifest=manifest, trial=TrialReport(ok=False, reason=problem), problem=problem)
