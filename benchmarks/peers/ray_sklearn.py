"""Ray Serve and scikit-learn, as its documentation does it, on a Ray of its own.

python -m ray_sklearn PORT FOLDER
"""

import os
import sys
from typing import Any

import joblib
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=2)
class Forest:
    """One copy of the model a replica."""

    def __init__(self) -> None:
        """Load it."""
        self.model = joblib.load(os.environ["MODEL"])

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Rows to classes."""
        body = await request.json()
        return {"predictions": self.model.predict(body["instances"]).tolist()}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, _temp_dir=sys.argv[2])
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Forest.bind(), blocking=True)  # type: ignore[attr-defined]
