"""What only MLflow's own registry does: pages, runs, object stores, addresses with passwords."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry.client import MlflowRegistry
from registry.errors import Unreachable
from registry.settings import Settings
from tests.contract.registries import OnSqlite
from tests.fakes import FakeClock, FakeRegistry


@pytest.fixture
def mlflow(embedded: Settings) -> OnSqlite:
    """An empty registry."""
    return OnSqlite(embedded)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The files of a version."""
    root = tmp_path / "source"
    root.mkdir()
    root.joinpath("MLmodel").write_text("flavors: {}\n")
    return root


def test_more_versions_than_a_page_are_all_found(mlflow: OnSqlite, source: Path) -> None:
    mlflow.create_model("iris")
    for _ in range(205):
        mlflow.raw.create_model_version("iris", str(source))
    assert [v.version for v in mlflow.client.versions("iris")] == list(range(205, 0, -1))


def test_two_who_set_the_same_new_tag_at_once_both_succeed(
    mlflow: OnSqlite, source: Path, embedded: Settings
) -> None:
    """MLflow itself looks and then inserts: without a second try one of them fails now and then."""
    mlflow.create_model("iris")
    version = mlflow.register("iris", source)
    clients = [
        MlflowRegistry(tracking_uri=embedded.tracking_uri, registry_uri=embedded.registry_uri)
        for _ in range(2)
    ]
    together = threading.Barrier(2)

    def tag(client: MlflowRegistry) -> None:
        for number in range(40):
            together.wait(30)
            client.tag_model("iris", f"m{number}", "x")
            client.tag(version, {f"v{number}": "x"})

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(tag, client) for client in clients]:
            done.result(60)
    assert len(mlflow.client.version("iris").tags) == 40


def test_a_run_that_was_deleted_for_good_is_no_obstacle(mlflow: OnSqlite, source: Path) -> None:
    mlflow.create_model("iris")
    mlflow.raw.create_model_version("iris", str(source), "0123456789abcdef0123456789abcdef")
    version = mlflow.client.version("iris")
    assert mlflow.client.run_metrics(version) == {}
    mlflow.client.log_report(version, {"report.md": "x"}, "baton/iris/v1")


def test_an_object_store_that_does_not_answer_is_unreachable(
    mlflow: OnSqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    mlflow.create_model("iris")
    mlflow.raw.create_model_version("iris", "s3://bucket/iris")
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(Unreachable):
        mlflow.client.download(mlflow.client.version("iris"), into)


def test_a_password_does_not_stand_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = "http://ada:secret@127.0.0.1:1"
    client = MlflowRegistry(tracking_uri=uri, registry_uri=uri)
    with pytest.raises(Unreachable) as caught:
        client.models()
    assert "secret" not in str(caught.value)


def test_the_fake_fails_once_where_it_is_told_to() -> None:
    client = FakeRegistry(FakeClock())
    client.fail_next("models")
    with pytest.raises(Unreachable, match="models"):
        client.models()
    assert client.models() == {}
