"""grower: whose wine it is by five measurements, judged by what a mistake costs.

The example of `docs/workload.md`: what a configuration cannot say (a metric of one's own, which the
gates then hold versions to) fits into one file.
"""

from __future__ import annotations

import numpy as np

from training import metrics
from training.classification import Classification
from training.cross_validation import FOLDS
from training.data.dataset import Field
from training.estimators import ESTIMATORS
from training.parameter import Parameter, Range
from training.tabular import RANDOM_STATE, TEST_SIZE, Recipe
from training.workload import About, Array

GROWERS = ("first", "second", "third")
FEATURES = ("alcohol", "malic_acid", "color_intensity", "hue", "proline")
# What it costs to take a bottle of one grower (row) for one of another (column).
COSTS = np.array([[0, 5, 5], [1, 0, 1], [1, 1, 0]])


def cost(truth: Array, predicted: Array) -> float:
    """Mean cost of a bottle, in the unit of `COSTS`."""
    return float(COSTS[truth, predicted].mean())


WORKLOAD = Classification(
    Recipe(
        about=About(
            name="grower",
            experiment="grower",
            model="grower",
            run_name="random_forest",
            kind="tabular",
            default_source="sample",
            series={"sample": "wine"},
            fields=(
                *(Field(name, "number") for name in FEATURES),
                Field("target", "label", (), {str(n): n for n in range(len(GROWERS))}),
            ),
            parameters=(
                Parameter(
                    name="n_estimators",
                    default=50,
                    minimum=1,
                    help="Trees of the forest.",
                    search=Range(10, 300, log=True),
                ),
                RANDOM_STATE,
                TEST_SIZE,
                FOLDS,
            ),
            metrics={"cost": cost, "accuracy": metrics.accuracy},
            primary="cost",
            greater_is_better=False,
        ),
        estimator=ESTIMATORS["RandomForestClassifier"],
        features=FEATURES,
        target="target",
        classes=GROWERS,
        export="grower",
    )
)
