"""A run's working directory: the only way by which one step hands something to the next.

    plan.json       what was asked for     progress.json  which steps are done (progress.py)
    data.parquet    the data as read       dataset.json   its name, source, credit, origin
    train.parquet   holdout.parquet        the two parts of the data
    model/          the fitted model       evaluation.json
    predicted.json  its answers to the hold-out
    artifacts/      what the run shows     bundle/        the version as it will be registered
    pictures/       drawn by a source that draws

It lies under `<home>/runs/<run id>`, stays after a failure and is removed after a success. Steps
that are run on several machines need this directory on a disk that all of them see.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from registry.errors import StepFailed, UsageError
from registry.settings import Settings
from training.data.dataset import Dataset

_ABOUT = ("name", "source", "credit", "origin", "caveat")


@dataclass(frozen=True)
class Workspace:
    """The directory `root` of one run."""

    root: Path

    @classmethod
    def of(cls, settings: Settings, run_id: str) -> Self:
        """That of a run; raises UsageError for what cannot be a run's id."""
        if not re.fullmatch(r"[A-Za-z0-9_-]+", run_id):
            raise UsageError(f"run {run_id!r}: expected a run's id, as MLflow shows it")
        return cls(settings.home / "runs" / run_id)

    def made(self) -> Self:
        """The same, as an empty directory; raises StepFailed if it cannot be made."""
        try:
            self.root.mkdir(parents=True)
        except OSError as error:
            raise StepFailed(f"workspace {self.root}: {error.strerror}") from error
        return self

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process out of it; raises UsageError if one is in there."""
        try:
            lock = (self.root / "lock").open("wb")
        except OSError as error:
            raise UsageError(f"workspace {self.root}: {error.strerror}") from error
        with lock:
            try:
                # The kernel lets go of it when the process ends, however it ends.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"run {self.root.name}: another process works on it") from None
            if os.fstat(lock.fileno()).st_nlink == 0:
                raise UsageError(f"run {self.root.name}: another process has just finished it")
            yield

    @property
    def model(self) -> Path:
        """The fitted model, in its library's own form."""
        return self.root / "model"

    @property
    def artifacts(self) -> Path:
        """Files that are shown with the run, under the same names."""
        return self.root / "artifacts"

    @property
    def pictures(self) -> Path:
        """Where a source that draws its pictures puts them."""
        return self.root / "pictures"

    @property
    def fetched(self) -> Path:
        """Where what was fetched is kept for all runs: beside their directories."""
        return self.root.parents[1] / "data"

    @property
    def bundle(self) -> Path:
        """The version's folder."""
        return self.root / "bundle"

    def fresh(self, folder: Path) -> Path:
        """`folder`, empty; a step that is run again starts over."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def save_dataset(self, data: Dataset) -> None:
        """Keep the data as read."""
        self.save_frame("data", data.frame)
        self.write("dataset.json", {name: getattr(data, name) for name in _ABOUT})

    def dataset(self) -> Dataset:
        """The data as read."""
        return Dataset(frame=self.frame("data"), **self.read("dataset.json"))

    def save_frame(self, name: str, frame: pd.DataFrame) -> None:
        """Keep a frame with its index."""
        self.root.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(self.root / f"{name}.parquet")

    def frame(self, name: str) -> pd.DataFrame:
        """A frame of an earlier step; raises StepFailed if there is none."""
        return pd.read_parquet(self._existing(f"{name}.parquet"))

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep a JSON object, wholly or not at all."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not beside it: what a killed process leaves would be shown, or registered.
        half = self.root / f".{path.name}-{os.getpid()}-{threading.get_ident()}"
        half.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        half.replace(path)

    def read(self, name: str) -> dict[str, Any]:
        """A JSON object of an earlier step; raises StepFailed if there is none."""
        value: dict[str, Any] = json.loads(self._existing(name).read_text(encoding="utf-8"))
        return value

    def has(self, name: str) -> bool:
        """Whether an earlier step left this."""
        return (self.root / name).exists()

    def remove(self) -> None:
        """Delete the directory."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _existing(self, name: str) -> Path:
        path = self.root / name
        if not path.exists():
            raise StepFailed(f"{path}: not there; run the steps before this one first")
        return path
