"""The queue of jobs, on sqlite and on PostgreSQL: who may do what, also when many do it at once."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from registry import jobs_tables as tables
from registry.errors import KeyReused, SettingsError, TooManyRequests, Unreachable
from registry.jobs import (
    Attempt,
    Claim,
    JobKind,
    JobRequest,
    JobState,
    Outcome,
    Progress,
    Pulse,
    Standing,
)
from registry.sql_jobs import SqlJobs

Open = Callable[[], SqlJobs]
DONE = Outcome(state=JobState.FINISHED, result={"rmse": 0.5}, model="iris", version="3")
SEEN = Progress(
    step="fit", progress=0.4, run_id="r1", metrics={"mae": 1.5, "odd": None}, log=("one", "two")
)
MANY = 100


@pytest.fixture
def open_queue(url: str) -> Iterator[Open]:
    """Opens one more connection of a process's own to the same queue."""
    opened: list[SqlJobs] = []

    def open_one() -> SqlJobs:
        opened.append(SqlJobs(url, now=lambda: 1000.0))
        return opened[-1]

    yield open_one
    for queue in opened:
        queue.close()


@pytest.fixture
def queue(open_queue: Open) -> SqlJobs:
    return open_queue()


def asked(owner: str = "ada", idempotency: str | None = None, **body: Any) -> JobRequest:
    return JobRequest(
        id=str(uuid.uuid4()),
        kind=JobKind.TRAIN,
        owner=owner,
        body=body or {"workload": "iris"},
        idempotency=idempotency,
    )


def put(queue: SqlJobs, *, most_live: int = MANY, **request: Any) -> str:
    return queue.enqueue(asked(**request), most_live=most_live)[0].id


def claimed(queue: SqlJobs, worker: str = "w1", *, most_running: int = MANY) -> Claim:
    claim = queue.claim(worker, most_running=most_running)
    assert claim
    return claim


def state(queue: SqlJobs, job: str) -> JobState:
    found = queue.job(job)
    assert found
    return found.state


def pulse(queue: SqlJobs, job: str) -> Pulse:
    return queue.look().running[job]


def test_a_new_job_is_queued_and_shows_what_was_asked_for(queue: SqlJobs) -> None:
    request = asked(workload="petr4", holdout_days=30)
    job, is_new = queue.enqueue(request, most_live=1)
    assert (is_new, job.id, job.state, job.attempt) == (True, request.id, JobState.QUEUED, 0)
    assert job == queue.job(request.id)
    assert job.to_json()["request"] == {"workload": "petr4", "holdout_days": 30}
    assert (job.to_json()["created"], job.to_json()["ended"]) == (
        "1970-01-01T00:16:40.000+00:00",
        None,
    )
    assert queue.job(str(uuid.uuid4())) is None


def test_the_oldest_is_claimed_first_and_once(queue: SqlJobs) -> None:
    jobs = [put(queue) for _ in range(3)]
    claims = [claimed(queue, f"w{n}") for n in range(3)]
    assert [claim.attempt for claim in claims] == [
        Attempt(j, 1, f"w{n}") for n, j in enumerate(jobs)
    ]
    assert claims[0].body == {"workload": "iris"}
    assert queue.claim("w3", most_running=MANY) is None
    assert (queue.look().queued, len(queue.look().running)) == (0, 3)


def test_what_a_job_shows_while_it_runs_and_when_it_is_done(queue: SqlJobs) -> None:
    job = put(queue)
    claim = claimed(queue)
    assert queue.beat(claim.attempt, SEEN) is Standing.MINE
    found = queue.job(job)
    assert found
    assert (found.state, found.seen) == (JobState.RUNNING, SEEN)
    assert queue.finish(claim.attempt, replace(SEEN, progress=1.0), DONE)
    ended = queue.job(job)
    assert ended
    assert (ended.state, ended.outcome, ended.seen.progress) == (JobState.FINISHED, DONE, 1.0)
    assert ended.ended_ms == 1_000_000


def test_a_job_ends_once(queue: SqlJobs) -> None:
    job = put(queue)
    claim = claimed(queue)
    assert queue.finish(claim.attempt, SEEN, DONE)
    failed = Outcome(state=JobState.FAILED, reason="late")
    assert not queue.finish(claim.attempt, SEEN, failed)
    assert queue.beat(claim.attempt, SEEN) is Standing.LOST
    assert not queue.give_back(claim.attempt)
    assert queue.cancel(job) is None
    assert state(queue, job) is JobState.FINISHED


def test_a_number_that_is_none_is_not_kept(queue: SqlJobs) -> None:
    put(queue)
    claim = claimed(queue)
    with pytest.raises(ValueError, match="JSON"):
        queue.beat(claim.attempt, replace(SEEN, metrics={"mae": math.nan}))


