"""A run that stops somewhere, however it stops, is gone on with: one run, one version, FINISHED."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.errors import BatonError, DataInvalid, StepFailed, UnknownName, UsageError
from registry.settings import Settings
from tests.contract.mlflow_store import embedded
from tests.contract.trainer import Trainer, iris, kill, tripping, wait
from tests.missing import ServiceMissing
from tests.servingfakes.disks import Disk, small_disk
from training.job import Job
from training.pipeline import begin, finished, planned, resume, run, take
from training.steps import STEPS
from training.tracking import Tracking
from training.trained import Trained
from training.workload import Workload
from training.workspace import Workspace

FAULTS: dict[str, BaseException] = {
    "load": ConnectionError("no internet"),
    "validate": ZeroDivisionError("a bug"),
    "split": OSError(28, "No space left on device"),
    "fit": MemoryError("too large"),
    "evaluate": KeyboardInterrupt("a person"),
    "package": DataInvalid("what a step says itself"),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An empty registry."""
    return embedded(tmp_path / "var")


def only_run(settings: Settings) -> Any:
    """The one run of the one experiment that is not MLflow's own."""
    client = Tracking(settings).client
    [only] = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return only


def versions(settings: Settings) -> list[tuple[int, str]]:
    """Number and run of every version, and no logged model without one."""
    client = Tracking(settings).client
    found = client.search_model_versions()
    experiments = [e.experiment_id for e in client.search_experiments()]
    logged = {f"models:/{m.model_id}" for m in client.search_logged_models(experiments)}
    assert logged == {version.source for version in found}
    return sorted((int(version.version), version.run_id) for version in found)


def assert_whole(settings: Settings, trained: Trained) -> None:
    """One run with all that it should have, one version, nothing left lying about."""
    made = only_run(settings)
    assert (made.info.run_id, made.info.status) == (trained.run_id, "FINISHED")
    assert versions(settings) == [(1, trained.run_id)]
    assert trained.version == 1
    assert made.data.params["n_estimators"] == "5"
    assert made.data.metrics.items() >= trained.metrics.items()
    tags = made.data.tags
    assert not tags.keys() & {"baton.failed_step", "baton.error"}
    assert tags["model_version"] == "1"
    assert len(made.inputs.dataset_inputs) == 1
    shown = Path(made.info.artifact_uri.removeprefix("file://"))
    on_disk = {str(path.relative_to(shown)) for path in shown.rglob("*") if path.is_file()}
    assert on_disk == set(trained.artifacts)
    assert list((settings.home / "runs").iterdir()) == []
    assert (settings.home / "last_trained.json").is_file()


def once(error: BaseException) -> Callable[[], None]:
    """Raise it once."""
    left = [error]

    def trip() -> None:
        if left:
            raise left.pop()

    return trip


