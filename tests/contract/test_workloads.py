"""Every workload that is found trains into one run and one complete version, or into nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from registry.bundle import Bundle
from registry.errors import BundleInvalid, StepFailed, Unreachable
from registry.settings import Settings
from tests.contract.mlflow_store import embedded
from tests.contract.trainings import TINY, Setting, train
from training import onnx_model
from training.job import Job, Plan
from training.pipeline import run
from training.steps import STEPS, Step
from training.tracked_run import TrackedRun
from training.tracking import Tracking
from training.workload import Workload
from training.workloads import find

PROMISED = {
    "eye_disease": {
        "confusion_matrix.json",
        "history.json",
        "model.keras",
        "onnx_model/eye_disease.onnx",
        "onnx_model/parity.json",
        "plots/confusion_matrix.png",
        "plots/learning.png",
        "plots/reliability.png",
        "plots/wrong.png",
    },
    "iris": {
        "onnx_model/iris_random_forest.onnx",
        "feature_importance.json",
        "confusion_matrix.json",
        "classification_report.txt",
        "plots/confusion_matrix.png",
    },
    "petr4": {"plots/forecast.png", "plots/components.png", "plots/residuals.png"},
    "stock_lstm": {
        "checkpoint/best.keras",
        "parity.json",
        "plots/forecast.png",
        "plots/horizon.png",
        "plots/loss.png",
        "scalers.json",
    },
    "wine": {
        "configuration.json",
        "onnx_model/wine.onnx",
        "onnx_model/parity.json",
        "feature_importance.json",
        "plots/feature_importance.png",
        "plots/confusion_matrix.png",
    },
    "digits": {"configuration.json", "onnx_model/digits.onnx", "plots/confusion_matrix.png"},
    "iris_logistic": {"configuration.json", "confusion_matrix.json", "classification_report.txt"},
    "diabetes": {"configuration.json", "onnx_model/parity.json", "plots/predictions.png"},
}
EVERYWHERE = {
    "dependencies.json",
    "hardware.json",
    "evaluation.json",
    "model/MLmodel",
    "plan.json",
}


@pytest.fixture(scope="module", params=sorted(find()))
def trained(request: pytest.FixtureRequest, trained_once: Callable[[str], Setting]) -> Setting:
    """A workload's version in a registry of its own, and its files as a node would get them."""
    return trained_once(request.param)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Settings:
    """An empty registry."""
    return embedded(tmp_path / "var")


def test_one_run_and_one_version(trained: Setting) -> None:
    """The first version of the workload's model, made by the one run of its experiment."""
    about = find()[trained.plan.workload].about
    experiment = trained.client.get_experiment_by_name(about.experiment)
    runs = trained.client.search_runs([experiment.experiment_id])
    assert [(r.info.run_id, r.info.status) for r in runs] == [(trained.trained.run_id, "FINISHED")]
    assert runs[0].info.run_name == about.run_name
    [version] = trained.client.search_model_versions(f"name='{trained.trained.model}'")
    assert (int(version.version), version.run_id) == (1, trained.trained.run_id)


def test_the_version_is_a_complete_bundle(trained: Setting) -> None:
    """What a node downloads can be opened, and nothing of Baton's own is missing."""
    bundle = Bundle.open(trained.version)
    about = find()[trained.plan.workload].about
    assert bundle.missing() == ()
    assert bundle.kind == about.kind
    assert bundle.model_file.is_file()
    assert bundle.signature is not None
    assert bundle.input_example is not None
    assert bundle.schema["inputs"]
    assert bundle.golden is not None
    assert len(bundle.golden.examples) >= 2
    assert bundle.evaluation is not None
    assert bundle.evaluation.metrics == trained.trained.metrics
    assert about.primary in bundle.evaluation.metrics
    assert bundle.evaluation.baselines


def test_golden_answers_are_finite_json(trained: Setting) -> None:
    """They were written as strict JSON, and each has predictions."""
    text = (trained.version / "baton" / "golden.json").read_text(encoding="utf-8")
    stored = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert all(example["response"]["predictions"] for example in stored["examples"])