def test_the_same_idempotency_key_is_the_same_job(queue: SqlJobs) -> None:
    first = put(queue, idempotency="k", most_live=1)
    again, is_new = queue.enqueue(asked(idempotency="k"), most_live=1)
    assert (again.id, is_new) == (first, False), "and is not refused for being one too many"
    with pytest.raises(KeyReused, match=first):
        put(queue, idempotency="k", workload="petr4")
    assert put(queue, owner="bob", idempotency="k") != first, "another owner's key is another"


def test_a_key_has_so_many_live_jobs_at_most(queue: SqlJobs) -> None:
    put(queue, most_live=2)
    claim = claimed(queue)
    put(queue, most_live=2)
    with pytest.raises(TooManyRequests, match="2 jobs of this key") as refused:
        put(queue, most_live=2)
    assert refused.value.seconds > 0
    put(queue, owner="bob", most_live=2)
    queue.finish(claim.attempt, SEEN, DONE)
    put(queue, most_live=2)


def test_of_a_key_so_many_run_at_once_and_others_go_first(queue: SqlJobs) -> None:
    put(queue)
    second, bobs = put(queue), put(queue, owner="bob")
    first = claimed(queue, most_running=1)
    assert claimed(queue, most_running=1).attempt.job == bobs
    assert queue.claim("w", most_running=1) is None
    queue.finish(first.attempt, SEEN, DONE)
    assert claimed(queue, most_running=1).attempt.job == second


def test_a_queued_job_is_cancelled_at_once(queue: SqlJobs) -> None:
    job = put(queue)
    ended = queue.cancel(job)
    assert ended
    assert (ended.state, ended.ended_ms) == (JobState.CANCELLED, 1_000_000)
    assert queue.claim("w", most_running=1) is None
    assert queue.cancel(job) is None


def test_a_running_job_is_cancelled_by_its_worker(queue: SqlJobs) -> None:
    job = put(queue)
    claim = claimed(queue)
    told = queue.cancel(job)
    assert told
    assert (told.state, told.to_json()["cancelling"]) == (JobState.RUNNING, True)
    assert queue.beat(claim.attempt, SEEN) is Standing.CANCELLED
    assert queue.finish(claim.attempt, SEEN, Outcome(state=JobState.CANCELLED))
    ended = queue.job(job)
    assert ended
    assert (ended.state, ended.to_json()["cancelling"]) == (JobState.CANCELLED, False)


def test_a_job_given_back_is_next_and_has_lost_nothing(queue: SqlJobs) -> None:
    first, second = put(queue), put(queue)
    for number in (1, 2, 3):
        claim = claimed(queue)
        assert claim.attempt == Attempt(first, number, "w1")
        assert queue.give_back(claim.attempt)
    assert state(queue, first) is JobState.QUEUED
    again = claimed(queue)
    assert queue.take_from_silent(first, pulse(queue, first)), "its first loss"
    assert state(queue, first) is JobState.QUEUED
    assert again.attempt.number == 4
    assert second != first


def test_a_job_given_back_after_it_was_cancelled_is_over(queue: SqlJobs) -> None:
    job = put(queue)
    claim = claimed(queue)
    queue.cancel(job)
    assert queue.give_back(claim.attempt)
    assert state(queue, job) is JobState.CANCELLED


def test_a_silent_job_is_queued_once_and_then_failed(queue: SqlJobs) -> None:
    job = put(queue)
    claim = claimed(queue, "w1")
    queue.beat(claim.attempt, SEEN)
    again = queue.take_from_silent(job, pulse(queue, job))
    assert again
    assert (again.state, again.ended_ms) == (JobState.QUEUED, None)
    second = claimed(queue, "w2")
    assert second.attempt == Attempt(job, 2, "w2")
    queue.beat(second.attempt, SEEN)
    failed = queue.take_from_silent(job, pulse(queue, job))
    assert failed
    assert failed.state is JobState.FAILED
    assert failed.outcome.reason == "worker w2 died or fell silent in attempt 2, step fit"
    assert failed.ended_ms == 1_000_000
    assert queue.take_from_silent(job, Pulse(2, 99)) is None


def test_a_silent_job_that_was_to_be_cancelled_is(queue: SqlJobs) -> None:
    job = put(queue)
    claimed(queue)
    queue.cancel(job)
    ended = queue.take_from_silent(job, pulse(queue, job))
    assert ended
    assert ended.state is JobState.CANCELLED


def test_a_job_that_was_heard_of_meanwhile_is_not_taken(queue: SqlJobs) -> None:
    job = put(queue)
    claim = claimed(queue)
    before = pulse(queue, job)
    queue.beat(claim.attempt, SEEN)
    assert queue.take_from_silent(job, before) is None
    assert queue.beat(claim.attempt, SEEN) is Standing.MINE


