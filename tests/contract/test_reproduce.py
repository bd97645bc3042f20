"""A run made again gives the same numbers, bit for bit, or says what differs."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.errors import UsageError
from registry.settings import Settings
from tests.contract.mlflow_store import embedded
from tests.contract.trainings import Setting
from tests.contract.typed import typed
from training.job import Plan
from training.pipeline import begin, resume, run
from training.record import Record
from training.reproduction import compare, reproduce
from training.tracking import Tracking
from training.workload import About
from training.workloads import find, get

IRIS = get("iris").about
# Of an environment of its own, where the command would turn to; see test_workloads for its numbers.
HERE = [name for name in ("iris", "petr4") if not find()[name].about.needs]


def artifact(settings: Settings, run_id: str, name: str) -> Path:
    """A file that the run shows, where the store keeps it."""
    shown = Tracking(settings).client.get_run(run_id).info.artifact_uri
    return Path(shown.removeprefix("file://")) / name


def record(settings: Settings, run_id: str) -> Record:
    return Record.of(Tracking(settings), run_id)


@pytest.mark.parametrize("name", HERE)
def test_a_run_is_reproduced_bit_for_bit_and_registers_nothing(
    name: str, trained_once: Callable[[str], Setting]
) -> None:
    """As a run of its own that says what it reproduces."""
    trained = trained_once(name)
    versions = len(trained.client.search_model_versions())
    note = trained.settings.home / "last_trained.json"
    last = note.read_bytes()
    done = typed(trained.settings, "reproduce", trained.trained.run_id, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["same"], said["differs"], said["tolerance"]) == (True, [], 0.0)
    assert said["made_with"] == []
    made = trained.client.get_run(said["made"])
    assert made.info.status == "FINISHED"
    assert made.data.tags["baton.reproduces"] == trained.trained.run_id
    assert made.data.tags["baton.reproduced"] == "true"
    assert made.data.metrics.items() >= trained.trained.metrics.items()
    assert len(trained.client.search_model_versions()) == versions
    assert note.read_bytes() == last
    trained.client.delete_run(said["made"])  # others count on the experiment's one run


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """Iris as a person's own file."""
    from training.data.sample import Sample  # noqa: PLC0415 - loads pandas

    frame = Sample().load("iris", IRIS.fields).frame
    path = tmp_path / "flowers.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An empty registry."""
    return embedded(tmp_path / "var")


def test_what_was_planted_is_found(settings: Settings, flowers: Path) -> None:
    """Another seed in the plan; then another value in the file; then no file at all."""
    plan = Plan.of("iris", settings, params={"n_estimators": 5}, file=flowers)
    run_id = run(plan, settings).run_id
    kept = artifact(settings, run_id, "plan.json")
    truth = kept.read_text(encoding="utf-8")
    changed = json.loads(truth)
    changed["seed"] += 1
    changed["params"]["random_state"] += 1
    kept.write_text(json.dumps(changed), encoding="utf-8")
    done = typed(settings, "reproduce", run_id, "--json")
    assert done.exit_code == 5, done.output
    differs = {one["what"] for one in json.loads(done.stdout)["differs"]}
    assert {"seed", "random_state", "cv_accuracy_mean"} <= differs
    assert "data fingerprint" not in differs
    kept.write_text(truth, encoding="utf-8")

    rows = [*csv.reader(flowers.open(encoding="utf-8", newline=""))]
    rows[7][0] = str(float(rows[7][0]) + 0.1)
    csv.writer(flowers.open("w", encoding="utf-8", newline="")).writerows(rows)
    done = typed(settings, "reproduce", run_id)
    assert done.exit_code == 5, done.output
    assert "it differs" in done.stdout
    assert "data fingerprint" in done.stdout

    flowers.unlink()
    done = typed(settings, "reproduce", run_id, "--json")
    assert done.exit_code == 5, done.output
    assert "flowers.csv" in json.loads(done.stdout)["message"]


def test_packages_commit_and_machine_are_said_and_are_no_difference(
    trained_once: Callable[[str], Setting],
) -> None:
    trained = trained_once("iris")
    now = record(trained.settings, trained.trained.run_id)
    then = dataclasses.replace(
        now,
        run_id="then",
        dirty=True,
        made_with={**now.made_with, "gone-since": "2.0", "numpy": "0.1", "git commit": "c0ffee"},
    )
    found = compare(then, now, about=IRIS)
    assert found.differs == []
    said = {one.what: (one.before, one.now) for one in found.made_with}
    assert said.pop("gone-since") == ("2.0", None)
    assert said.pop("numpy") == ("0.1", now.made_with["numpy"])
    assert said == {"git commit": ("c0ffee", now.commit)}
    assert "then was made by code that is not all in commit c0ffee" in found.caveats
    assert {"python", "scikit-learn", "machine: cpu"} <= now.made_with.keys()


def test_a_reproduction_that_broke_off_goes_on_without_registering(
    trained_once: Callable[[str], Setting],
) -> None:
    """Its steps are kept with it."""
    trained = trained_once("iris")
    settings, original = trained.settings, record(trained.settings, trained.trained.run_id)
    versions = len(trained.client.search_model_versions())

    def stop(step: str) -> None:
        if step == "fit":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(original, settings, on_step=stop)
    [broken] = (settings.home / "runs").iterdir()
    again = resume(broken.name, settings)
    assert again.version is None
    assert compare(original, record(settings, again.run_id), about=IRIS).differs == []
    assert len(trained.client.search_model_versions()) == versions
    trained.client.delete_run(again.run_id)  # others count on the experiment's one run


def test_a_run_that_does_not_say_enough_is_refused(settings: Settings) -> None:
    """One that never got as far, and one of a script's."""
    begun = begin(Plan.of("iris", settings), settings)
    tracking = Tracking(settings)
    script = tracking.client.create_run(tracking.experiment("scripts")).info.run_id
    for run_id, missing in ((begun, "no evaluation.json"), (script, "no plan.json and no")):
        with pytest.raises(UsageError, match=missing):
            record(settings, run_id)
    done = typed(settings, "reproduce", "0" * 32, "--json")
    assert (done.exit_code, "unknown run" in done.stdout) == (2, True)


@pytest.mark.parametrize(
    ("needs", "off", "same"),
    [((), 0.0, True), ((), 1e-15, False), (("keras",), 9e-7, True), (("keras",), 2e-6, False)],
)
def test_numbers_are_equal_bit_for_bit_but_for_keras(
    needs: tuple[str, ...], off: float, same: bool, trained_once: Callable[[str], Setting]
) -> None:
    trained = trained_once("iris")
    one = record(trained.settings, trained.trained.run_id)
    metrics: dict[str, Any] = {**one.evaluation.metrics}
    metrics["accuracy"] += off
    other = dataclasses.replace(
        one, evaluation=dataclasses.replace(one.evaluation, metrics=metrics)
    )
    about: About = dataclasses.replace(IRIS, needs=needs)
    found = compare(one, other, about=about)
    assert [d.what for d in found.differs] == ([] if same else ["accuracy"])
