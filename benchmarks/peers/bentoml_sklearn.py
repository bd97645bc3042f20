"""BentoML and scikit-learn, as its documentation does it.

bentoml serve bentoml_sklearn:Forest --host 127.0.0.1
"""

import os

import bentoml
import joblib


@bentoml.service(workers=2)
class Forest:
    """One copy of the model a worker."""

    def __init__(self) -> None:
        """Load it."""
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, instances: list[list[float]]) -> dict[str, list[int]]:
        """Rows to classes."""
        return {"predictions": self.model.predict(instances).tolist()}