def stale_attempt(queue: SqlJobs) -> None:
    """A worker that was taken for dead comes back while another one does its job."""
    job = put(queue)
    stopped = claimed(queue, "w1").attempt
    assert queue.take_from_silent(job, pulse(queue, job))
    going_on = claimed(queue, "w2").attempt
    assert queue.beat(stopped, SEEN) is Standing.LOST
    assert not queue.give_back(stopped)
    assert not queue.finish(stopped, SEEN, DONE)
    assert queue.beat(going_on, SEEN) is Standing.MINE
    assert queue.finish(going_on, SEEN, DONE)


def test_an_attempt_that_another_one_followed_has_no_say(queue: SqlJobs) -> None:
    stale_attempt(queue)


class Careless(SqlJobs):
    """The planted fault: whoever knows a job's id may say something about it."""

    def _is_of(self, attempt: Attempt) -> sa.ColumnElement[bool]:
        return sa.and_(tables.jobs.c.id == attempt.job, tables.is_live)


def test_a_queue_that_does_not_look_at_the_attempt_fails_that_test(url: str) -> None:
    with closing(Careless(url)) as queue, pytest.raises(AssertionError):
        stale_attempt(queue)


def test_the_newest_come_first_and_to_their_owner(queue: SqlJobs) -> None:
    jobs = [put(queue, owner=owner) for owner in ("ada", "bob", "ada")]
    assert [job.id for job in queue.newest("ada", most=9)] == [jobs[2], jobs[0]]
    assert [job.id for job in queue.newest(None, most=2)] == [jobs[2], jobs[1]]
    assert queue.newest("eve", most=9) == []


def race(open_queue: Open, *, jobs: int, workers: int, most_running: int) -> tuple[Counter, int]:
    """Claim all there is, from many connections at once; how often each, and how far over."""
    owners = ("ada", "bob", "eve")
    with closing(open_queue()) as queue:
        for number in range(jobs):
            put(queue, owner=owners[number % 3])
    taken: Counter[str] = Counter()

    def work(number: int) -> int:
        queue, over = open_queue(), 0
        while queue.look().queued:
            claim = queue.claim(f"w{number}", most_running=most_running)
            if claim is None:
                continue
            running = Counter(job.owner for job in queue.newest(None, most=jobs) if _runs(job))
            over += max(running.values(), default=0) > most_running
            taken[claim.attempt.job] += 1
            assert queue.finish(claim.attempt, SEEN, DONE)
        return over

    with ThreadPoolExecutor(workers) as pool:
        over = sum(pool.map(work, range(workers)))
    return taken, over


def _runs(job: Any) -> bool:
    return bool(job.state is JobState.RUNNING)


@pytest.mark.timeout(120)
def test_racing_workers_claim_each_job_once_and_within_the_limit(open_queue: Open) -> None:
    taken, over = race(open_queue, jobs=36, workers=5, most_running=1)
    assert (len(taken), set(taken.values()), over) == (36, {1}, 0)


def over_the_limit(open_queue: Open) -> int:
    """How many jobs a key has that may have two, after eight were asked for at once."""

    def ask(_number: int) -> None:
        try:
            put(open_queue(), most_live=2)
        except TooManyRequests:
            return

    queue = open_queue()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    return len(queue.newest("ada", most=MANY))


def test_racing_requests_pass_no_limit(open_queue: Open) -> None:
    assert over_the_limit(open_queue) == 2


def test_racing_requests_with_one_idempotency_key_are_one_job(open_queue: Open) -> None:
    open_queue()
    with ThreadPoolExecutor(6) as pool:
        jobs = list(pool.map(lambda _: put(open_queue(), idempotency="k"), range(6)))
    assert len(set(jobs)) == 1


def test_only_one_of_many_takes_a_silent_job(open_queue: Open) -> None:
    queue = open_queue()
    job = put(queue)
    claimed(queue)
    before = pulse(queue, job)
    with ThreadPoolExecutor(5) as pool:
        taken = list(pool.map(lambda _: open_queue().take_from_silent(job, before), range(5)))
    assert sum(one is not None for one in taken) == 1
    assert state(queue, job) is JobState.QUEUED


def test_processes_that_open_a_new_queue_at_once_make_one(open_queue: Open) -> None:
    with ThreadPoolExecutor(4) as pool:
        queues = list(pool.map(lambda _: open_queue(), range(4)))
    job = put(queues[0])
    assert all(state(queue, job) is JobState.QUEUED for queue in queues)


def test_a_queue_of_a_newer_baton_is_refused(queue: SqlJobs, url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.update(tables.schema).values(version=99, compatible_since=98))
    engine.dispose()
    with pytest.raises(SettingsError, match="schema 99.*upgrade Baton"):
        SqlJobs(url)


def test_a_database_that_does_not_answer_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="BATON_JOBS_URL"):
        SqlJobs("postgresql+psycopg2://baton@127.0.0.1:1/jobs")


def test_it_may_share_the_ledgers_database(url: str, open_ledger: Any, open_queue: Open) -> None:
    ledger, queue = open_ledger(), open_queue()
    assert put(queue)
    assert ledger.heads() == []
