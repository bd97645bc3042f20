"""The host: one runner a version that is named, and none that nobody needs. Time is a number."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from registry.settings import Settings
from serving.assignments import Assignments, Held
from serving.page import Page
from serving.runner.host import Host, Named, Wanted
from tests.servingfakes import models
from tests.servingfakes.pyfuncs import scripted
from tests.servingfakes.versions import assignment, folder, store, with_arm

GRACE = 10.0


@dataclass
class FakeProcess:
    """Runs until it is killed, or ended by the test."""

    code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def kill(self) -> None:
        self.code = -9 if self.code is None else self.code

    def wait(self) -> int:
        assert self.code is not None
        return self.code


@dataclass
class World:
    """A host whose processes are fakes."""

    started: list[tuple[str, FakeProcess]] = field(default_factory=list)
    ended: list[tuple[str, int]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    niceness: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.host = Host(
            self.start, lambda *end: self.ended.append(end), self.forgotten.append, GRACE
        )

    def start(self, digest: str, niceness: int) -> FakeProcess:
        self.niceness.append(niceness)
        self.started.append((digest, FakeProcess()))
        return self.started[-1][1]

    def step(self, now: float, *named: str, is_new: bool = False) -> None:
        self.host.step(dict.fromkeys(named, Wanted("iris", is_new)), now)

    @property
    def running(self) -> list[str]:
        return [digest for digest, process in self.started if process.code is None]


def test_a_version_that_is_named_gets_one_process_however_often_it_is_named() -> None:
    world = World()
    for now in range(5):
        world.step(now, "a")
    assert world.running == ["a"]
    assert len(world.started) == 1


def test_a_swap_starts_the_new_one_beside_the_old_one() -> None:
    world = World()
    world.step(0, "a")
    world.step(1, "a", "b")
    assert world.running == ["a", "b"]


def test_one_no_longer_named_is_ended_when_no_request_can_be_left_in_it() -> None:
    world = World()
    world.step(0, "a", "b")
    world.step(1, "b")
    world.step(1 + GRACE - 0.1, "b")
    assert world.running == ["a", "b"]
    world.step(1 + GRACE, "b")
    assert (world.running, world.forgotten, world.ended) == (["b"], ["a"], [])


def test_one_that_is_named_again_in_time_goes_on() -> None:
    world = World()
    world.step(0, "a")
    world.step(1)
    world.step(5, "a")
    world.step(6)
    world.step(1 + GRACE)
    assert world.running == ["a"]
    world.step(6 + GRACE)
    assert world.running == []


def test_one_that_died_while_it_was_not_needed_is_not_started_again() -> None:
    world = World()
    world.step(0, "a")
    world.started[0][1].code = 1
    world.step(1)
    world.step(2, "a")
    assert len(world.started) == 2
    assert world.running == ["a"]


def test_one_that_dies_is_told_of_and_started_again_with_growing_pauses() -> None:
    world, starts, now, known = World(), [], 0.0, 0
    while now < 120:
        world.step(now, "a")
        if len(world.started) > known:
            known = len(world.started)
            starts.append(now)
            world.started[-1][1].code = 1
        now += 0.05
    pauses = [round(b - a, 2) for a, b in itertools.pairwise(starts)]
    assert world.ended[0] == ("a", 1)
    assert pauses[:4] == pytest.approx([0.25, 0.45, 0.85, 1.65], abs=0.11)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(30, abs=0.2)


def test_one_that_ran_for_a_while_is_started_again_at_once() -> None:
    world = World()
    world.step(0, "a")
    for now in (100, 200, 300):
        world.started[-1][1].code = -9
        world.step(now, "a")
        assert world.running == []
        world.step(now + 0.3, "a")
        assert world.running == ["a"]


def test_only_what_nobody_asks_yet_loads_in_the_background() -> None:
    world = World()
    world.step(0, "a")
    world.step(1, "a", "b", is_new=True)
    world.started[1][1].code = 1
    world.step(2, "a", "b")
    world.step(3, "a", "b")
    assert world.niceness == [0, 10, 0]


def test_all_end_with_the_host() -> None:
    world = World()
    world.step(0, "a", "b")
    world.host.close()
    assert (world.running, sorted(world.forgotten)) == ([], ["a", "b"])


def test_named_are_the_stored_versions_that_only_a_runner_runs(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "var").resolved()
    code = [store(settings.store_dir, scripted(tmp_path / f"c{n}", f"return {n}")) for n in "123"]
    onnx = store(settings.store_dir, folder(tmp_path / "o", models.linear(3)))
    with Page(settings.page_path) as page:
        named = Named(settings, page)
        assert named.look() == {}
        held = Held(
            index=0,
            current=assignment(code[0], 1),
            previous=assignment(onnx, 2),
            preparing=assignment(code[1], 3),
        )
        other = Held(index=1, current=assignment("0" * 64, 1, model="gone"))
        assignments = Assignments(settings.assignments_path)
        assignments.write("iris", held)
        assignments.write("gone", other)
        assert named.look() == {}, "the page does not say so yet"
        for index in (0, 1):
            page.announce(index)
        assert named.look() == {code[0]: Wanted("iris"), code[1]: Wanted("iris", is_new=True)}
        split = with_arm(assignment(onnx, 4), code[2], 0.1)
        for changes, is_new in (({"preparing": split}, True), ({"current": split}, False)):
            assignments.write("iris", Held(index=0, **changes))
            page.announce(0)
            assert named.look() == {code[2]: Wanted("iris", is_new=is_new)}
