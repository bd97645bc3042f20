"""tabular: a workload for each configuration, a file instead of code.

Those of `training/configurations/` are found by being there, each by its name. One of a person's
own is given to the command line as a path: `python -m training run churn.toml --file churn.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.classification import Classification
from training.configuration import MEASURES, SUFFIX, Configuration, read
from training.data.dataset import Field
from training.regression import Regression
from training.tabular import Recipe, Tabular
from training.workload import About

_FOLDER = Path(__file__).parents[1] / "configurations"


def configured(content: Mapping[str, Any], *, where: str) -> Tabular:
    """The workload that a configuration describes; raises SettingsError naming `where`."""
    said = Configuration.of(content, where=where)
    primary = MEASURES[said.metrics[0]]
    is_class = bool(said.classes)
    target = Field(said.target, "label" if is_class else "number", (), said.labels)
    about = About(
        name=said.name,
        experiment=said.experiment,
        model=said.model,
        run_name=said.estimator.name,
        kind="tabular",
        default_source="sample" if said.series else "csv",
        series={"sample": said.series} if said.series else {},
        fields=(*(Field(name, "number") for name in said.features), target),
        parameters=said.parameters,
        metrics={name: MEASURES[name].function for name in said.metrics},
        primary=said.metrics[0],
        greater_is_better=primary.greater_is_better,
    )
    recipe = Recipe(
        about=about,
        estimator=said.estimator,
        features=said.features,
        target=said.target,
        export=said.name,
        classes=said.classes,
        scale=said.scale,
        source=content,
    )
    return Classification(recipe) if is_class else Regression(recipe)


WORKLOADS = tuple(
    configured(read(path), where=str(path)) for path in sorted(_FOLDER.glob(f"*{SUFFIX}"))
)
