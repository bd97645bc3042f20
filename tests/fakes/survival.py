"""One change of Production, ended at every point in turn; what a fresh registrar makes of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

from registry.chain import first_break
from registry.fence import fenced
from registry.lease import Lease
from registry.promotion import Ports
from registry.registrar import Registrar
from tests.fakes.crash import Crash, Doom, doomed
from tests.fakes.world import World

Setting = Callable[[World], object]
Action = Callable[[World, Ports], object]


def survives(
    root: Path, setting: Setting, action: Action, *, may_end: set[int | None], new: int | None
) -> list[str]:
    """Run `action` on `setting`, ended at every point; returns the points.

    `may_end` are the versions that may serve afterwards; `new` the one that must if it comes
    through. None: nothing serves.
    """
    points: list[str] = []
    template = World(root / "template")
    setting(template)
    for number in count(1):
        world, doom = template.copy(root / str(number)), Doom(number)
        try:
            action(world, doomed(world.ports, doom))
        except Crash:
            points.append(doom.where)
        finish(world)
        must = may_end if doom.struck else {new}
        assert world.serving() in must, f"{doom.where}: v{world.serving()} serves"
        whole(world, doom.where)
        world.ledger.close()
        if not doom.struck:
            return points
    raise AssertionError("unreachable")


def finish(world: World) -> None:
    """A fresh registrar gets the lease, and steps until it has nothing left to do."""
    lease = world.lease()
    while not lease.acquire():
        world.clock.sleep(0.5)
    registrar = Registrar(fenced(world.ports, lease), announce=lambda: None)
    registrar.step()
    registrar.step()
    done = list(world.client.writes)
    registrar.step()
    Registrar(fenced(world.ports, lease), announce=lambda: None).step()
    assert world.client.writes == done, "something was left to do"
    world.ledger.release_lease("registrar", holder=lease.holder)


def whole(world: World, where: str) -> None:
    """MLflow shows the head and nothing else, and the ledger knows it."""
    head, serving = world.ledger.head("iris"), world.serving()
    wanted = ([], None) if serving is None else ([serving], serving)
    assert world.shown() == wanted, f"{where}: MLflow shows {world.shown()}"
    assert first_break(world.ledger.chains()) is None
    if head is not None:
        assert head.snapshot == world.client.snapshot("iris"), where


def step(world: World, ports: Ports) -> None:
    """A registrar that gets the lease and takes two steps."""
    lease = Lease(ports.ledger, monotonic=world.clock.monotonic)
    assert lease.acquire()
    registrar = Registrar(fenced(ports, lease), announce=lambda: None)
    with lease.kept():
        registrar.step()
        registrar.step()
