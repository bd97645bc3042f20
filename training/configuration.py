"""A configuration: a TOML file that says what is learnt from which columns, instead of code.

    estimator = "RandomForestClassifier"    # one of training/estimators.py
    metrics = ["accuracy", "f1"]            # the first one decides against the baseline

    [parameters]                            # of the estimator; scikit-learn's own default otherwise
    n_estimators = 100

    [data]
    series = "wine"                         # bundled; without it the data is a file: --file
    features = ["alcohol", "ash"]
    target = "target"
    classes = ["class_0", "class_1"]        # none: the target is a number

Every mistake is a SettingsError that names the file, the key, what was expected and what came.
`docs/tabular.md` explains each key. Read by the command line and by `workloads/tabular.py`; nothing
of scikit-learn is imported for it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from registry.errors import SettingsError, UsageError
from training import metrics
from training.checked_table import CheckedTable
from training.cross_validation import FOLDS, folds
from training.data.dataset import DATE
from training.data.sample import Sample
from training.estimators import ESTIMATORS, Estimator, Task
from training.parameter import Parameter
from training.tabular import RANDOM_STATE, TEST_SIZE
from training.workload import Metric

SUFFIX = ".toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LIKE = "letters, digits, '.', '_', '-', at most 64, as churn-2"


@dataclass(frozen=True)
class Measure:
    """A metric that a configuration may name, and what it is for."""

    function: Metric
    task: Task
    greater_is_better: bool


MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure(metrics.accuracy, "classification", greater_is_better=True),
    "f1": Measure(metrics.f1_score, "classification", greater_is_better=True),
    "rmse": Measure(metrics.rmse, "regression", greater_is_better=False),
    "mae": Measure(metrics.mae, "regression", greater_is_better=False),
    "r2": Measure(metrics.r2, "regression", greater_is_better=True),
}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What a file says, checked, with what it leaves out filled in.

    `parameters` are those that a person can still change (`--param`), with the file's values as
    their defaults. `classes` is empty for a regression, `series` for data of one's own.
    """

    name: str
    experiment: str
    model: str
    estimator: Estimator
    scale: bool
    parameters: tuple[Parameter, ...]
    metrics: tuple[str, ...]
    features: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    series: str

    @classmethod
    def of(cls, table: Mapping[str, Any], *, where: str) -> Self:
        """The content of a file, called `where` in messages; raises SettingsError."""
        top = CheckedTable(where, table)
        name = top.text("name", expected=_LIKE, fits=_NAME.fullmatch)
        experiment = top.text("experiment", f"{name}-pipeline")
        model = top.text("model", name, expected=_LIKE, fits=_NAME.fullmatch)
        estimator = ESTIMATORS[top.choice("estimator", ESTIMATORS)]
        scale = top.switch("scale", default=False)
        if scale and not estimator.scalable:
            never = f"false: {estimator.name} goes by thresholds, which scaled values may miss"
            raise top.wrong("scale", never)
        measured = _metrics(top, estimator)
        common = [top.parameter(one) for one in (TEST_SIZE, RANDOM_STATE, FOLDS)]
        own, data = top.table("parameters", {}), top.table("data")
        top.close()
        parameters = own.given(estimator.parameters)
        own.close(f"parameter of {estimator.name}")
        try:
            folds({one.name: one.default for one in common})
        except UsageError as error:
            raise SettingsError(f"{where}: {error}") from error
        features, target, classes = _columns(data, estimator)
        series = data.choice("series", Sample().series, "")
        data.close()
        return cls(
            name=name,
            experiment=experiment,
            model=model,
            estimator=estimator,
            scale=scale,
            parameters=(*parameters, *common),
            metrics=measured,
            features=features,
            target=target,
            classes=classes,
            series=series,
        )

    @property
    def labels(self) -> dict[str, int]:
        """Which class each spelling is: its name; its number too, unless a name is a number."""
        named = {_spelt(name): number for number, name in enumerate(self.classes)}
        if any(map(_is_number, named)):
            return named
        return {str(number): number for number in range(len(self.classes))} | named


def read(path: Path) -> dict[str, Any]:
    """The content of a file, which is called after it unless it says otherwise.

    Raises SettingsError naming the file, and the line of what is not TOML.
    """
    try:
        return {"name": path.stem} | tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 text") from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error


def _metrics(top: CheckedTable, estimator: Estimator) -> tuple[str, ...]:
    """Metrics that fit what the estimator predicts; the first one decides."""
    fitting = [name for name, measure in MEASURES.items() if measure.task == estimator.task]
    what = f"metrics of a {estimator.task}, as {estimator.name} is: {', '.join(fitting)}"
    named = top.names("metrics", least=1, what=what)
    for name in named:
        if name not in fitting:
            raise top.wrong("metrics", what, repr(name))
    return named


def _columns(
    data: CheckedTable, estimator: Estimator
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Features, target and classes (none for a regression)."""
    features = data.names("features", least=1, same=_known_as, what="columns")
    target = data.text("target")
    if DATE in map(_known_as, (*features, target)):
        raise data.wrong("features", f"columns of numbers; {DATE!r} is one of dates", repr(DATE))
    if _known_as(target) in map(_known_as, features):
        raise data.wrong("target", "a column that is not one of the features")
    if estimator.task == "classification":
        what = f"classes, which {estimator.name} tells apart"
        return features, target, data.names("classes", least=2, same=_spelt, what=what)
    never = f"none, since {estimator.name} predicts a number"
    data.take("classes", never, lambda _: False, ())
    return features, target, ()


def _known_as(column: str) -> str:
    """What a column's name is compared by when data is read."""
    return column.strip().lower()


def _spelt(label: str) -> str:
    """What a class is compared by when data is read (`dataset.py`)."""
    return label.strip().lower().removesuffix(".0")


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True
