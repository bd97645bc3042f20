"""A store in a directory of this machine, or of a share it has mounted."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

from registry.backup.store import PIECE_BYTES, Stored
from registry.errors import SettingsError, StepFailed
from registry.process import write_out

_INCOMING = ".baton-incoming"


class Directory:
    """Everything below `root` but links, special files and empty folders."""

    def __init__(self, root: Path, *, what: str) -> None:
        """`root` is absolute; it is made when something is written."""
        self._root, self._what = root, what

    @property
    def address(self) -> str:
        """See `Store.address`."""
        return str(self._root)

    @property
    def scratch(self) -> Path:
        """On the disk that the files will lie on."""
        folder = self._root / _INCOMING
        with self._tell(""):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def look(self) -> None:
        """See `Store.look`."""
        if not self._root.is_dir():
            raise SettingsError(f"{self._what}: {self._root} is no directory")
        with self._tell(""):
            next(self._root.iterdir(), None)

    def files(self, below: str = "") -> Iterator[Stored]:
        """See `Store.files`."""
        top = self._root / below
        for folder, folders, names in os.walk(top, onerror=self._raise):
            if _INCOMING in folders:
                folders.remove(_INCOMING)
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                with suppress(FileNotFoundError), self._tell(name):
                    found = path.lstat()
                    if stat.S_ISREG(found.st_mode):
                        yield Stored(
                            path.relative_to(self._root).as_posix(),
                            found.st_size,
                            f"{found.st_ino}-{found.st_mtime_ns}-{found.st_ctime_ns}",
                        )

    @contextmanager
    def read(self, name: str) -> Iterator[IO[bytes]]:
        """See `Store.read`."""
        with self._tell(name), self._path(name).open("rb") as file:
            yield file

    def write(self, name: str, source: IO[bytes]) -> None:
        """See `Store.write`."""
        path, scratch = self._path(name), self.scratch
        with self._tell(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            part = scratch / uuid.uuid4().hex
            try:
                with part.open("xb") as file:
                    shutil.copyfileobj(source, file, PIECE_BYTES)
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def delete(self, name: str) -> None:
        """See `Store.delete`; a folder that is left empty goes too."""
        path = self._path(name)
        with self._tell(name):
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()

    def settle(self) -> None:
        """See `Store.settle`; also forgets what an interrupted write left."""
        shutil.rmtree(self._root / _INCOMING, ignore_errors=True)
        if self._root.is_dir():
            with self._tell(""):
                write_out(self._root)

    def _path(self, name: str) -> Path:
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise StepFailed(f"{self._what}: {name!r} would lie outside {self._root}")
        return self._root / relative

    @contextmanager
    def _tell(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            self._raise(error, name)

    def _raise(self, error: OSError, name: str = "") -> None:
        if isinstance(error, FileNotFoundError):
            return
        where = self._root / name if name else self._root
        raise StepFailed(f"{self._what}: {where}: {error.strerror or error}") from error
