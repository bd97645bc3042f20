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
from serving.page import LANES, SLOTS, Page, Slot, pack, process_started
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
    assert (page.announced, page.current(0), page.current(16_383)) == (0, 0, 0)
    assert page.live_slots() == []


def test_two_pages_on_one_file_see_each_other(page: Page, tmp_path: Path) -> None:
    with Page(tmp_path / "node" / "page") as other:
        assert [page.announce(index) for index in (3, 1, 3)] == [1, 2, 3]
        page.flip(3, Key(1, 9))
        page.beat(123)
        slot = other.claim(os.getpid())
        other.say_ready(slot, 3, 6)
        other.say_failed(slot, 3 + LANES, 5)
        assert (other.announced, other.current(3), other.heartbeat_ms) == (3, pack(Key(1, 9)), 123)
        assert other.changes() == [0, 2, 0, 3]
        [seen] = page.live_slots()
        assert (seen.pid, seen.ready[3], seen.failed[3]) == (os.getpid(), 6, 5)
        assert (sum(seen.ready), sum(seen.failed)) == (6, 5)


def test_what_a_worker_said_is_not_taken_back(page: Page) -> None:
    """An overtaken load may end after the one that overtook it."""
    slot = page.claim(os.getpid())
    page.say_ready(slot, 0, 12)
    page.say_ready(slot, 0, 10)
    assert page.live_slots()[0].ready[0] == 12


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
        assert (page.announced, page.current(0), page.live_slots()) == (0, 0, [])


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
    page.say_ready(slot, 0, 9)
    page.say_failed(slot, 0, 8)
    assert [one.pid for one in page.live_slots()] == [child.pid]
    child.kill()
    child.wait()
    assert page.live_slots() == []
    assert page.claim(os.getpid()) == slot
    assert [(sum(one.ready), sum(one.failed)) for one in page.live_slots()] == [(0, 0)]


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
    assert Slot(0, os.getpid(), started, (), ()).alive
    assert not Slot(0, os.getpid(), started - 1, (), ()).alive


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


def test_an_assignment_comes_back_as_it_was_written(tmp_path: Path) -> None:
    assignments = Assignments(tmp_path / "node" / "assignments")
    held = Held(
        index=1,
        current=assignment("B", 2),
        previous=assignment("A", 1),
        preparing=assignment("C", 3, epoch=2),
        refused="v9 refused: é",
        refused_key=Key(2, 3),
    )
    retired = Held(index=7, retired=Key(1, 4))
    for name, one in {"iris": held, "empty": Held(index=0), "gone/..": retired}.items():
        assignments.write(name, one)
    assert assignments.models() == {"iris": held, "empty": Held(index=0), "gone/..": retired}
    assert assignments.read(7) == ("gone/..", retired)
    assignments.remove(7)
    assert assignments.read(7) is None


def test_a_node_without_the_folder_holds_nothing(tmp_path: Path) -> None:
    assert Assignments(tmp_path / "assignments").models() == {}


def test_a_file_that_a_power_cut_left_empty_is_left_out_at_the_start(tmp_path: Path) -> None:
    assignments = Assignments(tmp_path)
    assignments.write("iris", Held(index=0, current=assignment("A", 1)))
    (tmp_path / "00001.json").write_bytes(b"")
    assert list(assignments.models()) == ["iris"]
    with pytest.raises(ValueError, match="Expecting value"):
        assignments.read(1)


def test_a_write_that_ends_half_way_leaves_the_old_assignment(tmp_path: Path) -> None:
    assignments = Assignments(tmp_path)
    before = Held(index=0, current=assignment("A", 1))
    assignments.write("iris", before)
    with pytest.raises(TypeError):
        assignments.write("iris", Held(index=0, refused=object()))  # type: ignore[arg-type]
    assert assignments.models() == {"iris": before}


def test_a_reader_sees_one_state_or_the_next_and_nothing_between(tmp_path: Path) -> None:
    assignments = Assignments(tmp_path)
    stop = threading.Event()
    wrong: list[Held] = []
    assignments.write("iris", Held(index=0, current=assignment("A", 1), refused="1"))

    def read() -> None:
        while not stop.is_set():
            found = assignments.read(0)
            assert found
            held = found[1]
            if not held.current or str(held.current.key.seq) != held.refused:
                wrong.append(held)

    reader = threading.Thread(target=read)
    reader.start()
    for seq in range(2, 60):
        held = Held(index=0, current=assignment("A", seq), refused=str(seq))
        assignments.write("iris", held)
    stop.set()
    reader.join()
    assert wrong == []
