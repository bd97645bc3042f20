"""A worker, on a real queue, with a process and a clock that the test moves."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from registry.errors import Unreachable
from registry.jobs import Claim, Job, JobKind, JobRequest, JobState, Outcome, Progress, Standing
from registry.sql_jobs import SqlJobs
from training.jobs.worker import Closings, Worker

FINISHED = Outcome(state=JobState.FINISHED, model="iris", version="1")


class Body:
    """A job's process, of which the test says what it does."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.seen = Progress(step="fit", progress=0.4, run_id="r1")
        self.told: Outcome | None = None
        self.asks = False
        self.exit_code: int | None = None
        self.may_register = False
        self.said: list[str] = []
        self.ends_when_asked = True

    def listen(self, seconds: float) -> None:
        self.said.append("listen")

    def go(self) -> None:
        self.asks, self.may_register = False, True

    def end(self, now: float) -> None:
        self.said.append("end")
        if self.ends_when_asked and self.exit_code is None:
            self.exit_code = 130

    def insist(self, now: float) -> None:
        if "end" in self.said and self.exit_code is None and now > 5:
            self.exit_code = -9

    def close(self) -> None:
        self.said.append("close")

    def finishes(self) -> None:
        self.told, self.exit_code = FINISHED, 0


class Marks(Closings):
    """Runs that were to be marked."""

    def __init__(self) -> None:
        super().__init__()
        self.marked: list[tuple[str, str]] = []

    def close(self, run_id: str, status: str) -> None:
        self.marked.append((run_id, status))


class Flaky(SqlJobs):
    """A queue that can be away."""

    is_away = False

    def beat(self, attempt, seen) -> Standing:
        self._reach()
        return super().beat(attempt, seen)

    def look(self):
        self._reach()
        return super().look()

    def finish(self, attempt, seen, outcome) -> bool:
        self._reach()
        return super().finish(attempt, seen, outcome)

    def give_back(self, attempt) -> bool:
        self._reach()
        return super().give_back(attempt)

    def _reach(self) -> None:
        if self.is_away:
            raise Unreachable("queue of jobs: away")


@dataclass
class Shop:
    """A queue and workers at it, at one moment after the other."""

    queue: Flaky
    now: float = 0.0
    bodies: list[Body] = field(default_factory=list)
    marks: Marks = field(default_factory=Marks)

    def worker(self, start: Callable[[Claim], Body] | None = None) -> Worker:
        return Worker(
            self.queue,
            most_running=2,
            start=start or self._start,
            closings=self.marks,
            monotonic=lambda: self.now,
        )

    def ask(self, owner: str = "") -> str:
        request = JobRequest(
            id=str(uuid.uuid4()), kind=JobKind.TRAIN, owner=owner, body={"workload": "iris"}
        )
        return self.queue.enqueue(request, most_live=99)[0].id

    def pass_by(self, seconds: float, *workers: Worker) -> None:
        """Let time pass, in which these workers are alive."""
        for _ in range(int(seconds * 4)):
            self.now += 0.25
            for worker in workers:
                worker.turn()

    def job(self, job: str) -> Job:
        found = self.queue.job(job)
        assert found
        return found

    def _start(self, claim: Claim) -> Body:
        self.bodies.append(Body(claim))
        return self.bodies[-1]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    queue = Flaky(f"sqlite:///{tmp_path / 'jobs.db'}")
    yield Shop(queue)
    queue.close()


def test_a_job_is_taken_up_shown_and_finished(shop: Shop) -> None:
    job, worker = shop.ask(), shop.worker()
    shop.pass_by(1, worker)
    [body] = shop.bodies
    assert shop.job(job).state is JobState.RUNNING
    body.seen = Progress(step="evaluate", progress=0.6, log=("iris: evaluate",))
    shop.pass_by(1.5, worker)
    assert shop.job(job).seen == body.seen
    body.finishes()
    shop.pass_by(0.5, worker)
    assert shop.job(job).outcome == FINISHED
    assert (body.said[-1], shop.marks.marked) == ("close", [])


def test_one_job_at_a_time(shop: Shop) -> None:
    shop.ask(), shop.ask()
    worker = shop.worker()
    shop.pass_by(3, worker)
    assert len(shop.bodies) == 1
    shop.bodies[0].finishes()
    shop.pass_by(1, worker)
    assert len(shop.bodies) == 2


def test_it_may_register_after_a_beat_that_says_it_is_still_its_own(shop: Shop) -> None:
    shop.ask()
    worker = shop.worker()
    shop.pass_by(1, worker)
    [body] = shop.bodies
    body.asks = True
    shop.queue.is_away = True
    shop.pass_by(5, worker)
    assert not body.may_register, "nobody could say so"
    shop.queue.is_away = False
    shop.pass_by(2, worker)
    assert body.may_register


def test_an_attempt_that_was_taken_over_may_not_register_and_ends(shop: Shop) -> None:
    job = shop.ask()
    stopped, other = shop.worker(), shop.worker()
    shop.pass_by(1, stopped)
    shop.pass_by(12, other)
    first, second = shop.bodies
    assert shop.job(job).attempt == 2
    first.asks = True
    shop.pass_by(2, stopped, other)
    assert (first.may_register, first.exit_code) == (False, 130)
    second.asks = True
    shop.pass_by(2, stopped, other)
    assert second.may_register
    second.finishes()
    shop.pass_by(1, stopped, other)
    assert (shop.job(job).state, shop.job(job).attempt) == (JobState.FINISHED, 2)


