"""Everything a change of Production touches, faked around a real ledger on sqlite."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

from registry.arms import Plan, begin
from registry.lease import Lease
from registry.ledger import Entry, Role
from registry.model_version import ModelVersion, Stage
from registry.packager import Packager
from registry.policy import GatesFile, Policy
from registry.projection import project
from registry.promotion import Ports, promote
from registry.registrar import Registrar
from registry.sql_ledger import SqlLedger
from tests.fakes.bundles import write_bundle, write_code
from tests.fakes.clock import FakeClock
from tests.fakes.packager import FakePackager
from tests.fakes.registry import FakeRegistry
from tests.fakes.trial import FakeTrial


class World:
    """Ports over fakes, and short words for what a test makes happen; all of it below `root`."""

    def __init__(self, root: Path) -> None:
        """An empty registry and an empty ledger."""
        root.mkdir(exist_ok=True)
        self.root = root
        self.clock = FakeClock()
        self.client = FakeRegistry(self.clock)
        self.trial = FakeTrial()
        self.made = FakePackager(self.client, root)
        self.packager: Packager = self.made
        self.ledger = SqlLedger(f"sqlite:///{root / 'ledger.db'}")
        self.policies: dict[str, Policy] = {}
        self.knocks = 0

    @property
    def ports(self) -> Ports:
        """The ports, with the policies of this moment."""
        return Ports(
            client=self.client,
            ledger=self.ledger,
            trial=self.trial,
            packager=self.packager,
            gates=GatesFile("g" * 64, self.policies),
            now_ms=self.clock.now_ms,
        )

    def copy(self, root: Path) -> World:
        """The same world once more, to be changed apart from this one, which is closed."""
        self.ledger.close()
        root.mkdir()
        shutil.copy(self.root / "ledger.db", root / "ledger.db")
        twin = World(root)
        twin.clock = copy.copy(self.clock)
        twin.client = self.client.copy(twin.clock)
        twin.policies = dict(self.policies)
        return twin

    def train(self, model: str = "iris", **bundle: Any) -> ModelVersion:
        """Register a new version; `bundle` goes to `write_bundle`. Its bytes are its own."""
        number = sum(1 for _ in self.root.glob(f"{model}-*")) + 1
        bundle.setdefault("content", f"weights {number}")
        source = write_bundle(self.root / f"{model}-{number}", **bundle)
        return self.client.register(model, source, metrics={"accuracy": 0.95})

    def bring_code(self, model: str = "iris", *, flavour: str = "sklearn") -> ModelVersion:
        """Register a new version that is code, as somebody else would."""
        number = sum(1 for _ in self.root.glob(f"{model}-*")) + 1
        source = write_code(
            self.root / f"{model}-{number}", content=f"pickle {number}", flavour=flavour
        )
        return self.client.register(model, source, metrics={"accuracy": 0.95})

    def serve(self, version: ModelVersion) -> Entry:
        """Promote a version and draw it, as the command does."""
        promoted = promote(self.ports, version, actor="ada")
        project(self.ports, version.name)
        assert promoted.entry is not None
        return promoted.entry

    def trained_and_served(self, model: str = "iris") -> ModelVersion:
        """A new version, in Production."""
        version = self.train(model)
        self.serve(version)
        return version

    def put_beside(self, version: ModelVersion, role: Role = Role.SPLIT, **plan: Any) -> Entry:
        """A version beside what serves, drawn; a tenth of requests for a day, unless `plan`."""
        wanted = Plan(role=role, **{"percent": 10, **plan})
        entry = begin(self.ports, version, wanted, actor="bob").entry
        project(self.ports, version.name)
        return entry

    def registrar(self) -> Registrar:
        """A registrar that looked at everything once."""
        registrar = Registrar(self.ports, announce=self._knock, monotonic=self.clock.monotonic)
        registrar.step()
        return registrar

    def lease(self) -> Lease:
        """A lease of one more process, by the world's clock."""
        return Lease(self.ledger, monotonic=self.clock.monotonic)

    def click(self, version: ModelVersion, stage: Stage = Stage.PRODUCTION, **how: bool) -> None:
        """Somebody moves a version in MLflow's UI."""
        self.client.move(version.name, version.version, stage, **how)

    def serving(self, model: str = "iris") -> int | None:
        """The version at the ledger's head."""
        head = self.ledger.head(model)
        return head.route.version if head and head.route else None

    def shown(self, model: str = "iris") -> tuple[list[int], int | None]:
        """What MLflow shows: the versions in Production, and where the alias points."""
        snapshot = self.client.snapshot(model)
        return sorted(snapshot.production), snapshot.alias

    def tags(self, version: ModelVersion) -> dict[str, str]:
        """The tags a version has now."""
        return dict(self.client.version(version.name, version.version).tags)

    def _knock(self) -> None:
        self.knocks += 1
