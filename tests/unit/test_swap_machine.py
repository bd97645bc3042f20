"""Whatever people do in whatever order, and whatever breaks meanwhile: what is answered holds.

A registry, a ledger, a registrar and a node with workers, all in this process; only MLflow, the
trial and the models are stand-ins. `BATON_TEST_EXAMPLES` says how many stories are told.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from registry.arms import Plan, begin, stop
from registry.beside import is_over
from registry.errors import BatonError, NotReady, UnknownModel, Unreachable
from registry.ledger import EntryKind, Ledger, Role
from registry.model_version import ModelVersion, Stage
from registry.projection import project
from registry.promotion import promote
from registry.registrar import Registrar
from registry.withdrawal import retire, rollback
from serving.node import policy
from serving.node.heads import LedgerHeads
from serving.page import _SLOT_WORDS, _SLOTS_AT
from serving.residents import Residents
from tests.fakes.world import World
from tests.servingfakes.watched import WatchedNode
from tests.servingfakes.workers import FakeLoader, FakeWorker

EXAMPLES = int(os.environ.get("BATON_TEST_EXAMPLES", "20"))
MODEL = "iris"
PICK = st.integers(0, 1_000)


class Story(RuleBasedStateMachine):
    """Each rule is something that people, machines or bad luck do."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="baton-story-"))
        self.world = World(self.root / "registry")
        self.registrar = self.world.registrar()
        self.node = WatchedNode(self.root / "node")
        self.node.ledger = cast("Any", self.world.ledger)
        self.away = False
        self.node.watcher.outlooks[0].ledger = self._ledger  # type: ignore[index,union-attr]
        self.node.watcher.status.ledger = self._ledger
        self.workers = [self.node.worker]
        self.node.tick = self._tick
        self.newest = (0, 0)

    def teardown(self) -> None:
        """However a story ends, it comes to rest."""
        try:
            self.everything_comes_to_rest()
            self.an_answer_is_the_ledgers_and_nobody_goes_back()
        finally:
            self._close()

    def _close(self) -> None:
        for worker in self.workers:
            worker.manager.stop()
        self.node.close()
        self.world.ledger.close()
        shutil.rmtree(self.root)

    @initialize()
    def something_serves(self) -> None:
        """A story that begins before the first version is mostly about nothing."""
        for _ in range(4):
            self.world.train(MODEL)
        promote(self.world.ports, self.world.client.version(MODEL, 1), actor="ada")
        self._step()
        self.registrar.step()

    # What people do.

    @rule()
    def register(self) -> None:
        self.world.train(MODEL)

    @rule(pick=PICK)
    def promote(self, pick: int) -> None:
        if version := self._some(pick):
            with contextlib.suppress(BatonError):
                promote(self.world.ports, version, actor="ada")

    @rule()
    def roll_back(self) -> None:
        with contextlib.suppress(BatonError):
            rollback(self.world.ports, MODEL, actor="ada", to=None)

    @rule(often=st.integers(0, 3))
    def retire(self, often: int) -> None:
        if often == 0:
            with contextlib.suppress(BatonError):
                retire(self.world.ports, MODEL, actor="ada")

    @rule(pick=PICK, role=st.sampled_from([Role.SHADOW, Role.SPLIT]), is_short=st.booleans())
    def put_beside(self, pick: int, *, role: Role, is_short: bool) -> None:
        if version := self._some(pick):
            plan = Plan(role=role, percent=50, hours=0.02 if is_short else 24)
            with contextlib.suppress(BatonError):
                begin(self.world.ports, version, plan, actor="ada")

    @rule()
    def stop(self) -> None:
        with contextlib.suppress(BatonError):
            stop(self.world.ports, MODEL, actor="ada")

    @rule(pick=PICK, archive=st.booleans())
    def click(self, pick: int, *, archive: bool) -> None:
        if version := self._some(pick):
            self.world.clock.tick()
            self.world.click(version, Stage.PRODUCTION, archive=archive)

    @rule(pick=PICK)
    def point_the_alias(self, pick: int) -> None:
        if version := self._some(pick):
            self.world.client.point(MODEL, version.version)

    @rule(pick=PICK)
    def demote(self, pick: int) -> None:
        if version := self._some(pick):
            self.world.click(version, Stage.NONE)

    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        if pick % 4 == 0 and (version := self._some(pick // 4)):
            self.world.client.delete_version(MODEL, version.version)

    # What machines do.

    @rule()
    def the_registrar_looks(self) -> None:
        self.registrar.step()

    @rule()
    def the_watcher_looks(self) -> None:
        self.node.now += 400.0  # whatever was refused may be tried again
        self._step()

    @rule()
    def a_worker_looks(self) -> None:
        self.workers[0].step()

    # Bad luck.

    @rule()
    def the_ledger_goes_away_or_comes_back(self) -> None:
        self.away = not self.away

    @rule(pick=PICK)
    def a_file_in_the_store_rots(self, pick: int) -> None:
        files = sorted((self.node.home / "store").glob("*/files/model.onnx"))
        if files:
            files[pick % len(files)].write_bytes(b"rot")

    @precondition(lambda self: len(self.workers) < 3)
    @rule()
    def a_worker_is_born(self) -> None:
        self.workers.append(FakeWorker(self.node.home, FakeLoader()))

    @precondition(lambda self: len(self.workers) > 1)
    @rule()
    def a_worker_is_killed(self) -> None:
        worker = self.workers.pop(0)
        at = worker.page.slots()[worker.slot]
        assert at.pid == os.getpid()
        _free(worker)
        self.node.worker = self.workers[0]

    @rule()
    def the_watcher_is_killed(self) -> None:
        self.node.watcher.close()
        self.node.watcher = self.node.started()
        self.node.watcher.outlooks[0].ledger = self._ledger  # type: ignore[index,union-attr]
        self.node.watcher.status.ledger = self._ledger

    @rule()
    def a_new_registrar_takes_over(self) -> None:
        self.registrar = self.world.registrar()

    @rule()
    def everything_comes_to_rest(self) -> None:
        """What the ledger names is served, what MLflow shows is the ledger's head."""
        self.away = False
        for _ in range(4):
            self.world.clock.sleep(61)
            self.registrar.step()
            project(self.world.ports, MODEL)
            self.node.now += 400.0
            self._step()
        head = self.world.ledger.head(MODEL)
        if head is None:
            return
        assert not is_over(head, self.world.clock.now_ms())
        held = self.node.held(MODEL)
        assert held.key is not None
        if not held.refused:
            assert held.key == head.key
        if head.kind is EntryKind.RETIRE:
            assert self.world.shown(MODEL) == ([], None)
        elif head.route and self._exists(head.route.version) and self._is_shown(head):
            assert self.world.shown(MODEL)[0] == [head.route.version]

    # What must hold, whatever happened.

    @invariant()
    def an_answer_is_the_ledgers_and_nobody_goes_back(self) -> None:
        entries = {e.key: e for e in self.world.ledger.history(MODEL)}
        for worker in self.workers:
            try:
                with worker.manager.acquire(MODEL) as serving:
                    key, digest = serving.assignment.key, serving.servable.digest  # type: ignore[attr-defined]
            except (NotReady, UnknownModel):
                continue
            assert entries[key].digest == digest == serving.assignment.digest
            assert (key.epoch, key.seq) >= self.newest
            self.newest = (key.epoch, key.seq)

    @invariant()
    def what_served_goes_on_serving(self) -> None:
        """Once something was answered, only a retirement ends that."""
        held = self.node.held(MODEL)
        if self.newest != (0, 0) and not held.retired:
            for worker in self.workers:
                with worker.manager.acquire(MODEL):
                    pass

    def _step(self) -> None:
        self.node.watcher.step(self.node.now)
        while self.node.watcher.is_busy:
            self._tick()
            self.node.watcher.step(self.node.now)
        self._tick()

    def _tick(self) -> None:
        for worker in self.workers:
            worker.step()

    def _ledger(self) -> Ledger:
        if self.away:
            raise Unreachable("the ledger is away on purpose")
        return self.world.ledger

    def _some(self, pick: int) -> ModelVersion | None:
        found = self.world.client.versions(MODEL)
        return found[pick % len(found)] if found else None

    def _exists(self, version: int) -> bool:
        return any(one.version == version for one in self.world.client.versions(MODEL))

    def _is_shown(self, head: Any) -> bool:
        """A version taken out of Production by hand goes on serving, and is not put back."""
        return head.route.version in self.world.client.snapshot(MODEL).production


def _free(worker: FakeWorker) -> None:
    """What the kernel does for a process that ended: its slot is nobody's."""
    worker.page._words[_SLOTS_AT + worker.slot * _SLOT_WORDS + 1] = 1  # another process's start
    worker.close()


HOW = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)


@pytest.mark.timeout(300 + 3 * EXAMPLES)
def test_whatever_happens_in_whatever_order_what_is_answered_holds(
    say: Callable[[str], None],
) -> None:
    run_state_machine_as_test(Story, settings=HOW)
    say(f"{EXAMPLES} stories of up to {HOW.stateful_step_count} steps: all held")


def _goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that takes whatever the ledger's reader hands out, older or not."""
    monkeypatch.setattr(policy, "_follows", lambda key, held: key != held)
    read = LedgerHeads.news
    last: list[Any] = []

    def stale(self: LedgerHeads) -> list[Any]:
        last[:] = [*list(read(self)), *last][:2]
        return last[::-1][:1] if len(last) > 1 else last

    monkeypatch.setattr(LedgerHeads, "news", stale)


def _serves_other_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that keeps what it has loaded, whatever is assigned."""
    monkeypatch.setattr(Residents, "get", lambda self, _: next(iter(self._loaded.values()), None))


def _adopts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registrar that lets every click stand without an entry."""
    monkeypatch.setattr(Registrar, "_compare", lambda self, model: None)


@pytest.mark.parametrize("plant", [_goes_back, _serves_other_bytes, _adopts_nothing])
def test_the_story_sees_a_planted_fault(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    quick = settings(HOW, max_examples=150, phases=[Phase.generate])
    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(Story, settings=quick)


@pytest.mark.parametrize("role", [Role.SHADOW, Role.SPLIT])
def test_the_story_sees_a_deadline_that_nobody_keeps(
    role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: few stories end with something beside."""
    monkeypatch.setattr("registry.registrar.is_over", lambda entry, now_ms: False)
    story = Story()
    try:
        story.something_serves()
        story.put_beside(pick=0, role=role, is_short=True)
        with pytest.raises(AssertionError):
            story.everything_comes_to_rest()
    finally:
        story._close()
