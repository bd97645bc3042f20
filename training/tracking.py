"""MLflow, as training sees it: the only file of this package that imports it.

For people's own scripts:

    from training.tracking import setup_tracking, track_experiment

    @track_experiment("my-prices")
    def train(*, depth: int = 3) -> dict[str, float]:
        ...
        return {"rmse": 0.4}

For the pipeline: `Tracking` are the configured stores, `save_model` writes MLflow's model folder;
the run itself is `tracked_run.py`. mlflow is imported on first use: that takes over a second.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pandas as pd
from numpy.typing import NDArray

from registry.client import reaching
from registry.errors import UsageError
from registry.first_contact import connect_once
from registry.manners import mind_manners
from registry.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

# The name of a run's model, and of the folder that shows it among the run's artifacts.
MODEL = "model"
_SCRIPTS = "scripts"
_MAX_PARAM = 6000
_PLAIN = (bool, int, float, str, Path, list, tuple, dict, type(None))


def setup_tracking(settings: Settings | None = None, *, experiment: str | None = None) -> str:
    """Point MLflow at the configured stores; returns the id of `experiment`, made if missing.

    Without `experiment`: MLFLOW_EXPERIMENT_NAME, else "scripts". `mlflow.start_run()` and all that
    follows then goes there. Raises Unreachable or UsageError.
    """
    settings = settings or Settings.read()
    stores = Tracking(settings)
    found = stores.experiment(experiment or settings.experiment_name or _SCRIPTS)
    with reaching(settings.tracking_uri):
        stores.mlflow.set_experiment(experiment_id=found)
    return found


def track_experiment(
    experiment: str | None = None,
    *,
    run_name: str | None = None,
    settings: Settings | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make each call of a function one MLflow run.

    Its arguments, defaults included, become parameters; the numbers of a returned mapping become
    metrics; an exception marks the run FAILED and goes on to the caller.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def tracked(*args: P.args, **kwargs: P.kwargs) -> R:
            resolved = settings or Settings.read()
            setup_tracking(resolved, experiment=experiment)
            mlflow = _mlflow()
            with mlflow.start_run(run_name=run_name or function.__name__):
                mlflow.set_tag("environment", resolved.environment)
                mlflow.log_params(_arguments(inspect.signature(function), args, kwargs))
                result = function(*args, **kwargs)
                mlflow.log_metrics(_numbers(result))
                return result

        return tracked

    return decorate


def save_model(
    flavour: str,
    model: Any,
    folder: Path,
    *,
    run_id: str,
    example: pd.DataFrame | NDArray[Any],
    answer: Any,
    requirements: Sequence[str],
    **options: Any,
) -> None:
    """Write MLflow's model folder: `flavour` is sklearn, prophet, …; `folder` must be empty.

    `example` (a table or an array) and the model's `answer` to it give the signature and the input
    example; the requirements are stated, since guessing them takes MLflow half a minute.
    """
    models = _mlflow().models
    importlib.import_module(f"mlflow.{flavour}").save_model(
        model,
        path=str(folder),
        mlflow_model=models.Model(run_id=run_id, artifact_path=MODEL),
        signature=infer_signature(example, answer),
        input_example=example,
        pip_requirements=[*requirements],
        **options,
    )


def load_model(flavour: str, folder: Path, **options: Any) -> Any:
    """The reverse of `save_model`, for a folder of anybody: it may execute what is in it."""
    return importlib.import_module(f"mlflow.{flavour}").load_model(str(folder), **options)


def infer_signature(example: pd.DataFrame | NDArray[Any], answer: Any = None) -> Any:
    """MLflow's signature of `example`, without its lecture on whole numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _mlflow().models.infer_signature(example, answer)


@dataclass(frozen=True)
class Tracking:
    """The configured MLflow stores. Making one points this process's MLflow at them."""

    settings: Settings

    def __post_init__(self) -> None:
        """Set MLflow's URIs: its registry asks for them even where a client brings its own."""
        mind_manners()
        for uri in (self.settings.tracking_uri, self.settings.registry_uri):
            if uri.startswith("sqlite:///"):
                Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self.mlflow.set_tracking_uri(self.settings.tracking_uri)
        self.mlflow.set_registry_uri(self.settings.registry_uri)

    @property
    def mlflow(self) -> Any:
        """The library."""
        return _mlflow()

    @functools.cached_property
    def client(self) -> Any:
        """MLflow's client of these stores."""
        with reaching(self.settings.tracking_uri):
            connect_once(self.settings.tracking_uri)
            return self.mlflow.MlflowClient(self.settings.tracking_uri, self.settings.registry_uri)

    def experiment(self, name: str) -> str:
        """The id of an experiment, made if missing; embedded ones keep files under BATON_HOME."""
        with reaching(self.settings.tracking_uri):
            found = self.client.get_experiment_by_name(name) or self._create(name)
        if found.lifecycle_stage == "deleted":
            raise UsageError(
                f"experiment {name!r}: deleted in MLflow; restore it there "
                f"(mlflow experiments restore -x {found.experiment_id}) or use another name"
            )
        return str(found.experiment_id)

    def _create(self, name: str) -> Any:
        """Make an experiment; another process may have done so in between."""
        location = None
        if self.settings.tracking_uri.startswith("sqlite"):
            folder = re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".") or "experiment"
            location = (self.settings.artifacts_dir / folder).as_uri()
        self.unless_there(self.client.create_experiment, name, artifact_location=location)
        return self.client.get_experiment_by_name(name)

    def unless_there(self, create: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Call `create`; that somebody else was quicker is fine."""
        try:
            create(*args, **kwargs)
        except self.mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _mlflow() -> Any:
    """The library, imported on first use."""
    import mlflow  # noqa: PLC0415 - see the module's docstring

    return mlflow


def _arguments(
    signature: inspect.Signature, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> dict[str, str]:
    """The arguments of a call that can be shown as text."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    given = dict(bound.arguments)
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            given |= given.pop(parameter.name)
    return {k: str(v)[:_MAX_PARAM] for k, v in given.items() if isinstance(v, _PLAIN)}


def _numbers(result: object) -> dict[str, float]:
    """The numbers of a returned mapping, NumPy's included."""
    found = result.items() if isinstance(result, Mapping) else ()
    return {str(k): float(v) for k, v in found if hasattr(v, "__float__") and not callable(v)}
