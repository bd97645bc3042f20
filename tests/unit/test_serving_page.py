"""The page and the assignments file: what the processes of a node share."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.ledger import Key
from serving.assignments import Assignments, Held
from serving.page import SLOTS, Page, Slot, pack, process_started
from tests.servingfakes.versions import assignment

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with Page(tmp_path / "node" / "page") as made:
        yield made


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours that runs until it is ended."""
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


def test_a_new_page_serves_nothing_and_has_no_workers(page: Page) -> None:
    assert (page.generation, page.current(0), page.current(16_383)) == (0, 0, 0)
    assert page.live_slots() == []


def test_two_pages_on_one_file_see_each_other(page: Page, tmp_path: Path) -> None:
    with Page(tmp_path / "node" / "page") as other:
        page.announce(7)
        page.flip(3, Key(1, 9))
        page.beat(123)
        slot = other.claim(os.getpid())
        other.say_ready(slot, 6)
        other.say_failed(slot, 5)
        assert (other.generation, other.current(3), other.heartbeat_ms) == (7, pack(Key(1, 9)), 123)
        [seen] = page.live_slots()
        assert (seen.pid, seen.ready, seen.failed) == (os.getpid(), 6, 5)


def test_a_page_that_is_opened_again_keeps_what_it_says(page: Page, tmp_path: Path) -> None:
    page.flip(0, Key(2, 1))
    page.close()
    with Page(tmp_path / "node" / "page") as again:
        assert again.current(0) == pack(Key(2, 1))
    page.__init__(tmp_path / "node" / "page")  # type: ignore[misc] # for the fixture to close


def test_a_file_that_is_no_page_becomes_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "page"
    path.write_bytes(b"\xff" * 5000)
    with Page(path) as page:
        assert (page.generation, page.current(0), page.live_slots()) == (0, 0, [])


def test_packed_keys_order_as_keys_do_and_are_never_zero() -> None:
    keys = [Key(1, 1), Key(1, 2), Key(1, 2**40 - 1), Key(2, 1), Key(2, 5), Key(1000, 1)]
    packed = [pack(key) for key in keys]
    assert packed == sorted(set(packed))
    assert min(packed) > 0


def test_workers_take_different_slots_until_there_are_none(page: Page) -> None:
    taken = [page.claim(os.getpid()) for _ in range(SLOTS)]
    assert taken == list(range(SLOTS))
    with pytest.raises(RuntimeError, match="all 128 worker slots"):
        page.claim(os.getpid())


def test_a_worker_that_ended_is_not_live_and_its_slot_is_taken_again(
    page: Page, child: subprocess.Popen[bytes]
) -> None:
    slot = page.claim(child.pid)
    page.say_ready(slot, 9)
    page.say_failed(slot, 8)
    assert [one.pid for one in page.live_slots()] == [child.pid]
    child.kill()
    child.wait()
    assert page.live_slots() == []
    assert page.claim(os.getpid()) == slot
    assert [(one.ready, one.failed) for one in page.live_slots()] == [(0, 0)]


def test_a_worker_that_nobody_waited_for_is_not_live(
    page: Page, child: subprocess.Popen[bytes]
) -> None:
    """A zombie has a pid and answers nothing."""
    page.claim(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert page.live_slots() == []


def test_another_process_with_a_recycled_pid_is_not_the_worker() -> None:
    started = process_started(os.getpid())
    assert Slot(0, os.getpid(), started, 0, 0).alive
    assert not Slot(0, os.getpid(), started - 1, 0, 0).alive


def test_a_slot_claimed_for_a_process_that_is_gone_is_free(
    page: Page, child: subprocess.Popen[bytes]
) -> None:
    child.kill()
    child.wait()
    slot = page.claim(child.pid)
    assert page.live_slots() == []
    assert page.claim(os.getpid()) == slot


def test_workers_that_claim_at_the_same_moment_get_different_slots(tmp_path: Path) -> None:
    pages = [Page(tmp_path / "page") for _ in range(16)]
    slots: list[int] = []
    start = threading.Barrier(16)

    def claim(page: Page) -> None:
        start.wait()
        slots.append(page.claim(os.getpid()))

    threads = [threading.Thread(target=claim, args=(page,)) for page in pages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for page in pages:
        page.close()
    assert sorted(slots) == list(range(16))


def test_assignments_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "node" / "assignments.json"
    held = Held(
        index=1,
        current=assignment("B", 2),
        previous=assignment("A", 1),
        preparing=assignment("C", 3, epoch=2),
        refused="v9 refused: é",
    )
    written = Assignments(5, {"iris": held, "empty": Held(index=0)})
    written.write(path)
    assert Assignments.read(path) == written


def test_a_node_without_the_file_holds_nothing(tmp_path: Path) -> None:
    assert Assignments.read(tmp_path / "assignments.json") == Assignments(0, {})


def test_a_write_that_ends_half_way_leaves_the_old_assignments(tmp_path: Path) -> None:
    path = tmp_path / "assignments.json"
    before = Assignments(1, {"iris": Held(index=0, current=assignment("A", 1))})
    before.write(path)
    with pytest.raises(TypeError):
        Assignments(2, {"iris": Held(index=0, refused=object())}).write(path)  # type: ignore[arg-type]
    assert Assignments.read(path) == before


def test_a_reader_sees_one_generation_or_the_next_and_nothing_between(tmp_path: Path) -> None:
    path = tmp_path / "assignments.json"
    stop = threading.Event()
    wrong: list[Assignments] = []

    def read() -> None:
        while not stop.is_set():
            seen = Assignments.read(path)
            if seen.generation != len(seen.models):
                wrong.append(seen)

    reader = threading.Thread(target=read)
    reader.start()
    for generation in range(40):
        Assignments(generation, {str(n): Held(index=n) for n in range(generation)}).write(path)
    stop.set()
    reader.join()
    assert wrong == []
