"""A registry with a history, backed up and restored: on PostgreSQL and S3, and embedded."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from registry.backup.place import Place
from tests.integration.commands import MODEL
from tests.missing import ServiceMissing
from tests.postgres import Postgres
from tests.seaweed import BUCKET, Seaweed
from tests.stack.sites import SERVES, Site, node_on, until_answers

KILLS = 3
DEADLINE_SECONDS = 30.0


@pytest.fixture(scope="module")
def other_seaweed() -> Iterator[Seaweed]:
    """A second S3 server, where nothing is."""
    try:
        server = Seaweed.start()
    except ServiceMissing as missing:
        missing.skip_or_fail()
    yield server
    server.stop()


@dataclass(frozen=True)
class Stack:
    """A registry that was backed up to `place`, and what was in it."""

    site: Site
    place: Path
    root: Path


@pytest.fixture(scope="module")
def stack(postgres: Postgres, seaweed: Seaweed, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """On PostgreSQL and S3, with a first backup."""
    root = tmp_path_factory.mktemp("stack")
    site = Site.on(postgres, seaweed, root / "var")
    site.fill()
    done = site.call("backup", str(root / "place"), "--json")
    assert done.code == 0, done.err + done.out
    assert done.json["versions"] == 3
    assert done.json["problems"] == done.json["notes"] == []
    return Stack(site, root / "place", root)


def same(restored: Site, site: Site) -> None:
    """Contents are equal: all of MLflow's rows, every file, all that the ledger said."""
    rows, files, ledger = site.rows(), site.files(), site.ledger()
    assert len(rows["runs"]) >= 2
    assert {row for row in rows["model_versions"] if "Production" in row}
    assert any(name.endswith("notes/a b#1.txt") for name in files)
    assert ("users" in rows) == bool(site.server)
    assert restored.rows() == rows
    assert restored.files() == files
    new = restored.ledger()
    assert new["baton_reports"] == ledger["baton_reports"]
    before = set(ledger["baton_entries"])
    assert before <= set(new["baton_entries"])
    assert len(new["baton_entries"]) == len(before) + 1
    verified = restored.call("verify", "--json")
    assert verified.code == 0, verified.err
    assert verified.json["verified"][MODEL]["seq"] == "2.1"
    [newest, *_] = restored.call("history", MODEL, "--json").json["entries"]
    assert (newest["version"], newest["kind"], newest["actor"]) == (SERVES, "restore", "ada")
    assert restored.alias() == SERVES


def test_what_is_restored_is_what_was_and_nodes_follow_it(
    stack: Stack, postgres: Postgres, other_seaweed: Seaweed, tmp_path: Path
) -> None:
    """Onto fresh servers; the node had seen the highest numbers of the ledger that was lost."""
    lost, node = stack.site, node_on(stack.site, tmp_path / "node")
    node.start()
    try:
        until_answers(node, 2.0, (1, 4))
        fresh = Site.on(postgres, other_seaweed, tmp_path / "var")
        done = fresh.call("restore", str(stack.place), "--json")
        assert done.code == 0, done.err + done.out
        assert (done.json["epoch"], done.json["problems"], done.json["notes"]) == (2, [], [])
        same(fresh, lost)
        assert node.stop() == 0
        node.environ = node_on(fresh, tmp_path / "node").environ
        node.start()
        until_answers(node, 2.0, (2, 1))
        promoted = fresh.call("promote", MODEL, "3", "--json")
        assert promoted.code == 0, promoted.err + promoted.out
        assert promoted.json["entry"]["seq"] == "2.2"
        until_answers(node, 3.0, (2, 2))
        assert fresh.stages()[SERVES] == "Archived"
        back = fresh.call("rollback", MODEL)
        assert back.code == 0, back.err
        until_answers(node, 2.0, (2, 3))
    finally:
        node.stop()


def test_restored_over_what_went_on_it_is_followed_by_a_node_that_runs(
    stack: Stack, tmp_path: Path
) -> None:
    """Twice from the same backup, and each time a later epoch: the node never stays behind."""
    site, place = stack.site, tmp_path / "place"
    first = site.call("backup", str(place))
    assert first.code == 0, first.err
    before = (site.rows(), site.files())
    node = node_on(site, tmp_path / "node")
    node.start()
    try:
        seqs = []
        for _ in range(2):
            assert site.call("promote", MODEL, "3").code == 0
            until_answers(node, 3.0, _key(site))
            refused = site.call("restore", str(place))
            assert refused.code == 2
            assert "the ledger" in refused.err
            assert "database 'tracking'" in refused.err
            done = site.call("restore", str(place), "--replace")
            assert done.code == 0, done.err
            until_answers(node, 2.0, _key(site))
            assert _key(site)[1] == 1
            seqs.append(_key(site)[0])
            assert site.rows() == before[0]
            assert before[1].items() <= site.files().items()  # reports of judging v3 are left there
    finally:
        node.stop()
    assert seqs == sorted(set(seqs))


def _key(site: Site) -> tuple[int, int]:
    [newest, *_] = site.call("history", MODEL, "--json").json["entries"]
    epoch, seq = newest["seq"].split(".")
    return int(epoch), int(seq)


