"""How a model stands: what the registry's side of `status` says, over fakes and a real ledger."""

from __future__ import annotations

import pytest

from registry.errors import Unreachable
from registry.ledger import EntryKind
from registry.model_version import Stage
from registry.projection import project
from registry.promotion import promote
from registry.state import ADVICE, State, seen, state_of
from registry.views import status_row
from registry.withdrawal import retire
from tests.fakes import World


def state(world: World) -> State:
    """As `status` and the registrar see it now."""
    head = world.ledger.head("iris")
    assert head is not None
    return state_of(head, *seen(world.client, "iris"))


def test_a_head_that_mlflow_does_not_show_yet_is_pending(world: World) -> None:
    promote(world.ports, world.train(), actor="ada")
    assert state(world) is State.PENDING
    project(world.ports, "iris")
    assert state(world) is State.OK


@pytest.mark.parametrize("archive", [True, False])
def test_a_click_that_nobody_judged_yet_is_pending(world: World, archive: bool) -> None:
    world.trained_and_served()
    world.click(world.train(), archive=archive)
    assert state(world) is State.PENDING
    world.registrar()
    assert state(world) is State.OK


@pytest.mark.parametrize("after", ["at once", "after a step"])
def test_a_head_demoted_by_hand_is_degraded_until_it_is_clicked_again(
    world: World, after: str
) -> None:
    version = world.trained_and_served()
    registrar = world.registrar()
    world.click(version, Stage.STAGING)
    if after == "after a step":
        registrar.step()
    assert state(world) is State.DEGRADED
    world.click(version)
    registrar.step()
    assert state(world) is State.OK


@pytest.mark.parametrize("gone", ["version", "model", "model, and made again"])
def test_a_head_that_was_deleted_is_orphaned_until_it_is_retired(world: World, gone: str) -> None:
    world.trained_and_served()
    registrar = world.registrar()
    if gone == "version":
        world.client.delete_version("iris", 1)
    else:
        world.client.delete_model("iris")
    if "again" in gone:
        world.train()
    assert state(world) is State.ORPHANED
    registrar.step()
    assert state(world) is State.ORPHANED
    assert world.serving() == 1
    retire(world.ports, "iris", actor="ada")
    assert state(world) is State.PENDING
    project(world.ports, "iris")
    assert state(world) is State.RETIRED


def test_an_orphan_is_left_by_promoting_another(world: World) -> None:
    world.trained_and_served()
    world.client.delete_version("iris", 1)
    world.trained_and_served()
    assert state(world) is State.OK


def test_without_mlflow_what_it_showed_last_counts(world: World) -> None:
    version = world.trained_and_served()
    world.client.fail_next("snapshot")
    row = status_row(world.ports, world.ledger.heads()[0])
    assert (row["state"], row["todo"]) == ("ok", "")
    assert "did not answer" in row["mlflow"]
    world.click(version, Stage.ARCHIVED)
    world.registrar().step()
    world.client.fail_next("snapshot", Unreachable("gone"))
    assert status_row(world.ports, world.ledger.heads()[0])["state"] == "degraded"


def test_every_state_that_needs_somebody_says_what_to_do(world: World) -> None:
    assert set(ADVICE) == set(State)
    assert [s for s in State if not ADVICE[s]] == [State.OK, State.RETIRED]
    world.trained_and_served()
    world.client.delete_version("iris", 1)
    row = status_row(world.ports, world.ledger.heads()[0])
    assert row["state"] == "orphaned"
    assert "retire" in row["todo"]
    assert row["entry"]["kind"] == EntryKind.PROMOTE
