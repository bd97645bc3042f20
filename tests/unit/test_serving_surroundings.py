"""What a node counts of what is around it, and of the ledger it follows."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from registry.errors import Unreachable
from registry.jobs import JobQueue, Look, Pulse
from registry.ledger import Door, EntryKind
from serving.keys import KeyFile, Scope
from serving.node.surroundings import Surroundings
from tests.servingfakes.watched import Inline, WatchedNode


class FakeQueue:
    """A queue that is looked at; may be away."""

    def __init__(self) -> None:
        self.looks, self.away = 0, False

    def look(self) -> Look:
        self.looks += 1
        if self.away:
            raise Unreachable("the queue is away on purpose")
        return Look({"a": Pulse(1, 1)}, queued=3)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[WatchedNode]:
    made = WatchedNode(tmp_path)
    yield made
    made.close()


def surroundings(home: Path, queue: FakeQueue | None) -> Surroundings:
    opened = None if queue is None else (lambda: cast("JobQueue", queue))
    return Surroundings(home, KeyFile(home / "keys.json"), opened, looker=Inline())


def shown(name: str, **labels: Any) -> float:
    found = REGISTRY.get_sample_value(name, labels)
    assert found is not None, name
    return found


def test_it_looks_every_ten_seconds(tmp_path: Path) -> None:
    queue = FakeQueue()
    around = surroundings(tmp_path, queue)
    for now in (0.0, 9.9, 10.1, 15.0, 20.2):
        around.look(now)
    assert queue.looks == 3


def test_it_counts_jobs_and_the_room_on_the_disk(tmp_path: Path) -> None:
    surroundings(tmp_path, FakeQueue()).look(0.0)
    assert (shown("baton_jobs", state="queued"), shown("baton_jobs", state="running")) == (3, 1)
    assert shown("baton_disk_free_bytes") > 0


def test_of_a_queue_that_is_away_nothing_is_said(tmp_path: Path) -> None:
    queue = FakeQueue()
    around = surroundings(tmp_path, queue)
    around.look(0.0)
    queue.away = True
    around.look(10.0)
    assert math.isnan(shown("baton_jobs", state="queued"))
    assert math.isnan(shown("baton_jobs", state="running"))
    queue.away = False
    around.look(20.0)
    assert shown("baton_jobs", state="queued") == 3


def test_a_disk_that_is_gone_keeps_nobody_from_counting_jobs(tmp_path: Path) -> None:
    queue = FakeQueue()
    surroundings(tmp_path / "gone", queue).look(0.0)
    assert queue.looks == 1


def test_without_a_queue_it_looks_at_the_disk_only(tmp_path: Path) -> None:
    surroundings(tmp_path, None).look(0.0)
    assert shown("baton_disk_free_bytes") > 0


def test_the_oldest_key_that_was_not_revoked_is_dated(tmp_path: Path) -> None:
    file, around = KeyFile(tmp_path / "keys.json"), surroundings(tmp_path, None)
    around.look(0.0)
    assert math.isnan(oldest()), "there is no key"
    for name in ("first", "second"):
        file.add(name, (Scope.PREDICT,))
    redated(file, first="2026-01-01T00:00:00+00:00", second="2026-03-01T00:00:00")
    around.look(10.0)
    assert oldest() == 1_767_225_600
    file.revoke(file.read()[0].id)
    around.look(20.0)
    assert oldest() == 1_772_323_200, "a date without a time zone is UTC"
    file.revoke(file.read()[1].id)
    around.look(30.0)
    assert math.isnan(oldest())


def test_keys_without_a_date_are_unknown_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, around = KeyFile(tmp_path / "keys.json"), surroundings(tmp_path, None)
    for name in ("dated", "undated", "odd", "revoked"):
        file.add(name, (Scope.PREDICT,))
    redated(file, dated="2026-01-01T00:00:00+00:00", undated=None, odd="in spring", revoked=None)
    _, undated, odd, revoked = (key.id for key in file.read())
    file.revoke(revoked)
    around.look(0.0)
    around.look(10.0)
    assert oldest() == 1_767_225_600
    [said] = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert said.endswith(f"{undated}, {odd}")


def test_of_a_file_of_keys_that_cannot_be_read_nothing_is_said(tmp_path: Path) -> None:
    file, around = KeyFile(tmp_path / "keys.json"), surroundings(tmp_path, None)
    file.add("shop", (Scope.PREDICT,))
    around.look(0.0)
    assert oldest() > 0
    file.path.write_text("{", encoding="utf-8")
    around.look(10.0)
    assert math.isnan(oldest())
    assert shown("baton_disk_free_bytes") > 0


def oldest() -> float:
    return shown("baton_oldest_key_created_timestamp_seconds")


def redated(file: KeyFile, **created: str | None) -> None:
    """Keys by name as they would have been made then; None is a file of before there were dates."""
    found = json.loads(file.path.read_text(encoding="utf-8"))
    for key in found["keys"]:
        when = created[key["name"]]
        key.pop("created")
        if when is not None:
            key["created"] = when
    file.path.write_text(json.dumps(found), encoding="utf-8")


def test_what_should_answer_and_what_does_are_counted_apart(node: WatchedNode) -> None:
    def seqs() -> tuple[float, float]:
        return shown("baton_ledger_seq", model="iris"), shown("baton_served_seq", model="iris")

    node.head(node.version(1))
    node.step()
    assert seqs() == (1, 1)
    assert shown("baton_served_since_timestamp_seconds", model="iris") == 0.001
    second = node.version(2)
    node.trial.refused.add(second.digest)
    node.head(second)
    node.step()
    assert (seqs(), shown("baton_degraded", model="iris")) == ((2, 1), 1)
    node.retire()
    node.step()
    assert seqs() == (0, 0)


@pytest.mark.parametrize(
    ("door", "counted"), [(Door.WATCH, 1), (Door.REGISTRAR, 1), (Door.COMMAND, 0)]
)
def test_a_rollback_without_a_hand_is_shown_until_the_next_promotion(
    node: WatchedNode, door: Door, counted: int
) -> None:
    def is_shown() -> float:
        node.step()
        return shown("baton_rolled_back", model="iris")

    node.head(node.version(1))
    assert is_shown() == 0
    node.head(node.version(2))
    node.head(node.version(1))
    entries = node.ledger.entries
    entries[-1] = dataclasses.replace(entries[-1], kind=EntryKind.ROLLBACK, door=door)
    assert is_shown() == counted
    node.head(node.version(3))
    assert is_shown() == 0


def test_models_that_are_not_served_here_are_not_counted(tmp_path: Path) -> None:
    node = WatchedNode(tmp_path, "other")
    node.head(node.version(1), model="uncounted")
    node.step()
    node.close()
    assert REGISTRY.get_sample_value("baton_ledger_seq", {"model": "uncounted"}) is None
