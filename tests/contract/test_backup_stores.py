"""One suite over both kinds of store that backups are made of and kept in: a directory, and S3."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import Any

import pytest

from registry.backup.place import Place, open_store
from registry.backup.store import Store, overlap, spooled
from registry.errors import SettingsError, StepFailed, Unreachable, UsageError
from tests.missing import ServiceMissing
from tests.seaweed import BUCKET, READER, WRITER, Seaweed
from tests.servingfakes.disks import small_disk

BIG = bytes(range(256)) * 64 * 1024  # 16 MiB: S3 takes it in parts


@pytest.fixture(params=["directory", "s3"])
def address(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """Where a store may be, and the endpoint."""
    if request.param == "directory":
        return str(tmp_path / "new" / "store"), ""
    server = request.getfixturevalue("seaweed")
    for name, value in WRITER.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}", server.endpoint


@pytest.fixture
def store(address: tuple[str, str]) -> Store:
    return open_store(address[0], what="a test", endpoint=address[1])


def names(store: Store, below: str = "") -> list[str]:
    return sorted(found.name for found in store.files(below))


def read(store: Store, name: str) -> bytes:
    with store.read(name) as file:
        return file.read()


def test_what_is_written_is_read_back(store: Store) -> None:
    assert names(store) == []
    bodies = {"a/b c#1.txt": b"one", "a/empty": b"", "a.b/é%20": b"two", "big": BIG}
    for name, body in bodies.items():
        store.write(name, io.BytesIO(body))
    assert names(store) == sorted(bodies)
    assert names(store, "a/") == ["a/b c#1.txt", "a/empty"]
    assert {name: read(store, name) for name in bodies} == bodies
    assert {found.name: found.size for found in store.files()}["big"] == len(BIG)
    store.settle()
    assert names(store) == sorted(bodies)


def test_other_bytes_have_another_stamp(store: Store) -> None:
    store.write("x", io.BytesIO(b"one"))
    [first] = store.files()
    assert next(iter(store.files())).stamp == first.stamp
    store.write("x", io.BytesIO(b"two"))
    [second] = store.files()
    assert second.size == first.size
    assert second.stamp != first.stamp


def test_what_is_not_there_is_missing_and_may_be_deleted(store: Store) -> None:
    store.write("x/y", io.BytesIO(b"one"))
    store.delete("x/y")
    store.delete("x/y")
    assert names(store) == []
    with pytest.raises(FileNotFoundError), store.read("x/y"):
        pass


def test_a_write_that_breaks_off_leaves_what_was_there(store: Store) -> None:
    store.write("x", io.BytesIO(b"one"))

    class Breaking(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise RuntimeError("broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        store.write("x", Breaking(BIG))
    assert names(store) == ["x"]
    assert read(store, "x") == b"one"


def test_a_spool_has_everything_or_is_none(store: Store) -> None:
    store.write("x", io.BytesIO(BIG))
    with spooled(store, "x", None) as spool:
        assert (spool.size, spool.file.read()) == (len(BIG), BIG)


def test_a_place_belongs_to_one_ledger(address: tuple[str, str]) -> None:
    place = Place(address[0], endpoint=address[1])
    place.claim("one")
    place.claim("one")
    with pytest.raises(UsageError, match="keeps backups of ledger one, and .* is ledger two"):
        place.claim("two")


def test_a_store_with_something_else_in_it_is_no_place(
    store: Store, address: tuple[str, str]
) -> None:
    store.write("1/model.onnx", io.BytesIO(b"weights"))
    with pytest.raises(UsageError, match="something else in it"):
        Place(address[0], endpoint=address[1]).claim("one")


def test_a_mark_somebody_wrote_into_is_named(store: Store, address: tuple[str, str]) -> None:
    store.write("place.json", io.BytesIO(b"{"))
    with pytest.raises(StepFailed, match="place.json: cannot be read"):
        Place(address[0], endpoint=address[1]).claim("one")


def test_a_place_of_a_newer_baton_is_refused(store: Store, address: tuple[str, str]) -> None:
    store.write("place.json", io.BytesIO(b'{"format": 2, "ledger": "one"}'))
    with pytest.raises(UsageError, match="newer Baton"):
        Place(address[0], endpoint=address[1]).claim("one")


def test_a_folder_whose_mark_is_missing_is_no_backup(address: tuple[str, str]) -> None:
    place = Place(address[0], endpoint=address[1])
    body = {"problems": [], "notes": []}
    for number in (1, 2):
        name = place.begin("now")
        assert name == f"{number:06d}-now"
        place.put(name, "ledger.jsonl", io.BytesIO(b"{}"))
        assert [one.number for one in place.backups()] == list(range(number - 1, 0, -1))
        place.finish(name, body)
    place.put("000003-now", "ledger.jsonl", io.BytesIO(b"{}"))
    assert place.broken() == ["000003-now"]
    assert place.backup("").number == 2
    assert place.backup("1").id == "000001-now"
    with pytest.raises(UsageError, match=r"unknown backup .* '3'; there is: 000002-now, 000001-no"):
        place.backup("3")


def test_a_bucket_that_may_only_be_read_is_no_place(
    seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in READER.items():
        monkeypatch.setenv(name, value)
    place = Place(f"s3://{BUCKET}/read-only", endpoint=seaweed.endpoint)
    told = "the place of backups: s3://mlflow/read-only/.*AWS credentials here must allow"
    with pytest.raises(Unreachable, match=f"{told} s3:ListBucket"):
        place.claim("one")
    with pytest.raises(Unreachable, match=f"{told} s3:PutObject"):
        place.note_epoch(2)


def test_a_store_in_another_is_told(tmp_path: Path) -> None:
    def at(address: str) -> Store:
        return open_store(address, what="a test", endpoint="")

    assert overlap(at(f"{tmp_path}/a"), at(f"{tmp_path}/a/b"))
    assert overlap(at("s3://mlflow/backups"), at("s3://mlflow"))
    assert not overlap(at("s3://mlflow/backups"), at("s3://mlflow/artifacts"))
    assert not overlap(at(f"{tmp_path}/a"), at(f"{tmp_path}/ab"))


def test_a_name_that_leaves_its_directory_is_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "in"), what="a test", endpoint="")
    for name in ("../out", "/etc/out", "a/../../out"):
        with pytest.raises(StepFailed, match="would lie outside"):
            store.write(name, io.BytesIO(b"x"))


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "none"), what="BATON_X", endpoint="")
    with pytest.raises(SettingsError, match="BATON_X: .*none is no directory"):
        store.look()


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk", kilobytes=512) as disk:
            store = open_store(str(disk.path / "store"), what="the place", endpoint="")
            store.write("x", io.BytesIO(b"one"))
            with pytest.raises(StepFailed, match="the place: .*/big: No space left on device"):
                store.write("big", io.BytesIO(BIG))
            store.write("y", io.BytesIO(b"two"))
            assert names(store) == ["x", "y"]
    except ServiceMissing as missing:
        missing.skip_or_fail()
