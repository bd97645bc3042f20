"""An embedded registry with versions in it that nobody could load, and a place for backups."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from registry.backup.export import back_up
from registry.backup.place import Backup, Place
from registry.backup.restore import Restored, Wish, restore
from registry.bundle import Manifest
from registry.ledger import Route
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from tests.fakes import draft


class Home:
    """See the module."""

    def __init__(self, settings: Settings, place: Path) -> None:
        self.settings, self.at = settings, place
        self.ledger = SqlLedger(settings.ledger_url)
        self.mlflow = MlflowClient(settings.tracking_uri, settings.registry_uri)

    @property
    def place(self) -> Place:
        return Place(str(self.at), endpoint="")

    def begin(self) -> None:
        self.experiment = self.mlflow.create_experiment("here", str(self.settings.artifacts_dir))
        self.mlflow.create_registered_model("iris")

    def version(self, text: str) -> Route:
        """Register one more."""
        run = self.mlflow.create_run(self.experiment)
        for name in ("model/model.onnx", "model/MLmodel", "notes.txt"):
            self.mlflow.log_text(run.info.run_id, f"{name} {text}", name)
        source = f"{run.info.artifact_uri}/model"
        made = self.mlflow.create_model_version("iris", source, run.info.run_id)
        hashed = Manifest.of(Path(source))
        return Route(
            version=int(made.version),
            created_ms=int(made.creation_timestamp),
            digest=hashed.digest,
            source=source,
            manifest=hashed,
        )

    def promote(self, to: Route) -> None:
        wanted = draft("iris", routes=(to,))
        self.ledger.append(wanted, expected=self.ledger.head("iris"), at_ms=1)

    def back_up(
        self, place: Place | None = None, say: Callable[[str], None] = lambda _: None
    ) -> Backup:
        return back_up(self.settings, place or self.place, keep_backups=2, say=say)

    def restore(self, place: Place | None = None, **wish: Any) -> Restored:
        return restore(self.settings, place or self.place, Wish(**wish), say=lambda _: None)

    def versions(self) -> list[int]:
        """In the file that is there now: MLflow would go on reading one that was deleted."""
        with closing(sqlite3.connect(self.settings.home / "mlflow.db")) as connection:
            return [
                n for (n,) in connection.execute("SELECT version FROM model_versions ORDER BY 1")
            ]

    def files(self) -> dict[str, str]:
        root = self.settings.artifacts_dir
        return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*.*") if p.is_file()}

    def lose(self) -> None:
        """Everything but the backups."""
        self.ledger.close()
        shutil.rmtree(self.settings.home)
        self.ledger = SqlLedger(self.settings.ledger_url)
