"""Optuna behind one noun: proposals for parameters, kept in a file so that a study can go on.

The only file that imports it, which takes half a second. Proposals come from a tree of Parzen
estimators (Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011). The first is what
the caller starts from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from registry.errors import StepFailed, UsageError
from training.parameter import Parameter, Range, Value, Values

if TYPE_CHECKING:
    import optuna

SUFFIX = ".journal"
# Told the number of a trial and its parameters; says how good they are, or raises StepFailed.
Judge = Callable[[int, Values], float]
# Told the number of a trial and its value, None for one that failed.
OnTrial = Callable[[int, float | None], None]


@dataclass(frozen=True)
class Study:
    """The study that one file keeps. Several processes may go on with it at once."""

    inner: optuna.Study
    free: tuple[Parameter, ...]

    @classmethod
    def open(
        cls, file: Path, free: Sequence[Parameter], *, greater_is_better: bool, seed: int
    ) -> Self:
        """The study of `file`, begun if missing, which searches for the parameters `free`."""
        import optuna  # noqa: PLC0415 - see the module's docstring
        from optuna.storages import JournalStorage  # noqa: PLC0415 - as above
        from optuna.storages.journal import JournalFileBackend  # noqa: PLC0415 - as above

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        file.parent.mkdir(parents=True, exist_ok=True)
        inner = optuna.create_study(
            study_name=file.name.removesuffix(SUFFIX),
            storage=JournalStorage(JournalFileBackend(str(file))),
            direction="maximize" if greater_is_better else "minimize",
            load_if_exists=True,
        )
        # One that goes on must not propose again what it proposed first.
        inner.sampler = optuna.samplers.TPESampler(seed=seed + len(inner.trials))
        return cls(inner, tuple(free))

    @property
    def name(self) -> str:
        """Its name, which is its file's."""
        return str(self.inner.study_name)

    def agree(self, asked: Mapping[str, Any]) -> None:
        """Raise UsageError if it was begun with something else: its trials would not compare."""
        before = self.inner.user_attrs.get("asked", asked)
        for what, value in asked.items():
            if before[what] != value:
                raise UsageError(
                    f"study {self.name!r}: was begun with {what} {before[what]}, now it is "
                    f"{value}; give this one another name"
                )
        self.inner.set_user_attr("asked", dict(asked))

    @property
    def run_id(self) -> str | None:
        """The MLflow run it belongs to, once it was told."""
        return self.inner.user_attrs.get("run_id")

    def belongs_to(self, run_id: str) -> None:
        """Remember its MLflow run."""
        self.inner.set_user_attr("run_id", run_id)

    def optimise(
        self,
        judge: Judge,
        start: Values,
        *,
        trials: int,
        seconds: float | None,
        on_trial: OnTrial,
    ) -> None:
        """Go on until there were `trials` in all, or begin no more after `seconds`.

        What a crash left behind does not count. Raises StepFailed if none of all succeeded.
        """
        self.inner.enqueue_trial({p.name: start[p.name] for p in self.free}, skip_if_exists=True)
        missing = trials - sum(one.state.is_finished() for one in self.inner.trials)

        def objective(trial: optuna.Trial) -> float:
            return judge(trial.number, {p.name: _propose(trial, p) for p in self.free})

        if missing > 0:
            self.inner.optimize(
                objective,
                n_trials=missing,
                timeout=seconds,
                catch=(StepFailed,),
                callbacks=[lambda _, trial: on_trial(trial.number, trial.value)],
            )
        if not self.values:
            raise StepFailed(
                f"study {self.name!r}: none of {self.trials} trials succeeded; the runs below its "
                "run say why"
            )

    @property
    def trials(self) -> int:
        """How many there were, those that failed included."""
        return len(self.inner.trials)

    @property
    def failed(self) -> int:
        """How many failed."""
        return sum(one.state.name == "FAIL" for one in self.inner.trials)

    @property
    def values(self) -> Mapping[int, float]:
        """The value of each trial that has one, by its number."""
        return {one.number: one.value for one in self.inner.trials if one.value is not None}

    @property
    def best(self) -> tuple[float, Values]:
        """The best value, and the parameters that it is of."""
        found = self.inner.best_trial
        return self.values[found.number], {p.name: p.parse(found.params[p.name]) for p in self.free}

    @property
    def importances(self) -> Mapping[str, float]:
        """How much of the value's variance each parameter explains; empty where there is none."""
        import optuna  # noqa: PLC0415 - see the module's docstring

        if len({*self.values.values()}) == 1:
            return {}
        return dict(optuna.importance.get_param_importances(self.inner))

    @property
    def table(self) -> pd.DataFrame:
        """A row for each trial: number, value, parameters, state."""
        frame: pd.DataFrame = self.inner.trials_dataframe(
            attrs=("number", "value", "params", "state")
        )
        return frame


def _propose(trial: optuna.Trial, wanted: Parameter) -> Value:
    """A value of a parameter, from what its search allows."""
    name, allowed = wanted.name, wanted.search
    if not isinstance(allowed, Range):
        return str(trial.suggest_categorical(name, allowed or ()))
    if isinstance(wanted.default, int):
        return trial.suggest_int(name, int(allowed.low), int(allowed.high), log=allowed.log)
    return trial.suggest_float(name, allowed.low, allowed.high, log=allowed.log)
