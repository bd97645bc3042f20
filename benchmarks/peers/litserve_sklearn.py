"""LitServe and scikit-learn, as its documentation does it.

python -m litserve_sklearn PORT
"""

import os
import sys
from typing import Any

import joblib
import litserve as ls


class Forest(ls.LitAPI):  # type: ignore[misc]
    """One copy of the model a worker."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's
        """Load it."""
        self.model = joblib.load(os.environ["MODEL"])

    def decode_request(self, request: dict[str, Any]) -> Any:
        """The rows."""
        return request["instances"]

    def predict(self, x: Any) -> Any:
        """Their classes."""
        return self.model.predict(x)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """As JSON."""
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = ls.LitServer(Forest(), accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
