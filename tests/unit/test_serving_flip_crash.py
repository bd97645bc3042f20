"""What a crash of the watcher between any two of its writes leaves, and who takes it up."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.ledger import Key
from serving.assignments import Assignment
from serving.page import Page, pack
from tests.servingfakes.versions import assignment
from tests.servingfakes.workers import FlippingNode

A1, B2, C3 = (assignment(digest, seq) for seq, digest in enumerate("ABC", start=1))


class Crash(Exception):
    """The watcher was killed here."""


class CrashingPage(Page):
    """A page that is never written again after a number of writes to it."""

    writes_left = 10**6

    def _count(self) -> None:
        if self.writes_left == 0:
            raise Crash
        self.writes_left -= 1

    def announce(self, index: int) -> int:
        self._count()
        return super().announce(index)

    def flip(self, index: int, key: Key) -> None:
        self._count()
        super().flip(index, key)


@pytest.mark.parametrize("aspired", [B2, assignment("A", 2)], ids=["other bytes", "the same bytes"])
@pytest.mark.parametrize("survive", [0, 1, 2, 3, None], ids="killed after write {}".format)
def test_a_crash_between_two_writes_never_goes_back_and_leaves_an_answer(
    tmp_path: Path, aspired: Assignment, survive: int | None
) -> None:
    """Writes to the page: announce, flip, announce. None: killed while the workers load."""
    node = FlippingNode(tmp_path)
    node.page.close()
    node.page = page = CrashingPage(tmp_path / "page")
    flipper = node.new_flipper(page)
    old = node.worker()
    for first in (assignment("Z", 1, epoch=0), A1):
        flipper.flip(first)
    if survive is None:
        node.at_look = _crash
        with pytest.raises(Crash):
            flipper.flip(aspired)
        node.at_look = lambda _: None
    else:
        page.writes_left = survive
        if survive < 3:
            with pytest.raises(Crash):
                flipper.flip(aspired)
        else:
            flipper.flip(aspired)
    seen = old.answers()
    assert seen == ((2, aspired.digest) if survive in (2, 3) else (1, "A"))
    assert node.worker().answers() == seen, "a worker born before the watcher is back"
    with Page(tmp_path / "page") as fresh:
        recovered = node.new_flipper(fresh)
        assert fresh.current(0) >= pack(Key(1, seen[0])), "a client saw something newer"
        everyone = [*node.workers, node.worker()]
        assert len({worker.answers() for worker in everyone}) == 1
        node.step()
        assert len({worker.answers() for worker in everyone}) == 1
        assert everyone[0].answers()[0] >= seen[0]
        recovered.flip(C3)
        assert {worker.answers() for worker in everyone} == {(3, "C")}


def _crash(_look: int) -> None:
    raise Crash
