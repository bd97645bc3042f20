"""The scikit-learn estimators that a configuration may name, with the parameters it may set.

An estimator and a parameter are in this table because their ONNX graph was shown to agree with
scikit-learn (`tests/contract/test_estimators.py` goes through all of it, and asks whether
`docs/tabular.md` does); that page says what is left out and why.

A parameter's `default` here is not scikit-learn's, which holds where a configuration says nothing:
it is another sensible value, of the parameter's type, that the test tries.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from training.parameter import Parameter, Values

Task = Literal["classification", "regression"]
TASKS: tuple[Task, ...] = get_args(Task)

_TREE = "sklearn.tree._tree.Tree"
_LARGEST = 1e9


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """One of them. `trusted` names the types of its saved form that skops has to be told about.

    `seeded` says whether it draws lots, and so takes the run's seed; `scalable`, whether columns
    may be scaled for it. Not for trees: data is full of values that lie exactly on a threshold,
    half way between two others; scaled in float32 they fall to the other side of it.
    """

    name: str
    module: str
    task: Task
    parameters: tuple[Parameter, ...]
    trusted: tuple[str, ...] = ()
    seeded: bool = False
    scalable: bool = False

    def make(self, params: Values, *, seed: int, scale: bool = False) -> Any:
        """One that has learnt nothing yet, with those of `params` that are its own.

        With `scale` its columns are brought to mean 0 and standard deviation 1 before it.
        """
        own: dict[str, Any] = {p.name: params[p.name] for p in self.parameters if p.name in params}
        if self.seeded:
            own["random_state"] = seed
        estimator = getattr(importlib.import_module(self.module), self.name)(**own)
        if not scale:
            return estimator
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - slow to import
        from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 - as above

        return make_pipeline(StandardScaler(), estimator)


def _share(name: str, default: float, text: str) -> Parameter:
    """A share of something: above 0, at most 1."""
    return Parameter(name=name, default=default, minimum=1e-6, maximum=1.0, help=text)


_NUMBER_OF_TREES = Parameter(name="n_estimators", default=30, minimum=1, help="Number of trees.")
_DEPTH = Parameter(name="max_depth", default=4, minimum=1, help="Deepest a tree may grow.")
_LEAF = Parameter(name="min_samples_leaf", default=3, minimum=1, help="Fewest rows in a leaf.")
_COLUMNS = Parameter(
    name="max_features",
    default="log2",
    choices=("sqrt", "log2"),
    help="How many columns a split chooses from.",
)
_IMPURITY = Parameter(
    name="criterion",
    default="entropy",
    choices=("gini", "entropy", "log_loss"),
    help="What a split makes smaller.",
)
_BALANCED = Parameter(
    name="class_weight",
    default="balanced",
    choices=("balanced",),
    help="Rare classes count as much as frequent ones.",
)
_RATE = _share("learning_rate", 0.2, "How much each tree may change.")
_SUBSAMPLE = _share("subsample", 0.8, "Share of the rows that each tree learns from.")
_ITERATIONS = Parameter(name="max_iter", default=2000, minimum=1, help="Most iterations.")
_PENALTY = Parameter(
    name="alpha",
    default=0.5,
    minimum=1e-9,
    maximum=_LARGEST,
    help="How strongly large coefficients are held down.",
)
_INTERCEPT = Parameter(name="fit_intercept", default=False, help="Whether there is a constant.")
_POSITIVE = Parameter(name="positive", default=True, help="Whether coefficients must be positive.")
_FREEDOM = Parameter(
    name="C", default=0.5, minimum=1e-9, maximum=_LARGEST, help="How freely coefficients may grow."
)
_MIX = _share("l1_ratio", 0.3, "Share of the penalty that is on absolute values.")

_GROWTH = (_DEPTH, _LEAF, _COLUMNS)
_FOREST = (_NUMBER_OF_TREES, *_GROWTH)
_BOOSTING = (_NUMBER_OF_TREES, _RATE, _SUBSAMPLE, *_GROWTH)

_ALL = (
    Estimator(
        name="LogisticRegression",
        module="sklearn.linear_model",
        task="classification",
        parameters=(_FREEDOM, _ITERATIONS, _INTERCEPT, _BALANCED),
        seeded=True,
        scalable=True,
    ),
    Estimator(
        name="DecisionTreeClassifier",
        module="sklearn.tree",
        task="classification",
        parameters=(_IMPURITY, *_GROWTH, _BALANCED),
        trusted=(_TREE,),
        seeded=True,
    ),
    Estimator(
        name="RandomForestClassifier",
        module="sklearn.ensemble",
        task="classification",
        parameters=(_IMPURITY, *_FOREST, _BALANCED),
        trusted=(_TREE,),
        seeded=True,
    ),
    Estimator(
        name="ExtraTreesClassifier",
        module="sklearn.ensemble",
        task="classification",
        parameters=(_IMPURITY, *_FOREST, _BALANCED),
        trusted=(_TREE,),
        seeded=True,
    ),
    Estimator(
        name="GradientBoostingClassifier",
        module="sklearn.ensemble",
        task="classification",
        parameters=_BOOSTING,
        trusted=(_TREE,),
        seeded=True,
    ),
    Estimator(
        name="LinearRegression",
        module="sklearn.linear_model",
        task="regression",
        parameters=(_INTERCEPT, _POSITIVE),
        scalable=True,
    ),
    Estimator(
        name="Ridge",
        module="sklearn.linear_model",
        task="regression",
        parameters=(_PENALTY, _INTERCEPT, _POSITIVE),
        seeded=True,
        scalable=True,
    ),
    Estimator(
        name="Lasso",
        module="sklearn.linear_model",
        task="regression",
        parameters=(_PENALTY, _INTERCEPT, _POSITIVE, _ITERATIONS),
        seeded=True,
        scalable=True,
    ),
    Estimator(
        name="ElasticNet",
        module="sklearn.linear_model",
        task="regression",
        parameters=(_PENALTY, _MIX, _INTERCEPT, _POSITIVE, _ITERATIONS),
        seeded=True,
        scalable=True,
    ),
    Estimator(
        name="DecisionTreeRegressor",
        module="sklearn.tree",
        task="regression",
        parameters=_GROWTH,
        trusted=(_TREE,),
        seeded=True,
    ),
    Estimator(
        name="RandomForestRegressor",
        module="sklearn.ensemble",
        task="regression",
        parameters=_FOREST,
        trusted=(_TREE,),
        seeded=True,
    ),
    Estimator(
        name="ExtraTreesRegressor",
        module="sklearn.ensemble",
        task="regression",
        parameters=_FOREST,
        trusted=(_TREE,),
        seeded=True,
    ),
    Estimator(
        name="GradientBoostingRegressor",
        module="sklearn.ensemble",
        task="regression",
        parameters=_BOOSTING,
        trusted=(_TREE,),
        seeded=True,
    ),
)
ESTIMATORS: Mapping[str, Estimator] = {one.name: one for one in _ALL}
