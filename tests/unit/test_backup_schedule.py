"""Backups again and again: when the next one is due, and what is told of the last."""

from __future__ import annotations

import re
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError

import pytest

from benchmarks.node import free_port
from registry.backup.artifacts import relative
from registry.backup.place import Backup
from registry.backup.schedule import METRICS, RETRY_SECONDS, Schedule, Tally, telling
from registry.errors import Unreachable, UsageError
from registry.process import cannot_listen

DAY = 86_400.0
MADE_AT = "1970-01-02T00:00:00+00:00"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "backup.md"


def backup(*problems: str) -> Backup:
    sizes = {"artifacts": {"bytes": 40}, "parts": {"ledger.jsonl": {"size": 2}}}
    own = {"made_at": MADE_AT, "seconds": 1.5, "problems": list(problems), "notes": []}
    return Backup("000001-now", {**sizes, **own})


class Waiting(threading.Event):
    """Never waits, but writes down for how long it would have; ends after some rounds."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds, self.waited = rounds, list[float]()

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        return len(self.waited) > self.rounds


def waited(make: Callable[[], Backup], *, rounds: int = 3, last: float = 0.0) -> list[float]:
    tally, stop = Tally(last_success=last), Waiting(rounds)
    Schedule(DAY, make, tally, clock=lambda: DAY).run(stop)
    return stop.waited


def test_the_first_one_is_due_when_the_last_has_grown_old() -> None:
    assert waited(backup) == [0.0, DAY, DAY, DAY]
    assert waited(backup, last=DAY / 2)[0] == DAY / 2
    assert waited(backup, last=9 * DAY)[0] == DAY, "a clock that was set back delays none for long"


def test_one_that_failed_is_tried_again_soon_and_counted() -> None:
    def fail() -> Backup:
        raise Unreachable("S3 is away")

    assert waited(fail) == [0.0, RETRY_SECONDS, RETRY_SECONDS, RETRY_SECONDS]
    tally = Tally()
    Schedule(DAY, fail, tally, clock=lambda: DAY).run(Waiting(2))
    assert (tally.failures, tally.last_success) == (2, 0.0)


def test_one_with_problems_is_no_success(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally()
    Schedule(DAY, lambda: backup("iris v2: missing"), tally, clock=lambda: DAY).run(Waiting(1))
    assert (tally.failures, tally.last_success) == (1, 0.0)
    assert "backup 000001-now: iris v2: missing" in caplog.text


def test_metrics_tell_the_last_success() -> None:
    tally, port = Tally(), free_port()
    tally.made(backup())
    with telling(tally, f"127.0.0.1:{port}"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            text = reply.read().decode()
        with pytest.raises(HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)
    assert dict(line.split() for line in text.splitlines() if line[0] != "#") == {
        "baton_backup_last_success_timestamp_seconds": str(DAY),
        "baton_backup_last_seconds": "1.5",
        "baton_backup_last_bytes": "42",
        "baton_backup_failures_total": "0",
    }
    assert cannot_listen("127.0.0.1", port) is None


def test_an_address_that_is_none_is_told() -> None:
    for address in ("here", "127.0.0.1:x"):
        with pytest.raises(UsageError, match="--listen"), telling(Tally(), address):
            pass


def test_every_metric_stands_in_the_backup_page_and_no_other() -> None:
    assert set(re.findall(r"^\| `(baton_[a-z_]+)`", PAGE.read_text(), re.MULTILINE)) == set(METRICS)


@pytest.mark.parametrize(
    ("source", "root", "expected"),
    [
        ("mlflow-artifacts:/1/m/artifacts", "s3://mlflow", "1/m/artifacts"),
        ("mlflow-artifacts://host:5000/1/a%20b", "s3://mlflow/x", "1/a b"),
        ("s3://mlflow/1/a%20b", "s3://mlflow", "1/a%20b"),
        ("s3://mlflow/x/1", "s3://mlflow/x", "1"),
        ("s3://mlflow/xy/1", "s3://mlflow/x", None),
        ("s3://mlflow", "s3://mlflow", ""),
        ("s3://other/1", "s3://mlflow", None),
        ("/srv/artifacts/1", "/srv/artifacts", "1"),
        ("file:///srv/artifacts/1%23", "/srv/artifacts", "1#"),
        ("https://example.org/1", "/srv/artifacts", None),
        ("./mlruns/0", "/srv/artifacts", None),
    ],
)
def test_an_address_has_its_place_among_the_artifacts(
    source: str, root: str, expected: str | None
) -> None:
    assert relative(source, root) == expected
