"""Fetching from a real S3 server, as an identity that may read the bucket and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from registry.bundle import Manifest
from registry.errors import BundleInvalid, LostRace, Unreachable
from serving.node.fetch import Fetcher
from serving.node.sources.addresses import Addresses
from tests.seaweed import BUCKET, READER, WRITER, ObjectStore
from tests.servingfakes.versions import folder

PREFIX = "1/models/m-1/artifacts"
SOURCE = f"s3://{BUCKET}/{PREFIX}"
MODEL = bytes(range(256)) * 4096 * 8  # 8 MiB


@pytest.fixture(autouse=True)
def _as_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a node: boto3's own variables."""
    for name, value in READER.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)


@pytest.fixture
def manifest(seaweed: ObjectStore, tmp_path: Path) -> Manifest:
    root = folder(tmp_path / "made", MODEL, files={"MLmodel": "flavors: {}", "baton/a b#1": "{}"})
    (root / "empty").touch()
    made = Manifest.of(root)
    for name in made.files:
        seaweed.put(f"{PREFIX}/{name}", (root / name).read_bytes())
    return made


def _fetcher(seaweed: ObjectStore, **more: float) -> Fetcher:
    return Fetcher(addresses=Addresses(s3_endpoint=seaweed.endpoint).open, **more)


def test_a_version_arrives_with_every_byte(
    seaweed: ObjectStore, manifest: Manifest, tmp_path: Path
) -> None:
    _fetcher(seaweed).fetch(SOURCE, manifest, tmp_path / "into")
    manifest.verify(tmp_path / "into")


def test_a_prefix_may_be_empty_or_hold_what_means_something_in_addresses(
    seaweed: ObjectStore, manifest: Manifest, tmp_path: Path
) -> None:
    one = {name: digest for name, digest in manifest.files.items() if name == "MLmodel"}
    for number, prefix in enumerate(("", "a #1/50%25/what?/é")):
        seaweed.put(f"{prefix}/MLmodel".lstrip("/"), b"flavors: {}")
        into = tmp_path / str(number)
        _fetcher(seaweed).fetch(f"s3://{BUCKET}/{prefix}", Manifest(one), into)
        Manifest(one).verify(into)


def test_the_nodes_identity_can_neither_write_nor_list(seaweed: ObjectStore) -> None:
    """Else the tests here would not show that reading is enough."""
    if READER == WRITER:
        pytest.skip("one pair of keys for both was named: BATON_TEST_S3_READER_KEY, _SECRET")
    node = seaweed.client(READER)
    for forbidden in (
        lambda: node.put_object(Bucket=BUCKET, Key="x", Body=b""),
        lambda: node.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/MLmodel"),
        lambda: node.list_objects_v2(Bucket=BUCKET),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            forbidden()


def test_a_fetch_that_was_given_up_goes_on_from_where_it_was(
    seaweed: ObjectStore, manifest: Manifest, tmp_path: Path
) -> None:
    into = tmp_path / "into"
    half = into / "model.onnx"
    with pytest.raises(LostRace):
        _fetcher(seaweed).fetch(
            SOURCE, manifest, into, wanted=lambda: not half.exists() or not half.stat().st_size
        )
    have = half.stat().st_size
    assert 0 < have < len(MODEL)
    half.write_bytes(b"x" * have)  # what is there already is not asked for again
    _fetcher(seaweed).fetch(SOURCE, manifest, into)
    assert half.read_bytes() == b"x" * have + MODEL[have:]


def test_a_missing_object_is_named(
    seaweed: ObjectStore, manifest: Manifest, tmp_path: Path
) -> None:
    there = f"s3://{BUCKET}/elsewhere"
    with pytest.raises(BundleInvalid, match=f"{there}/MLmodel at http.*: no such object"):
        _fetcher(seaweed).fetch(there, manifest, tmp_path / "into")


@pytest.mark.parametrize("body", [b"longer than it was judged", b"short"])
def test_an_object_that_changed_its_size_is_refused(
    seaweed: ObjectStore, manifest: Manifest, tmp_path: Path, body: bytes
) -> None:
    seaweed.put(f"{PREFIX}/MLmodel", body)
    with pytest.raises(BundleInvalid, match=f"MLmodel: the manifest says 11 .* has {len(body)}"):
        _fetcher(seaweed).fetch(SOURCE, manifest, tmp_path / "into")


def test_an_object_that_got_shorter_than_what_came_is_refused(
    seaweed: ObjectStore, manifest: Manifest, tmp_path: Path
) -> None:
    seaweed.put(f"{PREFIX}/MLmodel", b"short")
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "MLmodel").write_bytes(b"flavors:")
    with pytest.raises(BundleInvalid, match="ends before byte 8"):
        _fetcher(seaweed).fetch(SOURCE, manifest, tmp_path / "into")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "InvalidAccessKeyId"),
    ],
)
def test_wrong_keys_are_told_with_what_to_do(
    seaweed: ObjectStore,
    manifest: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keys: dict[str, str],
    reason: str,
) -> None:
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unreachable, match=f"{reason}.*AWS credentials allow s3:GetObject"):
        _fetcher(seaweed).fetch(SOURCE, manifest, tmp_path / "into")


def test_a_bucket_that_may_not_be_read_is_told(
    seaweed: ObjectStore, manifest: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(Unreachable, match="s3://other/.*: refused"):
        _fetcher(seaweed).fetch("s3://other/x", manifest, tmp_path / "into")


def test_a_store_that_is_down_is_told_within_seconds(manifest: Manifest, tmp_path: Path) -> None:
    begun = time.monotonic()
    nowhere = Fetcher(addresses=Addresses(s3_endpoint="http://127.0.0.1:9").open, seconds=5)
    with pytest.raises(Unreachable, match="127.0.0.1:9.*look at the endpoint"):
        nowhere.fetch(SOURCE, manifest, tmp_path / "into")
    assert time.monotonic() - begun < 10
