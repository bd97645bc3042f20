"""Fixtures that more than one directory of tests uses."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.settings import Settings
from tests.fakes import FakeClock, World
from tests.missing import ServiceMissing
from tests.mlflow_home import MlflowTemplate
from tests.postgres import Postgres
from tests.seaweed import ObjectStore, Seaweed

_SAID = pytest.StashKey[list[str]]()


def pytest_configure() -> None:
    """Ctrl-C counts, for what tests start too: a shell's background jobs are born deaf to it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Have a line printed when the session ends: the last one is what `make nightly` shows."""
    return request.config.stash.setdefault(_SAID, []).append


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """See `say`."""
    for line in config.stash.get(_SAID, []):
        terminalreporter.write_line(line)


@pytest.fixture(scope="module", autouse=True)
def _unmoved_mlflow() -> Iterator[None]:
    """Whatever a module told MLflow ends with it: MLflow writes its URIs into the environment.

    What a fixture of the session told it before the module began ends too, and the keys that
    boto3's default session, which MLflow's client takes, keeps for ever.
    """
    uris = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    before = {name: value for name, value in os.environ.items() if name not in uris}
    yield
    if mlflow := sys.modules.get("mlflow"):
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
    if boto3 := sys.modules.get("boto3"):
        boto3.DEFAULT_SESSION = None
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that only the test moves."""
    return FakeClock()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Fakes for everything a change of Production touches."""
    made = World(tmp_path)
    yield made
    made.ledger.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server of this session's own; where none is installed, skipped on a laptop only."""
    try:
        server = Postgres.start()
    except ServiceMissing as missing:
        missing.skip_or_fail()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """The address of a new, empty database."""
    return postgres.new_database()


@pytest.fixture(scope="session")
def seaweed() -> Iterator[ObjectStore]:
    """A real S3 server of this session's own; where none is installed, skipped on a laptop only."""
    if named := ObjectStore.named():
        yield named
        return
    try:
        server = Seaweed.start()
    except ServiceMissing as missing:
        missing.skip_or_fail()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> MlflowTemplate:
    """An empty MLflow store to copy."""
    return MlflowTemplate.make(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def embedded(mlflow_template: MlflowTemplate, tmp_path: Path) -> Settings:
    """Settings of a BATON_HOME of this test's own, with an empty MLflow registry in it."""
    return mlflow_template.copy(tmp_path / "var")