def test_the_run_says_what_it_used(trained: Setting) -> None:
    """Tags, parameters, metrics and the data set, as people expect them."""
    data = trained.client.get_run(trained.trained.run_id)
    tags, params = data.data.tags, data.data.params
    assert tags["environment"] == "test"
    assert tags["model_version"] == "1"
    assert tags["data_source"] == trained.trained.source
    assert tags["ticker"] == tags["baton.series"] == trained.trained.series
    assert tags["baton.workload"] == trained.plan.workload
    assert tags["baton.primary"] in trained.trained.metrics
    assert len(tags["git_commit"]) == 40
    assert tags["git_dirty"] in ("true", "false")
    assert tags["baton.credit"]
    assert tags["baton.verdict"] == trained.trained.verdict
    assert {
        name: str(value) for name, value in trained.plan.params.items()
    }.items() <= params.items()
    assert params["seed"] == str(trained.plan.seed)
    assert params["cuda_available"] in ("True", "False")
    assert data.data.metrics.items() >= trained.trained.metrics.items()
    [dataset] = data.inputs.dataset_inputs
    assert dataset.dataset.name == trained.trained.series
    assert dataset.dataset.digest == tags["baton.data_fingerprint"][:16]


def test_the_run_shows_its_files(trained: Setting) -> None:
    """Plots, reports, the environment, and the model's folder, which MLflow hides otherwise."""
    promised = EVERYWHERE | PROMISED.get(trained.plan.workload, set())
    assert promised <= set(trained.trained.artifacts)
    artifacts = trained.client.get_run(trained.trained.run_id).info.artifact_uri
    shown = Path(artifacts.removeprefix("file://"))
    on_disk = {str(path.relative_to(shown)) for path in shown.rglob("*") if path.is_file()}
    reports = {path for path in on_disk if path.startswith("baton/")}  # of a promotion since
    assert on_disk - reports == set(trained.trained.artifacts)
    versions = json.loads((shown / "dependencies.json").read_text(encoding="utf-8"))
    assert "mlflow" in versions["packages"]
    plan = json.loads((shown / "plan.json").read_text(encoding="utf-8"))
    assert Plan.from_json(plan) == trained.plan


def test_everything_lies_under_baton_home(trained: Setting) -> None:
    """MLflow's own ./mlruns never appears, and a finished run leaves no workspace."""
    artifacts = trained.client.get_run(trained.trained.run_id).info.artifact_uri
    assert artifacts.startswith(trained.settings.artifacts_dir.as_uri())
    assert not Path("mlruns").exists()
    assert list((trained.settings.home / "runs").iterdir()) == []
    assert trained.last == {
        "model": trained.trained.model,
        "version": 1,
        "run_id": trained.trained.run_id,
    }


def test_the_same_seed_gives_the_same_metrics(trained: Setting, elsewhere: Settings) -> None:
    """In another registry: bit for bit, or nearly so where sums are made by Keras."""
    again = train(trained.plan, elsewhere)
    exact = 0.0 if "keras" not in find()[trained.plan.workload].about.needs else 1e-6
    assert again.metrics == pytest.approx(trained.trained.metrics, rel=0, abs=exact)
    assert again.baselines == trained.trained.baselines


@pytest.mark.parametrize("failing", [*STEPS])
def test_a_failing_step_is_named_and_registers_nothing(failing: str, elsewhere: Settings) -> None:
    """Whichever it is, and however it fails."""

    def broken(workload: Workload, job: Job) -> None:
        assert workload
        assert job
        raise ZeroDivisionError("oh")

    with pytest.raises(StepFailed, match=f"step {failing}: ZeroDivisionError: oh"):
        run(_iris(elsewhere), elsewhere, steps={**STEPS, failing: broken})
    assert _ended(elsewhere) == ("FAILED", failing)
    assert len(list((elsewhere.home / "runs").iterdir())) == 1


def test_an_interrupted_training_is_killed_and_registers_nothing(elsewhere: Settings) -> None:
    """Ctrl-C goes on to the caller."""

    def interrupted(workload: Workload, job: Job) -> None:
        assert workload
        assert job
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(_iris(elsewhere), elsewhere, steps={**STEPS, "fit": interrupted})
    assert _ended(elsewhere) == ("KILLED", "fit")


def _no_version(*_: object, **__: object) -> None:
    raise ConnectionError("the registry is gone")


