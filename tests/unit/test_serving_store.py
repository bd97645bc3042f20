"""The node store and the fetch: verified versions, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from registry.bundle import FileDigest, Golden, Manifest
from registry.errors import BundleInvalid, Unreachable
from serving.node.fetch import Fetcher
from serving.node.store import NodeStore
from serving.stored import manifest_of, root_of
from tests.servingfakes.versions import folder, store

FILES = {"MLmodel": "flavors: {}", "baton/bundle.json": "{}"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return folder(tmp_path / "source", b"model", files=FILES)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_what_was_kept_is_held_with_its_manifest(home: Path, source: Path) -> None:
    digest = store(home, source)
    assert NodeStore(home).holds(digest)
    assert manifest_of(home, digest) == Manifest.of(source)
    assert (root_of(home, digest) / "baton" / "bundle.json").read_text() == "{}"


def test_kind_and_golden_of_the_manifest_come_back(home: Path, source: Path) -> None:
    golden = Golden(({"request": {"a": 1}, "response": {"b": 2.5}},), rtol=0.1, atol=0.2)
    manifest = Manifest(Manifest.of(source).files, kind="tabular", golden=golden)
    keeper = NodeStore(home)
    with keeper.incoming(manifest.digest) as scratch:
        Fetcher().fetch(str(source), manifest, scratch / "files")
        keeper.keep(scratch, manifest)
    assert manifest_of(home, manifest.digest) == manifest


def test_what_was_never_kept_is_not_held(home: Path, source: Path) -> None:
    assert not NodeStore(home).holds(Manifest.of(source).digest)


DAMAGE = {
    "a flipped byte": lambda root: (root / "files/model.onnx").write_bytes(b"modem"),
    "a shorter file": lambda root: (root / "files/model.onnx").write_bytes(b""),
    "a missing file": lambda root: (root / "files/MLmodel").unlink(),
    "an extra file": lambda root: (root / "files/extra").touch(),
    "a link in place of a file": lambda root: _relink(root / "files/MLmodel"),
    "no manifest": lambda root: (root / "manifest.json").unlink(),
    "half a manifest": lambda root: (root / "manifest.json").write_text('{"files": {"a'),
    "an empty manifest": lambda root: (root / "manifest.json").write_text(""),
    "a manifest that is a list": lambda root: (root / "manifest.json").write_text("[]"),
    "another version's manifest": lambda root: _swap(root / "manifest.json"),
}


def _relink(path: Path) -> None:
    copy = path.with_name("elsewhere")
    path.rename(copy)
    path.symlink_to(copy)


def _swap(path: Path) -> None:
    data = json.loads(path.read_text())
    data["files"]["MLmodel"][1] += 1
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_version_is_not_held_until_it_is_kept_again(
    home: Path, source: Path, damage: object
) -> None:
    digest = store(home, source)
    damage(home / digest)  # type: ignore[operator]
    assert not NodeStore(home).holds(digest)
    assert store(home, source) == digest
    assert NodeStore(home).holds(digest)
    assert [path.name for path in home.iterdir()] == [digest]


def test_a_fetch_that_fails_leaves_nothing(home: Path) -> None:
    keeper = NodeStore(home)
    with contextlib.suppress(BundleInvalid), keeper.incoming("0123") as scratch:
        (scratch / "files" / "half").write_bytes(b"half")
        raise BundleInvalid("the rest did not come")
    assert list(home.iterdir()) == []


def test_a_fetch_that_breaks_off_finds_what_it_had_at_its_next_attempt(home: Path) -> None:
    keeper = NodeStore(home)
    with contextlib.suppress(Unreachable), keeper.incoming("0123") as scratch:
        (scratch / "files" / "half").write_bytes(b"half")
        raise Unreachable("the rest did not come")
    with keeper.incoming("0123") as scratch:
        assert (scratch / "files" / "half").read_bytes() == b"half"
    assert list(home.iterdir()) == []


def test_of_what_broke_off_the_newest_few_that_are_wanted_stay(home: Path) -> None:
    keeper = NodeStore(home)
    for age in range(6):
        with contextlib.suppress(Unreachable), keeper.incoming(str(age)) as part:
            os.utime(part, (age, age))
            raise Unreachable("it broke off")
    keeper.forget_parts({"0", "1", "2", "3", "5", "never begun"})
    assert {path.name for path in home.iterdir()} == {"incoming-5", "incoming-3", "incoming-2"}
    keeper.forget_parts(())
    assert list(home.iterdir()) == []


def test_what_broke_off_takes_no_place_of_a_kept_version(home: Path, source: Path) -> None:
    digest = store(home, source)
    keeper = NodeStore(home)
    (home / "incoming-0123").mkdir()
    keeper.prune((), most=1)
    assert keeper.holds(digest)


def test_what_a_killed_fetch_left_is_removed_at_the_next_start(home: Path, source: Path) -> None:
    digest = store(home, source)
    (home / "incoming-killed" / "files").mkdir(parents=True)
    (home / "incoming-broken-0123").mkdir()
    NodeStore(home)
    assert [path.name for path in home.iterdir()] == [digest]


def test_pruning_removes_the_oldest_and_never_what_is_kept(home: Path, tmp_path: Path) -> None:
    digests = []
    for age in range(6):
        digest = store(home, folder(tmp_path / f"v{age}", b"%d" % age))
        os.utime(home / digest, (age, age))
        digests.append(digest)
    keeper, (oldest, *_) = NodeStore(home), digests
    keeper.prune({oldest, "not here"}, most=4)
    assert {path.name for path in home.iterdir()} == {oldest, *digests[4:]}
    keeper.prune(set(digests), most=1)
    assert keeper.holds(oldest)
    assert len(list(home.iterdir())) == 3


def test_pruning_leaves_a_fetch_that_is_under_way(home: Path) -> None:
    keeper = NodeStore(home)
    with keeper.incoming("0123") as scratch:
        keeper.prune((), most=0)
        assert (scratch / "files").is_dir()


def _fetched(source: str, manifest: Manifest, into: Path) -> list[str]:
    into.mkdir()
    Fetcher().fetch(source, manifest, into)
    return sorted(str(path.relative_to(into)) for path in into.rglob("*") if path.is_file())


def test_a_fetch_brings_what_the_manifest_names_and_nothing_else(
    source: Path, tmp_path: Path
) -> None:
    manifest = Manifest.of(source)
    (source / "extra.pkl").write_bytes(b"extra")
    into = tmp_path / "into"
    assert _fetched(str(source), manifest, into) == ["MLmodel", "baton/bundle.json", "model.onnx"]
    manifest.verify(into)


@pytest.mark.parametrize("name", ["with space", "50%25", "a#b", "what?", "é"])
def test_a_source_may_have_any_name_as_a_path_and_as_a_file_url(tmp_path: Path, name: str) -> None:
    source = folder(tmp_path / name, b"model")
    manifest = Manifest.of(source)
    for number, address in enumerate((str(source), source.as_uri())):
        assert _fetched(address, manifest, tmp_path / str(number)) == ["model.onnx"]


@pytest.mark.parametrize("name", ["../outside", "baton/../../outside", "/etc/hostname", "", "."])
def test_a_name_that_leaves_the_folder_is_refused(source: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    with pytest.raises(BundleInvalid):
        _fetched(str(source), Manifest({name: FileDigest("0" * 64, 6)}), tmp_path / "into")
    assert list((tmp_path / "into").rglob("*")) == []


@pytest.mark.parametrize("name", ["link", "linked/secret"], ids=["file", "folder"])
def test_a_link_in_the_source_is_not_followed(source: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (source / "link").symlink_to(outside / "secret")
    (source / "linked").symlink_to(outside)
    with pytest.raises(BundleInvalid):
        _fetched(str(source), Manifest({name: FileDigest("0" * 64, 6)}), tmp_path / "into")
    assert not any(path.is_file() for path in (tmp_path / "into").rglob("*"))


def test_a_missing_file_is_named(source: Path, tmp_path: Path) -> None:
    manifest = Manifest.of(source)
    (source / "MLmodel").unlink()
    with pytest.raises(BundleInvalid, match="MLmodel: no such file in the artifact store"):
        _fetched(str(source), manifest, tmp_path / "into")


def test_a_source_of_another_kind_is_refused_by_name(source: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid, match="not from https://"):
        _fetched("https://example.org/model", Manifest.of(source), tmp_path / "into")
