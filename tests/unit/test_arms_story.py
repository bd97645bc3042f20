"""Splits, shadows and swaps in any order, whatever breaks: every answer is of an arm of its entry.

A node with a watcher and workers; the ledger is a list. Each story is told by its seed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from registry.errors import NotReady, UnknownModel
from registry.ledger import Entry, Role
from serving.assignments import Assignment
from serving.page import _SLOT_WORDS, _SLOTS_AT
from serving.table import Serving
from tests.servingfakes.versions import beside
from tests.servingfakes.watched import WatchedNode
from tests.servingfakes.workers import FakeLoader, FakeServable, FakeWorker

SEEDS = range(int(os.environ.get("BATON_TEST_EXAMPLES", "12")))
STEPS = 60
VERSIONS = 4


class Story:
    """What people, machines and bad luck do, and what must hold after each of it."""

    def __init__(self, home: Path, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - a story, no secret
        self.node = WatchedNode(home)
        self.node.tick = self._tick
        self.workers = [self.node.worker]
        self.newest = 0
        self.arms = 0
        self.node.head(self.node.version(1), beside(self.node.version(2), 0.5))
        self._look()

    def tell(self) -> None:
        """Some steps, then rest. It begins in a split."""
        self.check()
        often: dict[Callable[[], None], int] = {
            self._promote: 3,
            self._split: 5,
            self._retire: 1,
            self._look: 6,
            self._worker_looks: 2,
            self._is_born: 2,
            self._is_killed: 2,
            self._watcher_is_killed: 2,
            self._rots: 1,
            self._fails_trials: 1,
            self._ledger_goes: 1,
        }
        for _ in range(STEPS):
            [step] = self.random.choices(list(often), weights=list(often.values()))
            step()
            self.check()
        self._rest()

    def check(self) -> None:
        """Every worker that answers does so by one entry, and by what that says of arms."""
        entries = {one.key.seq: one for one in self.node.ledger.entries}
        for worker in self.workers:
            try:
                serving = worker.manager.acquire("iris")
            except (NotReady, UnknownModel):
                assert self.node.held().current is None
                continue
            one = serving.assignment
            entry = entries[one.key.seq]
            assert (one.digest, _digest(serving)) == (entry.digest, entry.digest)
            assert one.key.seq >= self.newest
            self.newest = one.key.seq
            self._check_arm(worker, one, entry)

    def close(self) -> None:
        for worker in self.workers[1:]:
            worker.close()
        self.node.worker = self.workers[0]
        self.node.close()

    def _check_arm(self, worker: FakeWorker, one: Assignment, entry: Entry) -> None:
        assert (one.arm is None) == (entry.arm is None)
        if one.arm and entry.arm:
            self.arms += 1
            found = worker.manager.beside(one.arm)
            assert found, "it is loaded wherever what serves is"
            assert (one.arm.digest, _digest(found)) == (entry.arm.digest, entry.arm.digest)
            assert (one.arm.key, one.arm.role) == (entry.key, entry.arm.role)

    def _promote(self) -> None:
        self.node.head(self._some())

    def _split(self) -> None:
        """Beside the head, or beside another version at once."""
        entries, role = self.node.ledger.entries, self.random.choice([Role.SPLIT, Role.SHADOW])
        serving = entries[-1].route if self.random.random() < 0.8 else None
        serving = serving or self._some()
        arm = self._some()
        if arm.digest != serving.digest:
            self.node.head(serving, beside(arm, self.random.random(), role=role))

    def _retire(self) -> None:
        self.node.retire()

    def _look(self) -> None:
        self.node.now += 400.0  # whatever was refused may be tried again
        self.node.watcher.step(self.node.now)
        while self.node.watcher.is_busy:
            self._tick()
            self.node.watcher.step(self.node.now)
        self._tick()

    def _worker_looks(self) -> None:
        self.random.choice(self.workers).step()

    def _is_born(self) -> None:
        if len(self.workers) < 3:
            self.workers.append(FakeWorker(self.node.home, FakeLoader()))

    def _is_killed(self) -> None:
        if len(self.workers) > 1:
            gone = self.workers.pop(0)
            gone.page._words[_SLOTS_AT + gone.slot * _SLOT_WORDS + 1] = 1  # another's start
            gone.close()

    def _watcher_is_killed(self) -> None:
        self.node.watcher.close()
        self.node.watcher = self.node.started()

    def _rots(self) -> None:
        files = sorted((self.node.home / "store").glob("*/files/model.onnx"))
        if files:
            self.random.choice(files).write_bytes(b"rot")

    def _fails_trials(self) -> None:
        self.node.trial.refused ^= {self._some().digest}

    def _ledger_goes(self) -> None:
        self.node.ledger.away = not self.node.ledger.away

    def _rest(self) -> None:
        """With nothing broken any more the node serves the head, and all of it is in the store."""
        self.node.ledger.away, self.node.trial.refused = False, set()
        for _ in range(4):
            self._look()
            self.check()
        head, held = self.node.ledger.entries[-1], self.node.held()
        assert (held.key, held.refused) == (head.key, "")
        if held.current:
            served = [one.digest for one in held.current.versions]
            assert served == [one.digest for one in head.routes]

    def _tick(self) -> None:
        for worker in self.workers:
            worker.step()

    def _some(self) -> Any:
        return self.node.version(self.random.randint(1, VERSIONS))


def _digest(serving: Serving) -> str:
    return cast("FakeServable", serving.servable).digest


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_every_answer_is_of_an_arm_of_its_entry(tmp_path: Path, seed: int) -> None:
    story = Story(tmp_path, seed)
    with contextlib.closing(story):
        story.tell()
        assert story.arms > 0, "a story without arms would prove nothing"


def test_the_story_sees_an_arm_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(self: Any, arm: Assignment) -> Serving | None:
        return self.acquire(arm.model)  # type: ignore[no-any-return]

    monkeypatch.setattr("serving.manager.Manager.beside", wrong)
    story = Story(tmp_path, 0)
    with contextlib.closing(story), pytest.raises(AssertionError):
        story.tell()