@pytest.mark.parametrize(("step", "error"), FAULTS.items(), ids=[*FAULTS])
def test_a_run_goes_on_from_the_step_that_failed(
    step: str, error: BaseException, settings: Settings
) -> None:
    """In the middle of it; what was done before is not done again."""
    steps = {**STEPS, step: tripping(STEPS[step], once(error))}
    with pytest.raises((BatonError, KeyboardInterrupt), match=re.escape(str(error))) as raised:
        run(iris(settings), settings, steps=steps)
    broken = only_run(settings)
    assert broken.info.status == ("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
    assert broken.data.tags["baton.failed_step"] == step
    assert versions(settings) == []
    assert f"python -m training resume {broken.info.run_id}" in raised.value.__notes__[-1]
    done: list[str] = []
    trained = resume(broken.info.run_id, settings, on_step=done.append)
    assert done == [*STEPS][[*STEPS].index(step) :]
    assert_whole(settings, trained)


def test_steps_one_by_one_make_one_whole_run(settings: Settings) -> None:
    """As an orchestrator does them, a process each: nothing is kept but what is on disk."""
    run_id = begin(iris(settings), settings, tags={"asked.by": "a test"})
    for step in [*STEPS][:-1]:
        assert take(step, run_id, settings) is None
        assert only_run(settings).info.status == "RUNNING"
    trained = take("register", run_id, settings)
    assert trained is not None
    assert_whole(settings, trained)
    assert only_run(settings).data.tags["asked.by"] == "a test"
    assert finished(run_id, settings)


def test_a_run_that_other_code_goes_on_with_says_so(settings: Settings) -> None:
    """Its commit is then not all that made it."""
    run_id = begin(iris(settings), settings)
    for tag, value in (("git_commit", "c0ffee"), ("git_dirty", "false")):
        Tracking(settings).client.set_tag(run_id, tag, value)
    take("load", run_id, settings)
    tags = only_run(settings).data.tags
    assert (tags["git_commit"], tags["git_dirty"]) == ("c0ffee", "true")


def test_a_step_whose_turn_has_not_come_says_which_is_missing(settings: Settings) -> None:
    """And the run is none the worse for it."""
    run_id = begin(iris(settings), settings)
    take("load", run_id, settings)
    with pytest.raises(UsageError, match="fit: .* not been through validate, split; .*validate"):
        take("fit", run_id, settings)
    assert only_run(settings).info.status == "RUNNING"
    with pytest.raises(UsageError, match="step no_such: the run is made of load, validate"):
        take("no_such", run_id, settings)


def test_a_step_that_failed_alone_marks_the_run_and_may_be_done_again(settings: Settings) -> None:
    """And so may one that had been done before; what follows it has to be done again too."""

    def broken(workload: Workload, job: Job) -> None:
        raise ZeroDivisionError("oh")

    run_id = begin(iris(settings), settings)
    take("load", run_id, settings)
    with pytest.raises(StepFailed, match="step validate: ZeroDivisionError: oh"):
        take("validate", run_id, settings, steps={**STEPS, "validate": broken})
    failed = only_run(settings)
    assert (failed.info.status, failed.data.tags["baton.failed_step"]) == ("FAILED", "validate")
    for step in ("validate", "split", "fit", "split"):
        assert take(step, run_id, settings) is None
    with pytest.raises(UsageError, match="not been through fit"):
        take("evaluate", run_id, settings)
    assert_whole(settings, resume(run_id, settings))


def test_what_cannot_be_gone_on_with_says_why(settings: Settings, tmp_path: Path) -> None:
    """A finished run, one of another machine, none at all, and what is no id."""
    trained = run(iris(settings), settings)
    with pytest.raises(UsageError, match=f"run {trained.run_id}: FINISHED; nothing is left"):
        resume(trained.run_id, settings)
    elsewhere = begin(iris(settings), settings)
    Workspace.of(settings, elsewhere).remove()
    with pytest.raises(UsageError, match=r"RUNNING, and its workspace is not in .*runs"):
        planned(elsewhere, settings)
    with pytest.raises(UnknownName, match="unknown run"):
        resume("0" * 32, settings)
    with pytest.raises(UsageError, match="expected a run's id"):
        resume("../last_trained.json", settings)


def test_only_one_process_works_on_a_run(settings: Settings) -> None:
    """The other is told; when the first is gone, however it went, the run is free."""
    trainer = Trainer(settings, "fit", wait)
    trainer.reaches()
    run_id = only_run(settings).info.run_id
    with pytest.raises(UsageError, match="another process works on it"):
        resume(run_id, settings)
    with pytest.raises(UsageError, match="another process works on it"):
        take("fit", run_id, settings)
    assert only_run(settings).info.status == "RUNNING"
    trainer.signal(signal.SIGKILL)
    assert trainer.ends() == -signal.SIGKILL
    assert_whole(settings, resume(run_id, settings))


@pytest.mark.parametrize("step", STEPS)
def test_a_run_whose_process_was_killed_goes_on_and_registers_once(
    step: str, settings: Settings
) -> None:
    """In the middle of a step; in `register`, after the version was made and before it was said."""
    trainer = Trainer(settings, step, kill)
    assert trainer.ends() == -signal.SIGKILL
    killed = only_run(settings)
    assert killed.info.status == "RUNNING"
    assert versions(settings) == ([(1, killed.info.run_id)] if step == "register" else [])
    assert_whole(settings, resume(killed.info.run_id, settings))


@pytest.mark.parametrize("step", STEPS)
def test_a_training_that_is_cancelled_is_killed_and_registers_nothing(
    step: str, settings: Settings
) -> None:
    """By Ctrl-C or by SIGTERM. Once the version is made it is too late: the run is FINISHED."""
    trainer = Trainer(settings, step, wait)
    trainer.reaches()
    trainer.signal(signal.SIGINT if [*STEPS].index(step) % 2 else signal.SIGTERM)
    assert trainer.ends() == 1
    cancelled = only_run(settings)
    if step == "register":
        assert cancelled.info.status == "FINISHED"
        assert_whole(settings, resume(cancelled.info.run_id, settings))
    else:
        assert cancelled.info.status == "KILLED"
        assert cancelled.data.tags["baton.failed_step"] == step
        assert versions(settings) == []


def test_two_trainings_of_one_model_at_once_make_two_versions(settings: Settings) -> None:
    """In workspaces of their own; both come to `register` at the same moment."""
    both = [Trainer(settings, "package", wait) for _ in range(2)]
    for trainer in both:
        trainer.reaches()
    assert len([*(settings.home / "runs").iterdir()]) == 2
    for trainer in both:
        trainer.go_on()  # it trips twice: after its first word, and at its end
    for trainer in both:
        trainer.reaches()
    for trainer in both:
        trainer.go_on()
    assert [trainer.ends() for trainer in both] == [0, 0]
    made = versions(settings)
    assert [number for number, _ in made] == [1, 2]
    assert len({run_id for _, run_id in made}) == 2
    client = Tracking(settings).client
    for number, run_id in made:
        done = client.get_run(run_id)
        assert (done.info.status, done.data.tags["model_version"]) == ("FINISHED", str(number))
    assert list((settings.home / "runs").iterdir()) == []


@pytest.fixture
def disk(settings: Settings) -> Iterator[Disk]:
    """The registry's artifacts on a small disk of their own."""
    try:
        with small_disk(settings.artifacts_dir, kilobytes=4096) as made:
            yield made
    except ServiceMissing as missing:
        missing.skip_or_fail()


@pytest.mark.parametrize("step", ["evaluate", "register"])
def test_a_disk_that_is_full_while_logging_fails_the_step_and_leaves_nothing_half(
    step: str, settings: Settings, disk: Disk
) -> None:
    """With room again, the run goes on."""

    def full(workload: Workload, job: Job) -> None:
        disk.fill(leaving=4096)
        STEPS[step](workload, job)

    with pytest.raises(StepFailed, match="No space left on device"):
        run(iris(settings), settings, steps={**STEPS, step: full})
    failed = only_run(settings)
    assert (failed.info.status, failed.data.tags["baton.failed_step"]) == ("FAILED", step)
    assert versions(settings) == []
    disk.empty()
    assert_whole(settings, resume(failed.info.run_id, settings))


def test_a_disk_that_is_full_from_the_start_fails_the_run(settings: Settings, disk: Disk) -> None:
    """What the run is described with cannot be logged; it is, once there is room."""
    disk.fill()
    with pytest.raises(StepFailed, match="No space left on device"):
        begin(iris(settings), settings)
    failed = only_run(settings)
    assert (failed.info.status, failed.data.tags["baton.failed_step"]) == ("FAILED", "begin")
    disk.empty()
    assert_whole(settings, resume(failed.info.run_id, settings))
