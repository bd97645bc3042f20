"""What `python -m serving` starts beside the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.settings import Settings
from serving.__main__ import _children


def names(**environ: str) -> list[str]:
    settings = Settings.read(environ, dotenv=Path("no.env"))
    return [child.name for child in _children(settings)]


def test_beside_a_ledger_of_this_machine_there_is_a_registrar(tmp_path: Path) -> None:
    assert names(BATON_HOME=str(tmp_path)) == ["gunicorn", "watcher", "shipper", "registrar"]


@pytest.mark.parametrize("registry", ["http://mlflow:5000", "sqlite:////mlflow.db"])
def test_beside_a_ledger_elsewhere_the_registrar_is_a_service_of_its_own(
    tmp_path: Path, registry: str
) -> None:
    ledger = "postgresql://baton_node:word@postgres/baton"
    found = names(BATON_HOME=str(tmp_path), BATON_LEDGER_URL=ledger, MLFLOW_TRACKING_URI=registry)
    assert found == ["gunicorn", "watcher", "shipper"]


def test_where_nothing_is_logged_there_is_no_shipper(tmp_path: Path) -> None:
    found = names(BATON_HOME=str(tmp_path), BATON_PREDICTIONS_URL="off")
    assert found == ["gunicorn", "watcher", "registrar"]
