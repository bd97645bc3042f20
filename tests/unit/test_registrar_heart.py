"""The registrar's heart: when its health check says that it is well."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.errors import Unreachable
from registry.heart import SILENCE_SECONDS, Heart
from registry.lease import Lease
from tests.fakes import FakeClock, World


@pytest.fixture
def heart(tmp_path: Path, clock: FakeClock) -> Heart:
    return Heart(tmp_path / "registrar.heart", clock.monotonic)


def test_it_is_well_for_a_while_after_each_beat(heart: Heart, clock: FakeClock) -> None:
    assert "no registrar has reached its ledger here yet" in (heart.ailment() or "")
    heart.beat()
    clock.sleep(SILENCE_SECONDS)
    assert heart.ailment() is None
    clock.sleep(1)
    assert "not answered the registrar for 16 s" in (heart.ailment() or "")
    heart.beat()
    assert heart.ailment() is None
    heart.stop()
    assert heart.ailment()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_is_no_ailment_and_hides_none(
    heart: Heart, clock: FakeClock, hours: int
) -> None:
    heart.beat()
    clock.set_by(hours * 3600)
    assert heart.ailment() is None
    clock.sleep(SILENCE_SECONDS + 1)
    assert heart.ailment()


def test_a_beat_of_before_the_machine_started_is_none(heart: Heart) -> None:
    heart.beat()
    assert "before this machine started" in (Heart(heart.path, lambda: 3.0).ailment() or "")


def test_a_file_that_holds_no_time_is_an_ailment(heart: Heart) -> None:
    heart.path.write_bytes(b"\xff")
    assert "cannot be read" in (heart.ailment() or "")


def test_a_beat_that_cannot_be_written_ends_no_registrar(tmp_path: Path) -> None:
    Heart(tmp_path / "nowhere" / "registrar.heart").beat()


def test_it_beats_while_the_lease_is_held_or_waited_for_and_not_while_the_ledger_is_away(
    world: World,
) -> None:
    beats: list[str] = []

    def lease(name: str) -> Lease:
        monotonic = world.clock.monotonic
        return Lease(world.ledger, monotonic=monotonic, answered=lambda: beats.append(name))

    holder, waiter = lease("holder"), lease("waiter")
    assert holder.acquire()
    assert not waiter.acquire()
    assert beats == ["holder", "waiter"]

    class Away:
        def lease(self, name: str) -> None:
            raise Unreachable("away on purpose")

    lost = Lease(Away(), answered=lambda: beats.append("lost"))  # type: ignore[arg-type]
    with pytest.raises(Unreachable):
        lost.acquire()
    assert beats == ["holder", "waiter"]
