"""The port of a workload: what one kind of training must say so that the steps can do the rest.

A workload is one file of `training/workloads/`, found by being there, that ends with
`WORKLOAD = …`. Its hooks are called by the steps of the same name and know no MLflow run; they
compute, and write files only into the folders they are given. Heavy libraries are imported inside
the hooks, so that listing the workloads stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from registry.bundle import Golden
from training.data.checks import Requirements
from training.data.dataset import Field
from training.parameter import Parameter, Values

Array = NDArray[Any]
Request = Mapping[str, Any]
Answer = Mapping[str, Any]
Metric = Callable[[Array, Array], float]


@dataclass(frozen=True)
class Split:
    """Two parts of the data that share no row: what is learnt from, and what is judged on."""

    train: pd.DataFrame
    holdout: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What `measure` found besides the hold-out metrics: more metrics, and naive baselines.

    `curves` are values by epoch.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """What `package` made: which engine runs which file (a path inside the version's folder).

    `feed` holds hold-out rows as an ONNX graph takes them, an array an input: with it, what joint
    calls would gain is measured. `logged` are numbers of the training part, [n] each, that requests
    are logged with besides the fields: by their names in the prediction log.
    """

    engine: str
    model_file: str
    schema: Mapping[str, Any]
    golden: Golden
    feed: Mapping[str, Array] | None = None
    logged: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a hook works with. Files put into `artifacts` are shown with the run.

    `caveat`, if there is one, belongs on everything that shows a number or picture.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame
    params: Values
    seed: int
    run_id: str
    artifacts: Path
    caveat: str = ""


@dataclass(frozen=True, kw_only=True)
class About:
    """What there is to say of a workload without running it.

    `kind` is the shape of its requests; `series` maps a source to the series used when none is
    named; `fields` are the columns it needs; `metrics` are functions of (truth, predicted), and
    `primary` is the one that decides against a baseline. `needs` are modules that only another
    environment has (training/apart.py).
    """

    name: str
    experiment: str
    model: str
    run_name: str
    kind: str
    default_source: str
    series: Mapping[str, str]
    fields: tuple[Field, ...]
    parameters: tuple[Parameter, ...]
    metrics: Mapping[str, Metric]
    primary: str
    greater_is_better: bool
    needs: tuple[str, ...] = ()

    @property
    def is_dated(self) -> bool:
        """Whether its rows have dates."""
        return any(field.kind == "date" for field in self.fields)


class Workload(Protocol):
    """One kind of training."""

    @property
    def about(self) -> About:
        """Its names, parameters and metrics."""
        ...

    def requirements(self, params: Values) -> Requirements:
        """What the data must fulfil before anything is fitted.

        Raises UsageError, before anything is read, for parameters that contradict each other.
        """
        ...

    def split(self, frame: pd.DataFrame, params: Values, *, seed: int) -> Split:
        """Divide the checked data; time-ordered where there is time."""
        ...

    def fit(self, train: pd.DataFrame, params: Values, *, seed: int) -> Any:
        """A model learnt from `train` alone."""
        ...

    def save(self, model: Any, folder: Path) -> None:
        """Write the model into an empty folder."""
        ...

    def load(self, folder: Path) -> Any:
        """The reverse of `save`."""
        ...

    def requests(self, holdout: pd.DataFrame) -> Sequence[Request]:
        """The hold-out as `/predict` would be asked for it."""
        ...

    def answer(self, model: Any, requests: Sequence[Request]) -> Sequence[Answer]:
        """What the training library itself answers, in the form of `/predict`."""
        ...

    def truth(self, holdout: pd.DataFrame) -> Array:
        """What came true, in the order of `predicted`."""
        ...

    def predicted(self, answers: Sequence[Answer]) -> Array:
        """The predictions of all answers, one after the other."""
        ...

    def measure(self, model: Any, material: Material) -> Measured:
        """Further metrics, baselines, plots and reports."""
        ...

    def package(self, model: Any, material: Material, folder: Path) -> Packaged:
        """Write MLflow's model folder (and files for an engine) into `folder`."""
        ...


class Searchable(Workload, Protocol):
    """A workload whose parameters can be searched for: it can judge them inside the training part.

    `objective` names the metric of `validated` that a search improves, in the direction of the
    workload's primary metric.
    """

    @property
    def objective(self) -> str:
        """As `backtest_mae`."""
        ...

    def validated(self, train: pd.DataFrame, params: Values, *, seed: int) -> Mapping[str, float]:
        """Metrics over folds of `train`, each judged by a model that has not seen it.

        Empty if `params` ask for no folds.
        """
        ...


def score(workload: Workload, holdout: pd.DataFrame, answers: Sequence[Answer]) -> dict[str, float]:
    """The workload's metrics of some answers to `workload.requests(holdout)`."""
    truth, predicted = workload.truth(holdout), workload.predicted(answers)
    if truth.shape != predicted.shape:
        raise ValueError(f"expected {truth.shape[0]} predictions, got {predicted.shape[0]}")
    if predicted.dtype.kind == "f" and not np.isfinite(predicted).all():
        raise ValueError("a prediction is not finite")
    metrics = workload.about.metrics
    return {name: float(metric(truth, predicted)) for name, metric in metrics.items()}
