"""Fetching over HTTP on a bad day: one suite over S3 and MLflow's proxy, against a real server."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.bundle import FileDigest, Manifest
from registry.errors import BundleInvalid, Unreachable
from serving.node.fetch import Fetcher
from serving.node.sources.addresses import Addresses
from serving.node.sources.proxy import Server
from tests.seaweed import READER
from tests.servingfakes.artifact_server import ArtifactServer

MODEL = bytes(range(256)) * 800  # 200 KiB
SOURCES = {
    "s3": "s3://mlflow/1/models/m-1/artifacts",
    "proxy": "mlflow-artifacts:/1/models/m-1/artifacts",
}
Fetch = Callable[..., None]


@pytest.fixture
def server() -> Iterator[ArtifactServer]:
    with ArtifactServer({"model.onnx": MODEL, "baton/a b.json": b"{}"}).running() as running:
        yield running


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture(params=SOURCES)
def fetch(
    request: pytest.FixtureRequest,
    server: ArtifactServer,
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Fetch:
    """Fetch what was judged from this test's server, through one kind of source."""
    for name, value in READER.items():
        monkeypatch.setenv(name, value)
    judged = Manifest({name: FileDigest("0" * 64, len(b)) for name, b in server.files.items()})

    def run(*, seconds: float = 30, address: str = "") -> None:
        at = address or server.address
        fetcher = Fetcher(addresses=Addresses(Server(at), at).open, seconds=seconds)
        fetcher.fetch(SOURCES[request.param], judged, into)

    return run


def _given_up(fetch: Fetch, seconds: float) -> str:
    """The words of a fetch that ends in time, however the store behaves."""
    begun = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        fetch(seconds=seconds)
    assert time.monotonic() - begun < seconds + 3
    return str(caught.value)


def test_a_version_arrives_whole(fetch: Fetch, server: ArtifactServer, into: Path) -> None:
    fetch()
    assert (into / "model.onnx").read_bytes() == MODEL
    assert (into / "baton" / "a b.json").read_bytes() == b"{}"
    assert server.ranges == [None, None]


def test_404_is_a_version_without_that_file(fetch: Fetch, server: ArtifactServer) -> None:
    del server.files["model.onnx"]
    with pytest.raises(BundleInvalid, match="model.onnx.*no such"):
        fetch()


@pytest.mark.parametrize("status", [500, 502, 503, 401, 403, 301])
def test_any_other_refusal_is_a_store_that_cannot_be_reached(
    fetch: Fetch, server: ArtifactServer, status: int
) -> None:
    server.status = status
    with pytest.raises(Unreachable, match=f"model.onnx.*{status}"):
        fetch()


def test_a_store_of_1_kb_a_second_is_given_up_at_the_deadline(
    fetch: Fetch, server: ArtifactServer, into: Path
) -> None:
    server.bytes_per_second = 1000
    assert "not all there after 3 s" in _given_up(fetch, 3)
    assert 0 < (into / "model.onnx").stat().st_size <= 4000
    server.bytes_per_second = None
    fetch()
    assert (into / "model.onnx").read_bytes() == MODEL


def test_a_store_that_never_answers_is_given_up_at_the_deadline(
    fetch: Fetch, server: ArtifactServer
) -> None:
    server.stays_silent = True
    assert "model.onnx: not all there after 1 s" in _given_up(fetch, 1)


def test_a_store_that_falls_silent_is_given_up_at_the_deadline_and_continued(
    fetch: Fetch, server: ArtifactServer, into: Path
) -> None:
    server.stays_silent_after = 1000
    assert "model.onnx: not all there after 3 s" in _given_up(fetch, 3)
    server.stays_silent_after = None
    fetch()
    assert (into / "model.onnx").read_bytes() == MODEL
    assert server.ranges == [None, "bytes=1000-", None]


def test_a_store_that_takes_no_connection_is_given_up_at_the_deadline(
    fetch: Fetch, server: ArtifactServer
) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        queued = [socket.socket() for _ in range(4)]
        for one in queued:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        begun = time.monotonic()
        with pytest.raises(Unreachable):
            fetch(seconds=1, address=f"http://127.0.0.1:{port}")
        assert time.monotonic() - begun < 4
        for one in queued:
            one.close()


def test_a_store_that_is_down_is_told_at_once(fetch: Fetch) -> None:
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="127.0.0.1:9"):
        fetch(address="http://127.0.0.1:9")
    assert time.monotonic() - begun < 10


def test_a_connection_that_breaks_in_the_middle_is_continued(
    fetch: Fetch, server: ArtifactServer, into: Path
) -> None:
    server.breaks_after = 90_000
    fetch()
    assert (into / "model.onnx").read_bytes() == MODEL
    assert server.ranges == [None, "bytes=90000-", "bytes=180000-", None]


def test_a_server_without_ranges_is_read_from_the_beginning(
    fetch: Fetch, server: ArtifactServer, into: Path
) -> None:
    server.stays_silent_after = 1000
    _given_up(fetch, 2)
    server.stays_silent_after, server.has_ranges = None, False
    fetch()
    assert (into / "model.onnx").read_bytes() == MODEL


@pytest.mark.parametrize("says_length", [True, False])
def test_a_server_that_sends_more_than_was_judged_is_cut_off(
    fetch: Fetch, server: ArtifactServer, into: Path, says_length: bool
) -> None:
    server.files["model.onnx"] = MODEL + bytes(50_000_000)
    server.says_length = says_length
    with pytest.raises(BundleInvalid, match="model.onnx: the manifest says 204800 bytes"):
        fetch()
    assert (into / "model.onnx").stat().st_size <= len(MODEL) if not says_length else True


@pytest.mark.parametrize("says_length", [True, False])
def test_a_file_that_is_shorter_than_judged_is_refused(
    fetch: Fetch, server: ArtifactServer, says_length: bool
) -> None:
    server.files["model.onnx"] = MODEL[:-1]
    server.says_length = says_length
    with pytest.raises(BundleInvalid, match="model.onnx: the manifest says 204800 bytes"):
        fetch()