def test_a_cancelled_job_is_ended(shop: Shop) -> None:
    job, worker = shop.ask(), shop.worker()
    shop.pass_by(1, worker)
    shop.queue.cancel(job)
    shop.pass_by(2, worker)
    assert shop.job(job).state is JobState.CANCELLED
    assert shop.marks.marked == [], "it marked its run itself"


def test_the_run_of_a_process_that_had_to_be_killed_is_marked(shop: Shop) -> None:
    job, worker = shop.ask(), shop.worker()
    shop.pass_by(1, worker)
    shop.bodies[0].ends_when_asked = False
    shop.queue.cancel(job)
    shop.pass_by(8, worker)
    assert shop.job(job).state is JobState.CANCELLED
    assert shop.marks.marked == [("r1", "KILLED")]


def test_a_cancel_that_comes_too_late_leaves_it_finished(shop: Shop) -> None:
    job, worker = shop.ask(), shop.worker()
    shop.pass_by(1, worker)
    shop.queue.cancel(job)
    shop.bodies[0].finishes()
    shop.pass_by(2, worker)
    assert shop.job(job).state is JobState.FINISHED


@pytest.mark.parametrize(
    ("code", "reason"),
    [(-9, "was ended by SIGKILL, step fit"), (3, "ended with code 3, step fit")],
)
def test_a_process_that_dies_by_itself_fails_the_job(shop: Shop, code: int, reason: str) -> None:
    job, worker = shop.ask(), shop.worker()
    shop.pass_by(1, worker)
    shop.bodies[0].exit_code = code
    shop.pass_by(1, worker)
    assert (shop.job(job).state, shop.job(job).attempt) == (JobState.FAILED, 1)
    assert shop.job(job).outcome.reason == f"its process {reason}"
    assert shop.marks.marked == ([("r1", "FAILED")] if code < 0 else [])


def test_what_the_process_says_of_its_failure_is_the_reason(shop: Shop) -> None:
    job, worker = shop.ask(), shop.worker()
    shop.pass_by(1, worker)
    told = Outcome(state=JobState.FAILED, reason="UnknownName: unknown workload 'irs'")
    shop.bodies[0].told, shop.bodies[0].exit_code = told, 1
    shop.pass_by(1, worker)
    assert shop.job(job).outcome == told


def test_a_process_that_cannot_be_started_fails_the_job(shop: Shop) -> None:
    def start(_claim: Claim) -> Body:
        raise OSError("no memory")

    job, worker = shop.ask(), shop.worker(start)
    shop.pass_by(1, worker)
    assert shop.job(job).outcome.reason == "its process could not be started: no memory"


def test_a_dead_workers_job_is_taken_up_once_more_and_then_failed(shop: Shop) -> None:
    job = shop.ask()
    shop.pass_by(2.5, shop.worker())
    first_lives_until = shop.now
    second, third = shop.worker(), shop.worker()
    shop.pass_by(9, second, third)
    assert shop.job(job).state is JobState.RUNNING
    shop.pass_by(3, second, third)
    assert (len(shop.bodies), shop.job(job).attempt) == (2, 2)
    assert shop.now - first_lives_until == 12
    watcher = shop.worker()
    shop.pass_by(12, watcher)
    assert shop.job(job).state is JobState.FAILED
    assert "attempt 2, step" in (shop.job(job).outcome.reason or "")
    assert shop.marks.marked == [("r1", "KILLED"), ("r1", "FAILED")]


def test_a_database_that_was_away_makes_nobody_look_dead(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    job = shop.ask()
    working, idle = shop.worker(), shop.worker()
    shop.pass_by(1, working, idle)
    shop.queue.is_away = True
    shop.pass_by(60, working, idle)
    shop.queue.is_away = False
    shop.pass_by(5, idle, working)
    assert caplog.text.count("trying again") == 2, "each said so once"
    assert (shop.job(job).state, shop.job(job).attempt) == (JobState.RUNNING, 1)


def test_an_end_that_could_not_be_told_is_told_later(shop: Shop) -> None:
    job, worker = shop.ask(), shop.worker()
    shop.pass_by(1, worker)
    shop.queue.is_away = True
    shop.bodies[0].finishes()
    shop.pass_by(5, worker)
    shop.queue.is_away = False
    shop.pass_by(1, worker)
    assert shop.job(job).state is JobState.FINISHED


class Soon(threading.Event):
    """Set after a few looks."""

    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self._shop, self._looks = shop, 0

    def is_set(self) -> bool:
        self._looks += 1
        self._shop.now += 0.25
        return self._looks > 8

    def wait(self, timeout: float | None = None) -> bool:
        return False


def test_a_worker_that_is_told_to_stop_gives_its_job_back(shop: Shop) -> None:
    job, worker = shop.ask(), shop.worker()
    worker.run(Soon(shop))
    assert shop.bodies[0].exit_code == 130
    assert shop.job(job).state is JobState.QUEUED
    shop.pass_by(1, shop.worker())
    assert shop.job(job).attempt == 2
    shop.pass_by(12, shop.worker())
    assert shop.job(job).attempt == 3, "it had lost none before"


def test_a_worker_that_cannot_give_back_stops_all_the_same(shop: Shop) -> None:
    job, worker = shop.ask(), shop.worker()
    shop.pass_by(1, worker)
    shop.queue.is_away = True
    worker.run(Soon(shop))
    assert shop.job(job).state is JobState.RUNNING
