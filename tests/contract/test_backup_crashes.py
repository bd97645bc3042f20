"""A backup or a restoration that ends at any point, and one while things go on: embedded, no nodes.

`tests/stack/test_backup.py` has the same with kill -9, PostgreSQL and S3.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import cast
from urllib.request import urlopen

import pytest

from benchmarks.node import free_port
from registry.backup.artifacts import keep
from registry.backup.export import Sources
from registry.backup.place import Place
from registry.backup.restore import check
from registry.backup.store import Store
from registry.errors import StepFailed, UsageError
from registry.ledger import Key
from registry.settings import Settings
from tests.contract.backup_home import Home
from tests.fakes.crash import Crash, Doom, Doomed
from tests.mlflow_home import MlflowTemplate


@pytest.fixture
def home(embedded: Settings, tmp_path: Path) -> Home:
    """With one version in Production."""
    made = Home(embedded, tmp_path / "place")
    made.begin()
    made.promote(made.version("one"))
    return made


def doomed(place: Place, doom: Doom) -> Place:
    """The place of a process that ends when `doom` strikes."""
    place.store = cast("Store", Doomed(place.store, doom))
    return place


def test_a_backup_that_ends_anywhere_is_none_and_the_next_one_goes_on(home: Home) -> None:
    first, template = home.back_up(), home.at
    home.promote(home.version("two"))
    points, newest = [], set()
    for number in count(1):
        home.at = template.with_name(f"place-{number}")
        shutil.copytree(template, home.at)
        doom = Doom(number)
        try:
            home.back_up(doomed(home.place, doom))
        except Crash:
            points.append(doom.where)
        else:
            break
        for backup in home.place.backups():
            checked = check(home.place, backup.id, say=lambda _: None)
            assert not checked.problems, f"{doom.where}: {checked.problems}"
        newest.add(home.place.backup("").id == first.id)
        if home.place.broken():
            again = home.back_up()
            assert again.is_sound
            assert again.body["versions"] == 2
            assert home.place.broken() == []
            assert home.place.objects() == needed(home.place)
    assert len(points) > 20
    assert "after write" in points
    assert newest == {True, False}, "it ended before it was whole, and after"


def needed(place: Place) -> set[str]:
    """The objects of all backups."""
    return {item.sha256 for one in place.backups() for item in place.items(one.id)}


def test_what_was_copied_before_it_broke_off_is_not_read_again(home: Home) -> None:
    for number in range(5):
        home.version(f"more {number}")
    artifacts = Sources.of(home.settings).artifacts
    home.place.claim(home.ledger.id)
    place = doomed(home.place, Doom(30))
    with pytest.raises(Crash):
        keep(artifacts, place, home.place.begin("now"), note_seconds=0.0)
    assert home.place.backups() == []
    assert home.place.broken() == ["000001-now"]
    made = home.back_up()
    assert 0 < made.body["artifacts"]["read_files"] < made.body["artifacts"]["files"]


def test_a_restoration_that_ends_anywhere_is_repeated(home: Home) -> None:
    home.promote(home.version("two"))
    home.back_up()
    wanted = (home.files(), home.versions())
    home.lose()
    points, keys = [], set()
    for number in count(1):
        doom = Doom(number)
        try:
            restored = home.restore(doomed(home.place, doom), replace=number > 1)
        except Crash:
            points.append(doom.where)
            head = home.ledger.head("iris")
            keys |= {head.key} if head else set()
        else:
            break
    assert len(points) > 8
    assert not restored.problems
    assert (home.files(), home.versions()) == wanted
    head = home.ledger.head("iris")
    assert head is not None
    assert head.key.seq == 1
    assert head.key not in keys
    assert head.key.epoch == restored.epoch


def test_every_restoration_from_a_place_begins_a_later_epoch(home: Home) -> None:
    home.back_up()
    epochs = []
    for _ in range(3):
        home.lose()
        epochs.append(home.restore().epoch)
        assert home.ledger.head("iris").key == Key(epochs[-1], 1)
    assert epochs == [2, 3, 4]
    home.lose()
    with pytest.raises(UsageError, match="epochs up to 4 were in use"):
        home.restore(epoch=4)
    assert home.restore(epoch=9).epoch == 9


def test_a_promotion_meanwhile_has_it_copied_again(home: Home) -> None:
    """Then the ledger and MLflow's database are of one moment."""
    said: list[str] = []

    def say(what: str) -> None:
        said.append(what)
        if what.startswith("tracking") and len(said) < 3:
            home.promote(home.version("meanwhile"))

    made = home.back_up(say=say)
    assert "something was promoted meanwhile; once more" in said
    assert (made.body["ledger"]["revision"], made.body["versions"]) == (2, 2)
    assert made.body["notes"] == []
    home.lose()
    home.restore()
    assert home.versions() == [1, 2]
    assert home.ledger.head("iris").route.version == 2


