"""A head that the nodes refuse to serve: the registrar goes back, once, and never in circles."""

from __future__ import annotations

import logging

import pytest

from registry.errors import Unreachable
from registry.ledger import Door, EntryKind
from registry.registrar import ACTOR
from registry.views import status_row
from registry.withdrawal import retire, rollback
from tests.fakes import World
from tests.fakes.survival import step, survives


def says(
    world: World, node: str, *, refused: str = "", refused_seq: str | None = None, age: float = 0
) -> None:
    """A node's row, `age` seconds old; by default its refusal is of the head."""
    head = world.ledger.head("iris")
    assert head is not None
    seq = refused_seq or (str(head.key) if refused else None)
    held = {"version": 1, "seq": "1.1", "refused": refused, "refused_seq": seq}
    at_ms = world.clock.now_ms() - round(age * 1000)
    world.ledger.write_status(node, {"models": {"iris": held}}, at_ms=at_ms)


@pytest.fixture
def two(world: World) -> World:
    """v1 served before, v2 is the head."""
    world.trained_and_served()
    world.trained_and_served()
    return world


def test_a_head_that_every_node_refuses_is_left(two: World) -> None:
    says(two, "a", refused="v2 refused: wrong answer")
    says(two, "b", refused="v2 refused: out of memory")
    registrar = two.registrar()
    head = two.ledger.head("iris")
    assert head is not None
    assert (head.kind, head.door, head.actor) == (EntryKind.ROLLBACK, Door.REGISTRAR, ACTOR)
    reason = "2 of 2 nodes refused it: a: v2 refused: wrong answer; b: v2 refused: out of memory"
    assert head.reason == reason
    assert two.shown() == ([1], 1)
    assert two.tags(two.client.version("iris", 2))["baton.rejected"] == reason
    assert two.knocks == 1
    registrar.step()
    assert len(two.ledger.history("iris")) == 3


def test_a_head_that_some_nodes_serve_stays_and_is_told_once(
    two: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    says(two, "a", refused="out of memory")
    says(two, "b")
    registrar = two.registrar()
    registrar.step()
    assert two.serving() == 2
    assert caplog.text.count("1 of 2 nodes refused it: a: out of memory") == 1
    assert "baton.rejected" not in two.tags(two.client.version("iris", 2))
    row = status_row(two.ports, two.ledger.heads()[0])
    assert row["refused"] == {"a": "out of memory"}


def test_only_nodes_that_were_heard_from_lately_are_asked(two: World) -> None:
    says(two, "a", refused="wrong answer", age=31)
    two.registrar()
    assert two.serving() == 2, "nobody lives who refuses"
    says(two, "b", refused="wrong answer", age=29)
    two.registrar()
    assert two.serving() == 1


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_node_that_serves_counts_however_its_clock_goes(two: World, hours: int) -> None:
    says(two, "a", refused="wrong answer")
    says(two, "b", age=hours * 3600)
    registrar = two.registrar()
    for _ in range(10):
        two.clock.sleep(5)
        says(two, "a", refused="wrong answer")
        says(two, "b", age=hours * 3600)
        registrar.step()
    assert two.serving() == 2, "b serves it, and lives"
    for _ in range(7):
        two.clock.sleep(5)
        says(two, "a", refused="wrong answer")
        registrar.step()
    assert two.serving() == 1, "b has been silent for longer than 30 s"


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_node_is_heard_however_its_clock_goes_once_it_has_said_something(
    two: World, hours: int
) -> None:
    says(two, "a", refused="wrong answer", age=hours * 3600)
    registrar = two.registrar()
    assert two.serving() == 2, "its row may be of yesterday"
    two.clock.sleep(5)
    says(two, "a", refused="wrong answer", age=hours * 3600)
    registrar.step()
    assert two.serving() == 1


def test_a_dead_node_that_serves_keeps_no_head_for_longer_than_it_is_watched(two: World) -> None:
    says(two, "dead", age=3600)
    says(two, "a", refused="wrong answer")
    registrar = two.registrar()
    assert two.serving() == 2
    two.clock.sleep(10)
    says(two, "a", refused="wrong answer")
    registrar.step()
    assert two.serving() == 1


def test_a_node_with_other_models_is_not_asked(two: World) -> None:
    says(two, "a", refused="wrong answer")
    others = {"petr4": {"version": 1, "seq": "1.1", "refused": ""}}
    two.ledger.write_status("b", {"models": others}, at_ms=two.clock.now_ms())
    two.registrar()
    assert two.serving() == 1


@pytest.mark.parametrize("seq", ["1.1", "1.3", None])
def test_what_a_node_refused_before_is_no_refusal_of_the_head(two: World, seq: str | None) -> None:
    says(two, "a", refused="wrong answer", refused_seq=seq or "0.0")
    if seq is None:  # as a node of an older release writes it
        held = {"version": 1, "seq": "1.1", "refused": "wrong answer"}
        two.ledger.write_status("a", {"models": {"iris": held}}, at_ms=two.clock.now_ms())
    two.registrar()
    assert two.serving() == 2


def test_nodes_that_refuse_everything_end_at_the_oldest_and_hear_so_once(
    two: World, caplog: pytest.LogCaptureFixture
) -> None:
    registrar = two.registrar()
    for _ in range(5):
        says(two, "a", refused="no memory at all")
        registrar.step()
    assert two.serving() == 1
    assert len(two.ledger.history("iris")) == 3
    assert caplog.text.count("it stays") == 1
    assert two.shown() == ([1], 1)
    assert "baton.rejected" in two.tags(two.client.version("iris", 1))


def test_a_head_that_moved_meanwhile_is_not_left(two: World) -> None:
    says(two, "a", refused="wrong answer")
    third = two.train()
    two.client.after_next("tag", lambda: two.serve(third))
    two.registrar()
    assert two.serving() == 3
    assert [e.kind for e in two.ledger.history("iris")] == [EntryKind.PROMOTE] * 3


def test_a_store_that_is_away_keeps_no_other_model_waiting(two: World) -> None:
    says(two, "a", refused="wrong answer")
    two.click(two.train("petr4"))
    two.client.fail_next("fetch", Unreachable("the store is away"))
    registrar = two.registrar()
    assert two.serving() == 2
    assert two.serving("petr4") == 1
    registrar.step()
    assert two.serving() == 1, "and it is tried again"


def test_a_retired_model_is_not_rolled_back(two: World) -> None:
    retire(two.ports, "iris", actor="ada")
    says(two, "a", refused="nothing to serve")
    two.registrar()
    assert two.serving() is None


def test_a_version_refused_by_all_can_be_promoted_once_more(two: World) -> None:
    says(two, "a", refused="disk full")
    registrar = two.registrar()
    entry = two.serve(two.client.version("iris", 2))
    registrar.step()
    assert two.serving() == 2
    assert "baton.rejected" not in two.tags(two.client.version("iris", 2))
    assert rollback(two.ports, "iris", actor="ada", to=None).key > entry.key


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_killed_anywhere_while_it_leaves_a_head_the_next_one_finishes(tmp_path) -> None:
    def setting(world: World) -> None:
        world.trained_and_served()
        world.trained_and_served()
        says(world, "a", refused="wrong answer")

    seen: list[World] = []

    def action(world: World, ports: object) -> None:
        seen.append(world)
        step(world, ports)

    survives(tmp_path, setting, action, may_end={1}, new=1)
    tags = [world.tags(world.client.version("iris", 2)) for world in seen]
    assert all("wrong answer" in tag["baton.rejected"] for tag in tags)
    assert len(seen) > 10
