"""`python -m tests.stack.register_linear N …`: versions of `linear`, registered by MLflow alone.

As somebody does who has never heard of Baton: `mlflow.onnx.log_model`, with the login and the
address of the environment. Version n of the model answers as `benchmarks.versions` says.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.versions import Versions

MODEL = "linear"


def main(numbers: Sequence[str]) -> None:
    """Register them in this order, so that MLflow's numbers are theirs."""
    import mlflow  # noqa: PLC0415 - slow
    import onnx  # noqa: PLC0415 - as above

    mlflow.set_experiment("linear")
    with tempfile.TemporaryDirectory() as scratch:
        versions = Versions(Path(scratch))
        for number in numbers:
            made = onnx.load(Path(versions.route(int(number)).source, "model.onnx"))
            with mlflow.start_run():
                mlflow.onnx.log_model(
                    made,
                    name="model",
                    registered_model_name=MODEL,
                    pip_requirements=["onnxruntime"],
                )


if __name__ == "__main__":
    main(sys.argv[1:])
