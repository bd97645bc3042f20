"""How our processes make the libraries in them behave: quick to give up, quiet, nobody told of it.

Imports none of them: it is called before MLflow or ONNX Runtime is imported, since both read their
settings then.
"""

from __future__ import annotations

import os

# MLflow's own defaults retry for minutes. Both report to their makers, ONNX Runtime (since 1.29, on
# Linux too) each model that is loaded; a person's setting still wins.
_MANNERS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}


def mind_manners() -> None:
    """Set how libraries behave in this process, where the environment does not say."""
    for name, value in _MANNERS.items():
        os.environ.setdefault(name, value)
