"""A fresh embedded registry for a test: copied, since making one runs sixty migrations."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from registry.client import MlflowRegistry
from registry.settings import Settings


@dataclass(frozen=True)
class MlflowTemplate:
    """An empty store of MLflow, made once a session."""

    database: Path

    @classmethod
    def make(cls, root: Path) -> MlflowTemplate:
        """Make one in the new directory `root`; takes seconds."""
        settings = Settings(home=root).resolved()
        uri = settings.tracking_uri
        MlflowRegistry(tracking_uri=uri, registry_uri=uri).models()
        return cls(root / "mlflow.db")

    def copy(self, home: Path) -> Settings:
        """Settings of an empty embedded registry in the new directory `home`."""
        home.mkdir(parents=True)
        shutil.copy(self.database, home / "mlflow.db")
        return Settings(home=home, environment="test").resolved()