def test_a_place_in_s3_holds_the_same(stack: Stack, postgres: Postgres, tmp_path: Path) -> None:
    """And a second backup reads nothing again."""
    place, site = f"s3://{BUCKET}/backups", stack.site
    first = site.call("backup", place, "--json")
    assert first.code == 0, first.err + first.out
    again = site.call("backup", place, "--keep", "1", "--json").json
    assert first.json["artifacts"]["read_files"] == first.json["artifacts"]["files"] > 9
    assert again["artifacts"]["read_files"] == 0
    checked = site.call("restore", place, "--check", "--json")
    assert checked.code == 0, checked.err
    assert checked.json["backup"] == again["backup"] > first.json["backup"]
    assert checked.json["files"] == again["artifacts"]["files"]


def test_the_same_embedded(tmp_path: Path, mlflow_template) -> None:
    mlflow_template.copy(tmp_path / "var")
    site = Site.embedded(tmp_path / "var")
    site.fill(versions=2, back=False)
    place = str(tmp_path / "place")
    assert site.call("backup", place).code == 0
    lost = Site.embedded(tmp_path / "lost")
    shutil.rmtree(lost.settings.home)
    site.settings.home.rename(lost.settings.home)
    fresh = Site.embedded(tmp_path / "var")
    done = fresh.call("restore", place)
    assert done.code == 0, done.err
    same(fresh, lost)
    node = node_on(fresh, tmp_path / "node")
    node.environ["MLFLOW_TRACKING_URI"] = fresh.settings.tracking_uri
    node.start()
    try:
        until_answers(node, 2.0, (2, 1))
    finally:
        node.stop()


def test_a_backup_that_is_killed_never_looks_whole(stack: Stack, tmp_path: Path) -> None:
    """At random moments, with kill -9; afterwards one that is left alone is whole."""
    place = Place(str(tmp_path / "place"), endpoint="")
    begun = time.monotonic()
    whole = stack.site.run("backup", place.store.address)
    took = time.monotonic() - begun
    assert whole.code == 0, whole.err
    [first] = place.backups()
    moments = random.Random(6)  # noqa: S311 - only to spread them
    for _ in range(KILLS):
        process = stack.site.start("backup", place.store.address)
        time.sleep(moments.uniform(0.3, 0.9) * took)
        ended = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        for backup in place.backups():
            assert backup.is_sound
        if not ended and len(place.backups()) == 1:
            assert place.backup("").id == first.id
    done = stack.site.run("backup", place.store.address, "--keep", "2", "--json")
    assert done.code == 0, done.err
    assert place.broken() == []
    assert place.backup("").id == json.loads(done.out)["backup"]
    checked = stack.site.call("restore", place.store.address, "--check")
    assert checked.code == 0, checked.err


def test_a_file_that_is_not_what_was_judged_is_found(
    stack: Stack, postgres: Postgres, tmp_path: Path
) -> None:
    """In the store when the backup is made; in the backup when it is restored."""
    site, place = stack.site, tmp_path / "place"
    assert site.call("backup", str(place), "--keep", "1").code == 0
    sound = Place(str(place), endpoint="").backup("").id
    name = next(n for n, b in site.files().items() if n.endswith("model.onnx"))
    whole = site.files()[name]
    site.put(name, whole[:-1] + b"!")
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while site.files()[name] == whole:
            assert time.monotonic() < deadline, "the object store answers with what was put there"
        done = site.call("backup", str(place), "--keep", "1", "--json")
        assert done.code == 5, f"{name}: {done.out} {done.err}"
        assert any("not those that were judged" in p for p in done.json["problems"])
    finally:
        site.put(name, whole)
    assert [b.id for b in Place(str(place), endpoint="").backups()][-1] == sound, "it was removed"
    checked = site.call("restore", str(place), "--check", "--backup", sound)
    assert checked.code == 0, checked.err
    [planted] = [p for p in (place / "objects").glob("*/*") if p.read_bytes() == whole]
    planted.write_bytes(whole[:-1] + b"?")
    checked = site.call("restore", str(place), "--check", "--backup", sound, "--json")
    assert checked.code == 5
    assert any(name in p and "damaged in the backup" in p for p in checked.json["problems"])
    planted.unlink()
    checked = site.call("restore", str(place), "--check", "--backup", sound, "--json")
    assert any(name in p and "missing in the backup" in p for p in checked.json["problems"])


@pytest.mark.parametrize(
    ("environ", "code", "said"),
    [
        ({"BATON_ARTIFACTS": "s3://nowhere"}, 2, "BATON_ARTIFACTS: .*no bucket 'now"),
        ({"BATON_ARTIFACTS": ""}, 2, "BATON_ARTIFACTS: needed"),
        ({"BATON_ARTIFACTS": f"s3://{BUCKET}/else"}, 2, "BATON_ARTIFACTS: is s3://"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, 4, "SignatureDoesNotMatch.*credentials"),
        ({"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9"}, 4, "MLFLOW_S3_ENDPOINT_URL"),
        ({"MLFLOW_TRACKING_URI": "http://mlflow:5000"}, 2, "MLFLOW_TRACKING_URI: .*is a server"),
        ({"PATH": "/nowhere"}, 2, "pg_dump: not on PATH"),
        ({"MLFLOW_TRACKING_URI": "postgresql://baton@127.0.0.1:9/x"}, 4, "MLFLOW_TRACKING_URI"),
    ],
)
def test_what_is_set_wrongly_is_named(
    stack: Stack, tmp_path: Path, environ: dict[str, str], code: int, said: str
) -> None:
    done = stack.site.call("backup", str(tmp_path / "place"), **environ)
    assert done.code == code, done.err
    assert re.search(said, done.err, re.DOTALL), done.err
    assert not (tmp_path / "place" / "backups").exists()
