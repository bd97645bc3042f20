"""What a run logs, while another run does the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tests.contract.mlflow_store import embedded
from training.data.dataset import Dataset
from training.tracked_run import TrackedRun
from training.tracking import Tracking


def test_two_runs_that_log_one_data_set_at_once_both_have_it(tmp_path: Path) -> None:
    """MLflow keeps a data set once: it looks, then inserts, and here the other comes in between."""
    from mlflow.store.tracking.dbmodels.models import SqlDataset  # noqa: PLC0415 - slow to import
    from sqlalchemy import event  # noqa: PLC0415 - as above

    tracking = Tracking(embedded(tmp_path / "var"))
    first, second = (
        TrackedRun.start(tracking, "iris", run_name=name, tags={}) for name in ("first", "second")
    )
    table = pd.DataFrame({"x": [1.0, 2.0]})
    data = Dataset(frame=table, name="two", source="sample", origin="here", credit="ours")
    others = [second]

    def meanwhile(*_: Any) -> None:
        if others:
            others.pop().log_dataset(data)

    event.listen(SqlDataset, "before_insert", meanwhile)
    try:
        first.log_dataset(data)
    finally:
        event.remove(SqlDataset, "before_insert", meanwhile)

    assert not others, "nobody came in between"
    for run in (first, second):
        [only] = tracking.client.get_run(run.run_id).inputs.dataset_inputs
        assert only.dataset.digest == data.fingerprint[:16]
