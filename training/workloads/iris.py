"""iris: a random forest on four measurements of a flower, served as ONNX.

Fitted on a stratified part of the rows, judged on the rest, and compared with always saying the
most frequent class. Precision, recall and F1 are macro averages. How it is fitted, measured and
packaged is that of every workload on rows of numbers: `training/tabular.py`.
"""

from __future__ import annotations

from training import metrics
from training.classification import Classification
from training.cross_validation import FOLDS
from training.data.dataset import Field
from training.estimators import ESTIMATORS
from training.parameter import Parameter, Range
from training.tabular import RANDOM_STATE, TEST_SIZE, Recipe
from training.workload import About

FEATURES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
CLASSES = ("setosa", "versicolor", "virginica")
TARGET = "target"
_LABELS = {
    spelling: number
    for number, name in enumerate(CLASSES)
    for spelling in (str(number), name, f"iris-{name}")
}

_ABOUT = About(
    name="iris",
    experiment="iris-pipeline",
    model="iris",
    run_name="random_forest_training",
    kind="tabular",
    default_source="sample",
    series={"sample": "iris"},
    fields=(
        *(
            Field(name, "number", (name.removesuffix(" (cm)").replace(" ", "_"),))
            for name in FEATURES
        ),
        Field(TARGET, "label", ("species", "class", "variety"), _LABELS),
    ),
    parameters=(
        Parameter(
            name="n_estimators",
            default=100,
            minimum=1,
            help="Trees of the forest.",
            search=Range(10, 400, log=True),
        ),
        Parameter(
            name="max_depth",
            default=10,
            minimum=1,
            help="Deepest a tree may grow.",
            search=Range(2, 20),
        ),
        RANDOM_STATE,
        TEST_SIZE,
        FOLDS,
    ),
    metrics={
        "accuracy": metrics.accuracy,
        "precision": metrics.precision,
        "recall": metrics.recall,
        "f1_score": metrics.f1_score,
    },
    primary="accuracy",
    greater_is_better=True,
)

WORKLOAD = Classification(
    Recipe(
        about=_ABOUT,
        estimator=ESTIMATORS["RandomForestClassifier"],
        features=FEATURES,
        target=TARGET,
        classes=CLASSES,
        positive=FEATURES,
        export="iris_random_forest",
    )
)
