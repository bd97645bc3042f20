"""What follows from what a model's answers show: a table of decisions, and who acts on them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.errors import Unreachable
from registry.job_bodies import TrainBody
from registry.jobs import Job, JobKind, JobState, Outcome, Progress
from registry.ledger import Door
from registry.policy import MetricRule, Policy, Promote, Retrain
from registry.projection import project
from registry.promotion import REJECTED_TAG
from registry.sql_jobs import SqlJobs
from registry.verdicts import About, Verdict, VerdictState
from registry.withdrawal import retire, rollback
from tests.fakes import World
from training.following.actor import ACTOR, Following, owner
from training.following.decision import Known, Promotion, Train, next_action

HOUR = 3_600_000
NOW = 1_000 * HOUR
ON_DRIFT = Policy(retrain=Retrain.ON_DRIFT, train={"workload": "iris"})
AUTO = Policy(retrain=Retrain.ON_DRIFT, promote=Promote.AUTO, train={"workload": "iris"})


def raised(**changes: Any) -> Verdict:
    """A rule about drift has raised its voice on the version that serves."""
    fields: dict[str, Any] = {
        "model": "iris",
        "version": 1,
        "rule": "psi",
        "state": VerdictState.RAISED,
        "window_end": 3_600.0,
    }
    return Verdict(**{**fields, **changes})


def job(state: JobState = JobState.FINISHED, *, hours_ago: float = 30, **outcome: Any) -> Job:
    """A training that followed."""
    made = {"model": "iris", "version": "2"} if state is JobState.FINISHED else {}
    return Job(
        id="a",
        kind=JobKind.TRAIN,
        owner=owner("iris"),
        request={},
        state=state,
        attempt=1,
        worker=None,
        cancelling=False,
        seen=Progress(),
        outcome=Outcome(state=state, **{**made, **outcome}),
        made_ms=round(NOW - hours_ago * HOUR),
        started_ms=None,
        ended_ms=None,
    )


def known(**changes: Any) -> Known:
    fields: dict[str, Any] = {
        "model": "iris",
        "serving": 1,
        "jobs": (),
        "done": frozenset(),
        "now_ms": NOW,
    }
    return Known(**{**fields, **changes})


def test_drift_leads_to_a_training_that_says_why() -> None:
    action = next_action(ON_DRIFT, [raised()], known())
    assert action == Train("iris", "drift: psi of v1, window to 3600")


@pytest.mark.parametrize(
    ("policy", "verdict", "there"),
    [
        (Policy(), raised(), known()),
        (ON_DRIFT, raised(state=VerdictState.UNKNOWN), known()),
        (ON_DRIFT, raised(state=VerdictState.FINE), known()),
        (ON_DRIFT, raised(version=2), known()),
        (ON_DRIFT, raised(model="petr4"), known()),
        (ON_DRIFT, raised(about=About.ACCURACY), known()),
        (ON_DRIFT, raised(), known(serving=None)),
        (ON_DRIFT, raised(), known(jobs=[job(JobState.RUNNING)])),
        (ON_DRIFT, raised(), known(jobs=[job(JobState.QUEUED)])),
        (ON_DRIFT, raised(), known(jobs=[job(hours_ago=5.9)])),
        (ON_DRIFT, raised(), known(jobs=[job(JobState.FAILED, hours_ago=5.9)])),
        (ON_DRIFT, raised(), known(jobs=[job(hours_ago=7), job(hours_ago=20)])),
    ],
    ids=[
        "by hand",
        "unknown",
        "fine",
        "another version",
        "another model",
        "accuracy",
        "retired",
        "one runs",
        "one waits",
        "too soon",
        "too soon after a failure",
        "enough for today",
    ],
)
def test_nothing_follows(policy: Policy, verdict: Verdict, there: Known) -> None:
    assert next_action(policy, [verdict], there) is None


@pytest.mark.parametrize("jobs", [[job(hours_ago=6.1)], [job(hours_ago=7), job(hours_ago=24.1)]])
def test_after_a_rest_it_is_trained_again(jobs: list[Job]) -> None:
    assert isinstance(next_action(ON_DRIFT, [raised()], known(jobs=jobs)), Train)


def test_accuracy_has_a_policy_of_its_own() -> None:
    policy = Policy(retrain=Retrain.ON_ACCURACY, train={"workload": "iris"})
    verdicts = [raised(), raised(about=About.ACCURACY, rule="accuracy")]
    assert next_action(policy, verdicts[:1], known()) is None
    action = next_action(policy, verdicts, known())
    assert action == Train("iris", "accuracy: accuracy of v1, window to 3600")


def test_a_schedule_has_one_cause_for_each_of_its_times() -> None:
    policy = Policy(retrain=Retrain.ON_SCHEDULE, every_hours=12, train={"workload": "iris"})
    actions = [next_action(policy, [], known(now_ms=NOW + hours * HOUR)) for hours in range(24)]
    assert all(isinstance(action, Train) for action in actions)
    assert len({action.id for action in actions if isinstance(action, Train)}) == 3


def test_whoever_decides_asks_for_the_same_job() -> None:
    verdicts = [raised(), raised(rule="one_class"), raised(window_end=60)]
    actions = [next_action(ON_DRIFT, some, known()) for some in (verdicts, verdicts[::-1])]
    assert actions[0] == actions[1]


def test_a_version_that_was_made_is_promoted_before_anything_else() -> None:
    there = known(jobs=[job(), job(hours_ago=60, version="9")])
    assert next_action(AUTO, [raised()], there) == Promotion("iris", 2, "a")


@pytest.mark.parametrize(
    "there",
    [
        known(jobs=[job()], done=frozenset({2})),
        known(jobs=[job()], serving=2),
        known(jobs=[job()], serving=3),
        known(jobs=[job()], serving=None),
        known(jobs=[job(JobState.FAILED)]),
        known(jobs=[job(JobState.CANCELLED), job()]),
        known(jobs=[job(model="lilies")]),
        known(jobs=[job(version=None)]),
        known(),
    ],
)
def test_nothing_is_promoted(there: Known) -> None:
    assert next_action(AUTO, [], there) is None


def test_promoting_is_left_to_people_unless_it_is_asked_for() -> None:
    assert next_action(ON_DRIFT, [], known(jobs=[job()])) is None


# Who acts.


class Followed:
    """A world with a queue, and an actor of its own each time one is asked for."""

    def __init__(self, root: Path) -> None:
        self.world = World(root / "world")
        clock = self.world.clock
        self.queue = SqlJobs(f"sqlite:///{root / 'jobs.db'}", now=lambda: clock.now_ms() / 1000)
        self.world.policies["iris"] = AUTO
        self.announced: list[int] = []

    def step(self, *verdicts: Verdict) -> None:
        actor = Following(
            self.world.ports,
            self.queue,
            announce=lambda entry: self.announced.append(entry.key.seq),
        )
        actor.step(verdicts)

    def jobs(self) -> list[Job]:
        return list(self.queue.newest(owner("iris"), most=10))

    def train(self, **bundle: Any) -> None:
        """A worker does the job that waits."""
        claim = self.queue.claim("worker", most_running=1)
        assert claim is not None
        assert TrainBody.of(claim.body).model == "iris"
        version = self.world.train(**bundle)
        outcome = Outcome(state=JobState.FINISHED, model="iris", version=str(version.version))
        assert self.queue.finish(claim.attempt, Progress(), outcome)

    def close(self) -> None:
        self.world.ledger.close()
        self.queue.close()


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    made = Followed(tmp_path)
    made.world.trained_and_served()
    yield made
    made.close()


def test_drift_is_followed_by_a_training_and_its_version_by_a_promotion(followed: Followed) -> None:
    followed.step(raised())
    followed.step(raised())
    assert [one.state for one in followed.jobs()] == [JobState.QUEUED]
    followed.train()
    followed.step(raised())
    head = followed.world.ledger.head("iris")
    assert head is not None
    assert (head.door, head.actor) == (Door.FOLLOWING, ACTOR)
    assert (followed.world.serving(), followed.announced) == (2, [2])
    project(followed.world.ports, "iris")
    followed.step(raised())
    assert len(followed.jobs()) == 1
    assert len(followed.world.ledger.history("iris")) == 2


def test_a_version_that_the_gates_refuse_is_judged_once(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    followed.step(raised())
    followed.train(content="broken")
    followed.step()
    followed.step()
    assert followed.world.serving() == 1
    assert caplog.text.count("is not promoted") == 1
    assert REJECTED_TAG in followed.world.tags(followed.world.client.version("iris", 2))


def test_the_gates_of_the_model_are_those_of_every_other_door(followed: Followed) -> None:
    picky = (MetricRule(gate="bound", metric="accuracy", min=0.99),)
    followed.world.policies["iris"] = Policy(
        retrain=Retrain.ON_DRIFT, promote=Promote.AUTO, train={"workload": "iris"}, rules=picky
    )
    followed.step(raised())
    followed.train()
    followed.step()
    assert followed.world.serving() == 1


def test_bytes_that_the_watch_went_back_from_are_promoted_by_no_machine(followed: Followed) -> None:
    world = followed.world
    bad = world.train(content="the same bytes")
    world.serve(bad)
    rollback(world.ports, "iris", actor="registrar", to=None, door=Door.WATCH)
    followed.step(raised())
    followed.train(content="the same bytes")
    followed.step()
    followed.step()
    assert world.serving() == 1
    third = world.client.version("iris", 3)
    assert "only a person promotes them" in world.tags(third)[REJECTED_TAG]
    world.serve(third)
    assert world.serving() == 3, "a person may"


def test_what_a_person_went_back_from_is_no_ban(followed: Followed) -> None:
    world = followed.world
    world.serve(world.train(content="the same bytes"))
    rollback(world.ports, "iris", actor="ada", to=None)
    followed.step(raised())
    followed.train(content="the same bytes")
    followed.step()
    assert world.serving() == 3


def test_one_that_was_killed_after_the_gates_is_followed_by_one_that_promotes(
    followed: Followed,
) -> None:
    followed.step(raised())
    followed.train()
    followed.world.client.after_next("tag", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        followed.step()
    assert followed.world.tags(followed.world.client.version("iris", 2))["baton.gates"] == "passed"
    followed.step()
    assert followed.world.serving() == 2


def test_a_retired_model_stays_retired(followed: Followed) -> None:
    followed.step(raised())
    followed.train()
    retire(followed.world.ports, "iris", actor="ada")
    followed.step(raised())
    assert followed.world.serving() is None


def test_a_model_that_cannot_be_asked_about_keeps_no_other_one_waiting(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world = followed.world
    world.trained_and_served("petr4")
    world.policies["petr4"] = ON_DRIFT
    followed.step(raised())
    followed.train()
    world.client.fail_next("version", Unreachable("MLflow is away"))
    followed.step(raised(model="petr4"))
    assert "iris: nothing follows yet: MLflow is away" in caplog.text
    assert len(followed.queue.newest(owner("petr4"), most=10)) == 1


def test_a_deleted_version_is_not_waited_for(followed: Followed) -> None:
    followed.step(raised())
    followed.train()
    followed.world.client.delete_version("iris", 2)
    followed.step()
    assert followed.world.serving() == 1
