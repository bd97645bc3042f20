"""People's own scripts: a decorated function is a run in the configured store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.errors import UsageError
from registry.settings import Settings
from tests.contract.mlflow_store import embedded
from training.tracking import Tracking, setup_tracking, track_experiment


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An empty store."""
    return embedded(tmp_path / "var")


def only_run(settings: Settings, experiment: str) -> Any:
    """The one run of an experiment."""
    client = Tracking(settings).client
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    [only] = client.search_runs([found.experiment_id])
    return only


def test_arguments_become_parameters_and_numbers_become_metrics(settings: Settings) -> None:
    """Defaults too; what is no number in the result is left alone; the result is handed on."""

    @track_experiment("prices", settings=settings)
    def train(ticker: str, *, depth: int = 3, **options: object) -> dict[str, object]:
        return {"rmse": np.float32(0.5), "rows": 7, "note": "fine", "ticker": ticker}

    result = train("X", depth=4, rate=0.1)
    assert result["note"] == "fine"
    done = only_run(settings, "prices")
    assert done.data.params == {"ticker": "X", "depth": "4", "rate": "0.1"}
    assert done.data.metrics == {"rmse": 0.5, "rows": 7.0}
    assert done.data.tags["environment"] == "test"
    assert (done.info.status, done.info.run_name) == ("FINISHED", "train")
    assert done.info.artifact_uri.startswith(settings.artifacts_dir.as_uri())


def test_an_exception_marks_the_run_failed_and_goes_on(settings: Settings) -> None:
    """Nothing is swallowed."""

    @track_experiment("prices", run_name="bad", settings=settings)
    def train() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        train()
    done = only_run(settings, "prices")
    assert (done.info.status, done.info.run_name) == ("FAILED", "bad")


def test_setup_points_mlflow_at_the_configured_store(settings: Settings) -> None:
    """A plain MLflow script then writes there; the second call finds the same experiment."""
    first = setup_tracking(settings, experiment="mine")
    import mlflow  # noqa: PLC0415 - slow to import

    with mlflow.start_run():
        mlflow.log_metric("loss", 1.0)
    assert only_run(settings, "mine").data.metrics == {"loss": 1.0}
    assert setup_tracking(settings, experiment="mine") == first
    assert not Path("mlruns").exists()


def test_a_deleted_experiment_is_refused_with_what_to_do(settings: Settings) -> None:
    """MLflow would fail later and say less."""
    found = setup_tracking(settings, experiment="gone")
    Tracking(settings).client.delete_experiment(found)
    with pytest.raises(UsageError, match="restore"):
        setup_tracking(settings, experiment="gone")
