"""Pictures in a folder: one directory a class, as data sets of pictures are usually handed out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from registry.errors import DataInvalid, UsageError
from training.data.dataset import LABEL, PICTURE, Dataset, Field, select
from training.images import pictures

CAVEAT_FILE = ".caveat"


@dataclass(frozen=True)
class Folder:
    """`path/<class>/<picture>`; hidden files are left out, anything else has to be a picture.

    A hidden file `.caveat` beside the classes holds the data set's caveat, if it has one.
    """

    path: Path
    name: str = "folder"

    def check(self, series: str) -> None:  # noqa: ARG002 - the port's signature
        """Raise UsageError if there is no directory; any name for its content will do."""
        if not self.path.is_dir():
            raise UsageError(
                f"folder {self.path}: there is no such directory; expected one with a directory "
                "of pictures a class"
            )

    def load(self, series: str, fields: Sequence[Field]) -> Dataset:
        """Every picture with its class, rows named by path.

        Raises DataInvalid naming the file: not a picture, cut off, too large, of an unknown class.
        """
        found = self._found()
        frame = pd.DataFrame(
            {
                PICTURE: [str(path) for path in found],
                LABEL: [path.parent.name for path in found],
            },
            index=[str(path.relative_to(self.path.resolve())) for path in found],
        )
        selected = select(frame, fields, origin=f"folder {self.path.name}")
        for path in found:
            pictures.check(str(path))
        note = self.path / CAVEAT_FILE
        caveat = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
        name = series or self.path.name
        return Dataset(
            frame=selected,
            name=f"{name} ({caveat})" if caveat else name,
            source=self.name,
            credit=f"folder {self.path.name}",
            origin=f"folder {self.path.name}",
            caveat=caveat,
        )

    def _found(self) -> list[Path]:
        """All files of all classes, sorted."""
        classes = [path for path in self._inside(self.path.resolve()) if path.is_dir()]
        found = [path for one in classes for path in self._inside(one)]
        if not found:
            raise DataInvalid(f"{self.path}: no picture; expected a directory of pictures a class")
        for path in found:
            if not path.is_file():
                raise DataInvalid(f"{path}: expected a picture, got no plain file")
        return found

    @staticmethod
    def _inside(folder: Path) -> list[Path]:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
