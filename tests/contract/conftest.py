"""A ledger in each database it can be kept in."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from tests.contract.mlflow_store import embedded
from tests.contract.trainings import TINY, Setting, train
from tests.servingfakes.lane_client import Client, LaneClient, Through
from training.job import Plan
from training.tracking import Tracking

Open = Callable[[], SqlLedger]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that is not there yet, or is empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'ledger.db'}"
    given = request.getfixturevalue("postgres_url")
    return Settings(ledger_url=given).resolved().ledger_url


@pytest.fixture
def open_ledger(url: str) -> Iterator[Open]:
    """Opens one more connection of a process's own to the same ledger."""
    opened: list[SqlLedger] = []

    def open_one() -> SqlLedger:
        opened.append(SqlLedger(url))
        return opened[-1]

    yield open_one
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger: Open) -> SqlLedger:
    """A new ledger."""
    return open_ledger()


@pytest.fixture(scope="module", params=["lane", "flask"])
def through(request: pytest.FixtureRequest) -> Iterator[Through]:
    """Asks an application by either way that a worker can be run: the same is to come back."""
    opened: list[LaneClient] = []

    def client(app: Flask) -> Client:
        if request.param == "flask":
            return app.test_client()
        opened.append(LaneClient(app))
        return opened[-1]

    yield client
    for one in opened:
        one.close()


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Setting]:
    """A workload's version by the workload's name; trained when it is first asked for.

    All of them go into one registry.
    """
    home = tmp_path_factory.mktemp("trained")
    settings = embedded(home / "var")

    @functools.cache
    def made(name: str) -> Setting:
        plan = Plan.of(name, settings, params=TINY.get(name))
        done = train(plan, settings)
        path = Tracking(settings).mlflow.artifacts.download_artifacts(
            artifact_uri=f"models:/{done.model}/{done.version}",
            dst_path=str(home / "versions" / name),
        )
        last = json.loads((settings.home / "last_trained.json").read_text(encoding="utf-8"))
        return Setting(settings, plan, done, Path(path), last)

    return made
