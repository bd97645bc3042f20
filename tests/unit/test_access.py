"""API keys: who is let in, how often, and what becomes of it when the file changes."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.errors import (
    Forbidden,
    SettingsError,
    TooManyRequests,
    Unauthenticated,
    UnknownName,
)
from serving.access import Access, Header, Rates
from serving.keys import KeyFile, Scope, parts_of


class Gate:
    """An access with a clock that the test moves."""

    def __init__(self, home: Path) -> None:
        self.file = KeyFile(home / "keys.json")
        self.now = 1000.0
        self.rates = Rates(home / "rates")

    def open(self) -> Access:
        return Access(self.file, self.rates, clock=lambda: self.now)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def bearer(key: str) -> Header:
    return {"Authorization": f"Bearer {key}"}.get


def identity(key: str) -> str:
    parts = parts_of(key)
    assert parts
    return parts[0]


def nobody(_name: str) -> str | None:
    return None


def test_without_any_key_everybody_may_ask(gate: Gate) -> None:
    access = gate.open()
    assert access.is_open
    access.admit(nobody, Scope.PREDICT)


@pytest.mark.parametrize("how", [bearer, lambda key: {"X-API-Key": key}.get])
def test_a_key_lets_in_for_its_scopes(gate: Gate, how: Callable[[str], Header]) -> None:
    key = gate.file.add("shop", [Scope.PREDICT])
    access = gate.open()
    access.admit(how(key), Scope.PREDICT)
    access.admit(how(key), None)
    with pytest.raises(Forbidden, match="expected scope train, it has predict"):
        access.admit(how(key), Scope.TRAIN)


def test_a_key_for_metrics_is_for_nothing_else(gate: Gate) -> None:
    scraper = bearer(gate.file.add("prometheus", [Scope.METRICS]))
    shop = bearer(gate.file.add("shop", [Scope.PREDICT]))
    access = gate.open()
    access.admit(scraper, Scope.METRICS, Scope.ADMIN)
    with pytest.raises(Forbidden, match="expected scope predict or train or admin, it has metrics"):
        access.admit(scraper, None)
    with pytest.raises(Forbidden):
        access.admit(scraper, Scope.PREDICT)
    with pytest.raises(Forbidden, match="expected scope metrics or admin, it has predict"):
        access.admit(shop, Scope.METRICS, Scope.ADMIN)


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic {key}",
        "{key}",
        "Bearer {key}x",
        "Bearer baton_000000000000_{secret}",
        "Bearer baton_{id}_" + "a" * 43,
        "Bearer baton_{id}_",
        "Bearer baton_{id}_{sha}",
        "Bearer baton__" + "a" * 43,
    ],
)
def test_all_else_is_nobody(gate: Gate, said: str | None) -> None:
    key = gate.file.add("shop", [Scope.PREDICT])
    known, secret = parts_of(key) or ("", "")
    sha = gate.file.read()[0].sha256
    text = said and said.format(key=key, id=known, secret=secret, sha=sha)
    with pytest.raises(Unauthenticated):
        gate.open().admit({"Authorization": text}.get, None)


def test_the_file_holds_no_secret_and_is_ours_alone(gate: Gate) -> None:
    key = gate.file.add("shop", [Scope.PREDICT])
    text = gate.file.path.read_text(encoding="utf-8")
    assert (parts_of(key) or ("", ""))[1] not in text
    assert stat.S_IMODE(gate.file.path.stat().st_mode) == 0o600


def test_a_change_of_the_file_counts_within_a_second(gate: Gate) -> None:
    key = gate.file.add("shop", [Scope.PREDICT])
    access = gate.open()
    other = gate.file.add("till", [Scope.PREDICT])
    gate.file.revoke(identity(key))
    gate.now += 0.6
    with pytest.raises(Unauthenticated, match="was revoked"):
        access.admit(bearer(key), Scope.PREDICT)
    access.admit(bearer(other), Scope.PREDICT)


def test_a_server_that_was_open_is_closed_by_the_first_key(gate: Gate) -> None:
    access = gate.open()
    gate.file.add("shop", [Scope.PREDICT])
    gate.now += 0.6
    with pytest.raises(Unauthenticated):
        access.admit(nobody, Scope.PREDICT)


@pytest.mark.parametrize("becomes", ["gone", "empty", "broken", "revoked"])
def test_no_end_of_the_keys_opens_a_server(gate: Gate, becomes: str) -> None:
    key = gate.file.add("shop", [Scope.PREDICT])
    access = gate.open()
    if becomes == "gone":
        gate.file.path.unlink()
    elif becomes == "revoked":
        gate.file.revoke(identity(key))
    else:
        gate.file.path.write_text('{"keys": []}' if becomes == "empty" else "{")
    gate.now += 0.6
    with pytest.raises(Unauthenticated):
        access.admit(nobody, None)
    assert gate.file.path.exists() == (becomes != "gone")


def test_after_a_restart_a_server_whose_keys_were_all_revoked_is_still_closed(gate: Gate) -> None:
    gate.file.revoke(identity(gate.file.add("shop", [Scope.PREDICT])))
    assert not gate.open().is_open


def test_a_file_that_cannot_be_read_starts_nothing(gate: Gate) -> None:
    gate.file.path.write_text('{"keys": [{"id": 1}]}')
    with pytest.raises(SettingsError, match="expected a file of API keys"):
        gate.open()


def test_a_key_that_is_not_there_cannot_be_revoked(gate: Gate) -> None:
    known = identity(gate.file.add("shop", [Scope.PREDICT]))
    with pytest.raises(UnknownName, match=known):
        gate.file.revoke("0")
    first = gate.file.revoke(known).revoked
    assert gate.file.revoke(known).revoked == first


@pytest.mark.parametrize("per_second", [0.5, 1.0, 2.0, 50.0])
def test_a_key_is_let_through_as_often_as_it_says(gate: Gate, per_second: float) -> None:
    key = gate.file.add("shop", [Scope.PREDICT], per_second=per_second)
    workers = [gate.open(), gate.open()]
    let = 0
    for tick in range(1000):
        gate.now = 1000.0 + tick / 100
        with contextlib.suppress(TooManyRequests):
            workers[tick % 2].admit(bearer(key), Scope.PREDICT)
            let += 1
    # A second's worth at once, then its rate.
    assert let == pytest.approx(max(1, per_second) + 10 * per_second, abs=1.5)


def test_a_key_that_was_refused_is_let_through_when_it_was_told(gate: Gate) -> None:
    key = gate.file.add("shop", [Scope.PREDICT], per_second=4)
    access = gate.open()
    for _ in range(4):
        access.admit(bearer(key), None)
    with pytest.raises(TooManyRequests) as refused:
        access.admit(bearer(key), None)
    gate.now += refused.value.seconds
    access.admit(bearer(key), None)


def test_one_key_does_not_use_up_another_ones_rate(gate: Gate) -> None:
    keys = [gate.file.add(name, [Scope.PREDICT], per_second=1) for name in ("a", "b")]
    access = gate.open()
    for key in keys:
        access.admit(bearer(key), None)
        with pytest.raises(TooManyRequests):
            access.admit(bearer(key), None)


def test_a_clock_that_begins_again_locks_nobody_out(gate: Gate) -> None:
    key = gate.file.add("shop", [Scope.PREDICT], per_second=1)
    gate.now = 1e9
    gate.open().admit(bearer(key), None)
    gate.now = 5.0
    gate.open().admit(bearer(key), None)