def test_a_version_registered_meanwhile_is_whole_or_not_there(home: Home) -> None:
    """Its files may be in the backup without it, never the other way round."""

    def say(what: str) -> None:
        if what == "artifacts …":
            home.version("meanwhile")

    made = home.back_up(say=say)
    assert made.is_sound
    assert home.versions() == [1, 2]
    home.lose()
    assert not home.restore().problems
    assert home.versions() == [1]
    assert any("meanwhile" in text for text in home.files().values())


def test_what_serves_and_lost_a_file_is_a_problem_and_what_served_a_note(home: Home) -> None:
    home.promote(home.version("two"))
    [old, new] = [entry.route for entry in reversed(home.ledger.history("iris"))]
    Path(old.source, "MLmodel").unlink()
    made = home.back_up()
    assert made.is_sound
    [note] = made.body["notes"]
    assert note.startswith("iris v1: missing at")
    Path(new.source, "MLmodel").unlink()
    made = home.back_up()
    [problem] = made.body["problems"]
    assert problem.startswith("iris v2 (in Production): missing at")
    assert problem.endswith(": MLmodel")
    home.lose()
    assert home.restore(backup="2").problems == (problem,)


def test_old_backups_go_and_the_newest_sound_one_stays(home: Home) -> None:
    home.back_up()
    route = home.ledger.head("iris").route
    Path(route.source, "model.onnx").write_text("rotten")
    made = [home.back_up() for _ in range(3)]
    assert not any(one.is_sound for one in made)
    assert [one.number for one in home.place.backups()] == [4, 3, 1]
    home.lose()
    assert not home.restore(backup="1").problems
    assert Path(route.source, "model.onnx").read_text() == "model/model.onnx one"


def test_a_part_that_rotted_is_refused_before_anything_is_written(home: Home) -> None:
    home.back_up()
    for name in ("ledger.jsonl", "tracking.dump", "artifacts.jsonl"):
        [file] = home.at.glob(f"backups/*/{name}")
        whole = file.read_bytes()
        file.write_bytes(whole[:-1])
        home.lose()
        with pytest.raises(StepFailed, match=f"{name}: damaged: expected sha256"):
            home.restore()
        assert home.ledger.heads() == []
        assert not (home.settings.home / "mlflow.db").exists()
        file.unlink()
        with pytest.raises(StepFailed, match=f"{name}: missing; restore another backup"):
            home.restore()
        file.write_bytes(whole)


def test_a_home_with_something_in_it_is_not_overwritten(home: Home) -> None:
    home.back_up()
    home.promote(home.version("two"))
    with pytest.raises(UsageError, match="not empty: database 'tracking', the ledger, the artif"):
        home.restore()
    assert home.ledger.head("iris").route.version == 2
    assert home.restore(replace=True).epoch == 2
    assert home.ledger.head("iris").route.version == 1


def test_files_are_restored_to_where_the_ledger_says_they_are(
    home: Home, mlflow_template: MlflowTemplate, tmp_path: Path
) -> None:
    home.back_up()
    other = Home(mlflow_template.copy(tmp_path / "elsewhere"), home.at)
    with pytest.raises(UsageError, match="BATON_ARTIFACTS: .* restore to the same address"):
        other.restore()


def test_backups_of_another_ledger_are_kept_apart(
    home: Home, mlflow_template: MlflowTemplate, tmp_path: Path
) -> None:
    home.back_up()
    other = Home(mlflow_template.copy(tmp_path / "elsewhere"), home.at)
    other.begin()
    other.promote(other.version("one"))
    with pytest.raises(UsageError, match="keeps backups of ledger"):
        other.back_up()


def test_backups_do_not_lie_among_the_artifacts(home: Home) -> None:
    with pytest.raises(UsageError, match="lies where the artifacts are"):
        home.back_up(Place(str(home.settings.artifacts_dir / "backups"), endpoint=""))


def test_a_schedule_makes_one_tells_when_and_ends_when_told(home: Home) -> None:
    port = free_port()
    command = [sys.executable, "-m", "registry", "backup", str(home.at), "--every", "24"]
    process = subprocess.Popen(
        [*command, "--listen", f"127.0.0.1:{port}"],
        env={**os.environ, "BATON_HOME": str(home.settings.home)},
    )
    deadline, text = time.monotonic() + 60, ""
    while time.monotonic() < deadline and "last_bytes 0" in (text or "last_bytes 0"):
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            text = reply.read().decode()
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert "baton_backup_failures_total 0\n" in text
    [made] = home.place.backups()
    at = datetime.fromisoformat(made.body["made_at"]).timestamp()
    assert f"baton_backup_last_success_timestamp_seconds {at}\n" in text
