"""A fresh embedded MLflow store for a test, without its migrations of several seconds each time."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from registry.settings import Settings
from training.tracking import Tracking


@functools.cache
def _template() -> Path:
    """An empty store, made once for the whole test session."""
    home = Path(tempfile.mkdtemp(prefix="baton-template-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    settings = Settings(home=home).resolved()
    Tracking(settings).client.search_experiments()
    return home / "mlflow.db"


def embedded(home: Path) -> Settings:
    """Settings of an embedded registry in the new directory `home`."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(_template(), home / "mlflow.db")
    return Settings(home=home, environment="test").resolved()
