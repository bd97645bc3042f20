"""Showing the ledger in MLflow, over a fake registry and a real ledger on sqlite."""

from __future__ import annotations

import pytest

from registry.errors import (
    Unreachable,
)
from registry.lease import TTL_SECONDS
from registry.ledger import Snapshot
from registry.projection import project, settle
from registry.promotion import promote
from tests.fakes import World


@pytest.mark.parametrize("step", ["set_stage", "set_alias", "tag", "snapshot"])
def test_a_crash_while_mlflow_is_drawn_is_repaired_by_running_it_again(
    world: World, step: str
) -> None:
    version = world.train()
    promoted = promote(world.ports, version, actor="ada")
    world.client.fail_next(step)
    with pytest.raises(Unreachable):
        project(world.ports, "iris")
    head = world.ledger.head("iris")
    assert head is not None
    assert head.snapshot is None, "still pending"
    assert promote(world.ports, version, actor="ada").entry == promoted.entry
    project(world.ports, "iris")
    assert world.shown() == ([1], 1)


def test_settling_draws_the_entry_and_gives_the_lease_back(world: World) -> None:
    promoted = promote(world.ports, world.train(), actor="ada")
    assert promoted.entry is not None
    assert settle(world.ports, promoted.entry, seconds=5, sleep=world.clock.sleep)
    assert world.shown() == ([1], 1)
    assert world.lease().acquire()


def test_settling_waits_for_the_registrar_that_holds_the_lease(world: World) -> None:
    promoted = promote(world.ports, world.train(), actor="ada")
    assert promoted.entry is not None
    assert world.lease().acquire()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            project(world.ports, "iris")

    assert settle(world.ports, promoted.entry, seconds=5, sleep=sleep)
    assert len(slept) == 3
    assert not world.lease().acquire(), "it is still the registrar's"


def test_settling_gives_up_and_leaves_the_entry_pending(world: World) -> None:
    promoted = promote(world.ports, world.train(), actor="ada")
    assert promoted.entry is not None
    registrar = world.lease()
    assert registrar.acquire()

    def sleep(seconds: float) -> None:
        world.clock.sleep(seconds)
        assert registrar.acquire()

    clock = world.clock.monotonic
    assert not settle(world.ports, promoted.entry, seconds=60, sleep=sleep, monotonic=clock)
    assert world.serving() == 1
    assert world.shown() == ([], None)


def test_settling_takes_over_from_a_registrar_that_was_killed(world: World) -> None:
    promoted = promote(world.ports, world.train(), actor="ada")
    assert promoted.entry is not None
    assert world.lease().acquire()
    before, clock = world.clock.monotonic(), world.clock
    assert settle(
        world.ports, promoted.entry, seconds=60, sleep=clock.sleep, monotonic=clock.monotonic
    )
    assert world.shown() == ([1], 1)
    assert TTL_SECONDS <= clock.monotonic() - before < 5


def test_settling_tries_again_where_mlflow_did_not_answer(world: World) -> None:
    promoted = promote(world.ports, world.train(), actor="ada")
    assert promoted.entry is not None
    world.client.fail_next("set_stage", times=2)
    assert settle(world.ports, promoted.entry, seconds=5, sleep=world.clock.sleep)
    assert world.shown() == ([1], 1)


def test_an_entry_whose_version_is_gone_is_not_drawn_on_its_namesake(world: World) -> None:
    promote(world.ports, world.train(), actor="ada")
    world.client.delete_model("iris")
    world.train()
    project(world.ports, "iris")
    assert world.shown() == ([], None)


def test_a_deleted_model_does_not_stop_what_is_drawn(world: World) -> None:
    promoted = promote(world.ports, world.train(), actor="ada")
    world.client.delete_model("iris")
    drawn = project(world.ports, "iris")
    assert drawn is not None
    assert promoted.entry is not None
    assert (drawn.key, drawn.snapshot) == (promoted.entry.key, Snapshot({}, None))
    assert world.serving() == 1
