"""Fetching through MLflow's artifact proxy: which server is asked, as whom, and the real one."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.bundle import Manifest
from registry.errors import BundleInvalid, LostRace, Unreachable
from registry.settings import Settings
from serving.node.fetch import Fetcher
from serving.node.sources.addresses import Addresses
from serving.node.sources.proxy import Server
from tests.mlflow_home import MlflowTemplate
from tests.servingfakes.artifact_server import ArtifactServer
from tests.servingfakes.versions import folder

ROUTE = "/api/2.0/mlflow-artifacts/artifacts"
PATIENCE_SECONDS = 60


@pytest.fixture
def server() -> Iterator[ArtifactServer]:
    with ArtifactServer({"model.onnx": b"model"}).running() as running:
        yield running


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest.of(folder(tmp_path / "made", b"model"))


def _who(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _fetch(server: Server, source: str, manifest: Manifest, into: Path) -> None:
    Fetcher(addresses=Addresses(server).open, seconds=30).fetch(source, manifest, into)
    manifest.verify(into)


def test_the_tracking_server_is_asked_as_who_the_settings_say(
    server: ArtifactServer, manifest: Manifest, tmp_path: Path
) -> None:
    environ = {
        "BATON_LEDGER_URL": "sqlite:///ledger.db",
        "MLFLOW_TRACKING_URI": server.address,
        "MLFLOW_TRACKING_USERNAME": "node",
        "MLFLOW_TRACKING_PASSWORD": "pass:wörd",
    }
    addresses = Addresses.of(Settings.read(environ, dotenv=tmp_path / "none"))
    fetcher = Fetcher(addresses=addresses.open)
    fetcher.fetch("mlflow-artifacts:/1/m/artifacts", manifest, tmp_path / "into")
    ((path, headers),) = server.asked
    assert path == f"{ROUTE}/1/m/artifacts/model.onnx"
    assert headers["authorization"] == _who("node", "pass:wörd")


def test_a_name_in_the_tracking_uri_is_used_and_never_shown(
    server: ArtifactServer, manifest: Manifest, tmp_path: Path
) -> None:
    known = Server(server.address.replace("//", "//node:p%40ss@"))
    _fetch(known, "mlflow-artifacts:/1/artifacts", manifest, tmp_path / "into")
    assert server.asked[0][1]["authorization"] == _who("node", "p@ss")
    server.status = 403
    with pytest.raises(Unreachable, match=r"refused \(403\); MLFLOW_TRACKING_USERNAME") as caught:
        _fetch(known, "mlflow-artifacts:/1/artifacts", manifest, tmp_path / "again")
    assert "p@ss" not in str(caught.value)
    assert "p%40ss" not in str(caught.value)
    assert "p@ss" not in repr(Server("http://host", "node", "p@ss"))


def test_a_tracking_server_below_a_path_keeps_it(
    server: ArtifactServer, manifest: Manifest, tmp_path: Path
) -> None:
    _fetch(
        Server(f"{server.address}/ml/"), "mlflow-artifacts:/1/artifacts", manifest, tmp_path / "i"
    )
    assert server.asked[0][0] == f"/ml{ROUTE}/1/artifacts/model.onnx"


def test_another_host_is_asked_without_the_password(
    server: ArtifactServer, manifest: Manifest, tmp_path: Path
) -> None:
    """Else whoever registers a version could have it sent to a server of theirs."""
    host = server.address.removeprefix("http://")
    known = Server("http://mlflow.invalid:5000", "node", "secret")
    _fetch(known, f"mlflow-artifacts://{host}/1/artifacts", manifest, tmp_path / "into")
    assert "authorization" not in server.asked[0][1]


def test_a_redirect_is_not_followed_and_says_where_to(
    server: ArtifactServer, manifest: Manifest, tmp_path: Path
) -> None:
    server.status, server.location = 301, "https://elsewhere.invalid/"
    with pytest.raises(Unreachable, match=r"301.*elsewhere.invalid/: set MLFLOW_TRACKING_URI"):
        _fetch(Server(server.address), "mlflow-artifacts:/1/artifacts", manifest, tmp_path / "i")


def test_what_a_server_keeps_is_read_where_it_keeps_it_and_nowhere_else(
    manifest: Manifest, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path / "var", artifacts=str(tmp_path)).resolved()
    fetcher = Fetcher(addresses=Addresses.of(settings).open)
    fetcher.fetch("mlflow-artifacts:/made", manifest, tmp_path / "into")
    manifest.verify(tmp_path / "into")
    inside = Fetcher(addresses=Addresses(behind=str(tmp_path / "made")).open)
    with pytest.raises(BundleInvalid, match="leads out of what its server keeps"):
        inside.fetch("mlflow-artifacts:/%2e%2e/made", manifest, tmp_path / "out")


def test_a_node_without_a_server_says_what_to_set(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid, match="set MLFLOW_TRACKING_URI"):
        _fetch(Server("sqlite:///x.db"), "mlflow-artifacts:/1/artifacts", manifest, tmp_path / "i")


@pytest.fixture(scope="module")
def mlflow_server(
    mlflow_template: MlflowTemplate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """MLflow's own server with its proxy: its address, and where it keeps artifacts."""
    root = tmp_path_factory.mktemp("proxy")
    stored = mlflow_template.copy(root / "home")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    artifacts = root / "artifacts"
    artifacts.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    store = ["--backend-store-uri", stored.tracking_uri, "--workers", "1"]
    proxy = ["--serve-artifacts", "--artifacts-destination", str(artifacts)]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with root.joinpath("log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *store, *proxy], stdout=log, stderr=log, env={**os.environ, **quiet}
        )
    try:
        _wait(("127.0.0.1", port), process, root / "log")
        yield f"http://127.0.0.1:{port}", artifacts
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_SECONDS)


def _wait(address: tuple[str, int], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(address, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"MLflow's server does not start: {log.read_text(errors='replace')[-2000:]}")


def test_mlflows_own_proxy_hands_out_a_version_goes_on_and_names_what_is_missing(
    mlflow_server: tuple[str, Path], tmp_path: Path
) -> None:
    address, artifacts = mlflow_server
    content = bytes(range(256)) * 4096 * 4  # 4 MiB
    root = folder(artifacts / "1/m 1/artifacts", content, files={"MLmodel": "flavors: {}"})
    made, known = Manifest.of(root), Server(address)
    source, into = "mlflow-artifacts:/1/m 1/artifacts", tmp_path / "into"
    half = into / "model.onnx"
    addresses = Addresses(known).open
    with pytest.raises(LostRace):
        Fetcher(addresses=addresses).fetch(
            source, made, into, wanted=lambda: not half.exists() or not half.stat().st_size
        )
    have = half.stat().st_size
    assert 0 < have < len(content)
    half.write_bytes(b"x" * have)  # what is there already is not asked for again
    Fetcher(addresses=addresses).fetch(source, made, into)
    assert half.read_bytes() == b"x" * have + content[have:]
    _fetch(known, source, made, tmp_path / "anew")
    (root / "MLmodel").unlink()
    with pytest.raises(BundleInvalid, match="MLmodel: no such artifact"):
        _fetch(known, source, made, tmp_path / "again")