def _truncated(client: Any) -> Callable[[str, str], None]:
    """An upload that loses a byte."""
    real = client.log_model_artifacts

    def upload(model_id: str, folder: str) -> None:
        path = Path(folder) / "MLmodel"
        text = path.read_text(encoding="utf-8")
        path.write_text(text[:-1], encoding="utf-8")
        real(model_id, folder)
        path.write_text(text, encoding="utf-8")

    return upload


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Any], None]]:
    """Replace one method of the MLflow client that the next run uses."""
    real = TrackedRun.start.__func__  # type: ignore[attr-defined]  # the function behind a classmethod

    def break_it(name: str, broken: Any) -> None:
        def start(
            cls: type[TrackedRun], tracking: Tracking, *args: Any, **kwargs: Any
        ) -> TrackedRun:
            tracking.client.__dict__[name] = broken(tracking.client)
            return real(cls, tracking, *args, **kwargs)  # type: ignore[no-any-return]

        monkeypatch.setattr(TrackedRun, "start", classmethod(start))

    return break_it  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("method", "broken", "error"),
    [
        ("create_model_version", lambda _: _no_version, StepFailed),
        ("set_logged_model_tags", lambda _: _no_version, StepFailed),
        ("finalize_logged_model", lambda _: _no_version, StepFailed),
        ("log_model_artifacts", _truncated, BundleInvalid),
    ],
)
def test_a_registration_that_breaks_off_leaves_no_version(
    elsewhere: Settings,
    faulty: Callable[[str, Any], None],
    method: str,
    broken: Any,
    error: type[Exception],
) -> None:
    """Before the version is made, or right after: nothing of it stays."""
    faulty(method, broken)
    with pytest.raises(error):
        run(_iris(elsewhere), elsewhere)
    assert _ended(elsewhere) == ("FAILED", "register")
    client = Tracking(elsewhere).client
    experiment = client.get_experiment_by_name("iris-pipeline")
    assert client.search_logged_models([experiment.experiment_id]) == []


def test_a_tracking_server_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    """Said at once, and no workspace is left."""
    settings = Settings(
        home=tmp_path, tracking_uri="http://127.0.0.1:1", ledger_url="sqlite://"
    ).resolved()
    with pytest.raises(Unreachable, match=r"MLflow http://127\.0\.0\.1:1"):
        run(Plan.of("iris", settings), settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("trained", ["iris"], indirect=True)
def test_what_joint_calls_would_gain_is_measured_and_a_forest_does_not_have_them(
    trained: Setting,
) -> None:
    """A row takes some microseconds."""
    stored = json.loads((trained.version / "baton" / "bundle.json").read_text(encoding="utf-8"))
    assert stored["call_ms"].keys() == {"1", "8"}
    assert 0 < stored["call_ms"]["1"] < 1
    assert Bundle.open(trained.version).batching is None


@pytest.mark.parametrize("trained", ["iris"], indirect=True)
def test_a_graph_that_answers_otherwise_is_refused(trained: Setting) -> None:
    """Parity is checked, not assumed."""
    bundle = Bundle.open(trained.version)
    assert bundle.golden is not None
    request = bundle.golden.examples[-1]
    rows = request["request"]["dataframe_split"]["data"]
    label, probabilities = onnx_model.run(bundle.model_file, _array(rows))
    assert onnx_model.check_parity(
        bundle.model_file, _array(rows), label=label, probabilities=probabilities
    ) == pytest.approx(0.0)
    with pytest.raises(StepFailed, match="expected label"):
        onnx_model.check_parity(
            bundle.model_file, _array(rows), label=label + 1, probabilities=probabilities
        )
    with pytest.raises(StepFailed, match="probabilities differ"):
        onnx_model.check_parity(
            bundle.model_file, _array(rows), label=label, probabilities=probabilities + 1e-4
        )


def _array(rows: Any) -> Any:
    import numpy as np  # noqa: PLC0415 - only here

    return np.asarray(rows, dtype=np.float64)


def _iris(settings: Settings) -> Plan:
    return Plan.of("iris", settings, params=TINY["iris"])


def _ended(settings: Settings) -> tuple[str, str]:
    """Status and failed step of the only run; there must be no version."""
    client = Tracking(settings).client
    assert list(client.search_model_versions()) == []
    experiments = [e.experiment_id for e in client.search_experiments()]
    [only] = client.search_runs(experiments)
    return only.info.status, only.data.tags["baton.failed_step"]


def test_steps_have_the_names_of_the_design() -> None:
    """In this order, in every orchestrator."""
    steps: Mapping[str, Step] = STEPS
    assert [*steps] == ["load", "validate", "split", "fit", "evaluate", "package", "register"]
