"""A registrar among faults, races and other people's registries."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from registry.client import RegistryClient
from registry.errors import ForeignLedger, LeaseLost, Unreachable
from registry.fence import CLIENT_READS, fenced
from registry.lease import Lease
from registry.model_version import ModelVersion, Stage
from registry.nudge import Bell
from registry.promotion import LEDGER_TAG, promote
from registry.registrar import Registrar
from tests.fakes import FakeClock, Meanwhile, World


def test_a_registrar_of_another_ledger_touches_nothing(world: World) -> None:
    world.click(world.train())
    world.client.tag_model("iris", LEDGER_TAG, "another")
    world.client.point("iris", 1)
    world.client.writes.clear()
    with pytest.raises(ForeignLedger):
        world.registrar()
    assert world.shown() == ([1], 1)
    assert world.client.writes == []


@pytest.mark.parametrize("call", ["models", "recent", "snapshot", "download", "tag", "set_stage"])
def test_a_click_during_a_fault_is_adopted_once_it_is_over(world: World, call: str) -> None:
    world.trained_and_served()
    registrar, second = world.registrar(), world.train()
    world.click(second)
    world.client.fail_next(call)
    with pytest.raises(Unreachable):
        registrar.step()
    registrar.step()
    assert world.shown() == ([2], 2)


@pytest.mark.parametrize("passes", ["a minute", "the clock is set back an hour"])
def test_a_change_that_was_missed_is_found_soon(world: World, passes: str) -> None:
    world.trained_and_served()
    registrar, second = world.registrar(), world.train()
    registrar.step()
    world.client._replace(second, stage=Stage.PRODUCTION)  # as on no page that is looked at
    registrar.step()
    assert world.serving() == 1, "nothing says that it changed"
    world.clock.sleep(61) if passes == "a minute" else world.clock.set_by(-3600)
    registrar.step()
    assert world.serving() == 2


def delete_model(world: World, version: ModelVersion) -> None:
    """The whole model goes."""
    world.client.delete_model(version.name)


def delete_version(world: World, version: ModelVersion) -> None:
    """Only the version goes; the model keeps another."""
    world.train("a")
    world.client.delete_version(version.name, version.version)


@pytest.mark.parametrize("delete", [delete_model, delete_version])
def test_what_is_deleted_while_it_is_pending_does_not_stop_the_others(
    world: World, delete: Callable[[World, ModelVersion], None]
) -> None:
    gone = world.train("a")
    promote(world.ports, gone, actor="ada")
    delete(world, gone)
    world.click(world.train("b"))
    world.registrar()
    assert world.serving("a") == 1, "it goes on serving"
    assert world.shown("b") == ([1], 1)


@pytest.mark.parametrize("delete", [delete_model, delete_version])
def test_what_is_deleted_while_it_is_judged_does_not_stop_the_others(
    world: World, delete: Callable[[World, ModelVersion], None]
) -> None:
    gone = world.train("a")
    world.click(gone)
    world.click(world.train("b"))
    world.trial.meanwhile = lambda: delete(world, gone)
    registrar = world.registrar()
    registrar.step()
    assert world.shown("b") == ([1], 1)


def test_a_model_made_again_is_judged_again(world: World) -> None:
    world.trained_and_served()
    registrar = world.registrar()
    world.client.delete_model("iris")
    again = world.train()
    world.click(again)
    registrar.step()
    head = world.ledger.head("iris")
    assert head is not None
    assert head.route.created_ms == again.created_ms


def test_a_promotion_between_projecting_and_comparing_is_no_click(world: World) -> None:
    """MLflow still shows the old version then, which nobody chose."""
    world.trained_and_served()
    second = world.train()
    appended = Meanwhile(world.client, "models", lambda: promote(world.ports, second, actor="ada"))
    ports = dataclasses.replace(world.ports, client=cast("RegistryClient", appended))
    Registrar(ports, announce=lambda: None).step()
    assert world.serving() == second.version
    assert world.shown() == ([2], 2)
    assert len(world.ledger.history("iris")) == 2


@pytest.mark.parametrize("write", ["set_stage", "set_alias", "tag"])
def test_a_click_while_another_version_is_drawn_is_not_lost(world: World, write: str) -> None:
    promote(world.ports, world.train(), actor="ada")
    second = world.train()
    world.client.after_next(write, lambda: world.click(second))
    registrar = world.registrar()
    registrar.step()
    assert world.serving() == 2
    assert world.shown() == ([2], 2)


def test_a_head_that_moves_while_a_click_is_judged_wins(world: World) -> None:
    world.trained_and_served()
    registrar = world.registrar()
    second, third = world.train(), world.train()
    world.click(second)
    world.trial.meanwhile = lambda: promote(world.ports, third, actor="ada")
    registrar.step()
    registrar.step()
    assert world.serving() == 3
    assert world.shown() == ([3], 3)


def run(world: World, tmp_path: Path, *, rounds: int) -> Lease:
    """A registrar of its own that runs for some rounds of its bell."""
    bell, lease = Rounds(tmp_path / "bell", rounds, world.clock), world.lease()
    registrar = Registrar(fenced(world.ports, lease), announce=lambda: None)
    registrar.run(lease, bell, bell.stop, poll_seconds=1)
    return lease


def taken_over(world: World) -> None:
    """Everything stands still but another registrar, which takes the lease."""
    successor = world.lease()
    while not successor.acquire():
        world.clock.sleep(0.5)


def test_it_works_only_while_it_holds_the_lease(world: World, tmp_path: Path) -> None:
    world.click(world.train())
    assert world.lease().acquire()
    run(world, tmp_path, rounds=5)
    assert world.serving() is None, "2.5 s of silence are not enough"
    run(world, tmp_path, rounds=8)
    assert world.serving() == 1, "the other one said nothing for 3 s"


def test_it_goes_on_after_a_fault(world: World, tmp_path: Path) -> None:
    world.click(world.train())
    world.client.fail_next("models")
    run(world, tmp_path, rounds=2)
    assert world.serving() == 1
    assert world.lease().acquire(), "the lease was given back"


def test_a_fault_that_lasts_is_told_once_and_its_end_too(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="registry.registrar")
    world.client.fail_next("models", times=5)
    run(world, tmp_path, rounds=8)
    assert [record.getMessage() for record in caplog.records] == [
        "this registrar holds the lease",
        "registrar cannot work: registry: models did not answer",
        "this registrar holds the lease",
    ]


@pytest.mark.parametrize("write", ["set_stage", "set_alias", "tag"])
def test_a_registrar_that_stood_still_writes_nothing_more(
    world: World, tmp_path: Path, write: str
) -> None:
    """Stopped after a write for so long that another took over, it stops at the next one."""
    promote(world.ports, world.train(), actor="ada")
    world.client.writes.clear()
    lease = world.lease()
    assert lease.acquire()
    registrar = Registrar(fenced(world.ports, lease), announce=lambda: None)
    world.client.after_next(write, lambda: taken_over(world))
    with pytest.raises(LeaseLost):
        registrar.step()
    assert world.client.writes[-1][0] == write
    assert world.ledger.heads()[0].snapshot is None
    run(world, tmp_path, rounds=8)
    assert world.shown() == ([1], 1), "its successor finishes"


def test_a_click_judged_for_too_long_is_left_to_the_successor(world: World, tmp_path: Path) -> None:
    world.trained_and_served()
    second = world.train(content="broken")
    lease = world.lease()
    assert lease.acquire()
    registrar = Registrar(fenced(world.ports, lease), announce=lambda: None)
    registrar.step()
    world.click(second)
    world.client.writes.clear()
    world.trial.meanwhile = lambda: taken_over(world)
    with pytest.raises(LeaseLost):
        registrar.step()
    assert world.client.writes == []
    run(world, tmp_path, rounds=8)
    assert world.shown() == ([1], 1)
    assert "signal 11" in world.tags(second)["baton.rejected"]


def test_every_method_of_the_registry_that_is_no_read_is_fenced(world: World) -> None:
    """Fenced by default: a new method is a write until somebody says that it is none."""
    methods = {name for name in vars(RegistryClient) if not name.startswith("_")}
    writes = {"set_stage", "set_alias", "tag", "tag_model", "log_report"}
    assert methods - CLIENT_READS == writes
    client = fenced(world.ports, world.lease()).client
    for name in writes:
        with pytest.raises(LeaseLost):
            getattr(client, name)()
    assert client.models() == {}


class Rounds(Bell):
    """A bell that does not sleep, and stops its owner after some waits."""

    def __init__(self, path: Path, stop_after: int, clock: FakeClock) -> None:
        super().__init__(path)
        self.stop = threading.Event()
        self.left = stop_after
        self.clock = clock

    def wait(self, seconds: float) -> bool:
        self.clock.sleep(seconds)
        self.left -= 1
        if self.left <= 0:
            self.stop.set()
        return False
