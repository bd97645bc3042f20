"""The node store: verified versions on disk, by digest. The only writer of that directory.

A version appears whole or not at all: it is made in a scratch directory and renamed into place.
What a fetch that broke off left is kept for its next attempt while the version is wanted, for a few
versions at a time. What a crash left half-made is removed at the next start.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.bundle import Manifest
from registry.errors import BundleInvalid, Unreachable
from serving.stored import manifest_of, root_of

_SCRATCH = "incoming-"
_MOST_PARTS = 3


class NodeStore:
    """Versions of any model; the same bytes are stored once."""

    def __init__(self, path: Path) -> None:
        """Make the directory; remove what an interrupted fetch left there."""
        self._path = path
        self._parts: set[str] = set()
        path.mkdir(parents=True, exist_ok=True)
        for left in path.glob(f"{_SCRATCH}*"):
            shutil.rmtree(left, ignore_errors=True)

    def holds(self, digest: str) -> bool:
        """Whether the version is here, with every byte as its manifest says."""
        try:
            manifest_of(self._path, digest).verify(root_of(self._path, digest))
        except BundleInvalid:
            return False
        return True

    @contextmanager
    def incoming(self, digest: str) -> Iterator[Path]:
        """A scratch directory whose `files/` can be filled, then given to `keep`.

        It stays for the next attempt if the store of the files was Unreachable, and else goes.
        """
        scratch = self._path / f"{_SCRATCH}{digest}"
        self._parts.add(digest)
        (scratch / "files").mkdir(parents=True, exist_ok=True)
        try:
            yield scratch
        except Unreachable:
            raise
        except BaseException:
            self._forget(scratch, digest)
            raise
        self._forget(scratch, digest)

    def _forget(self, scratch: Path, digest: str) -> None:
        shutil.rmtree(scratch, ignore_errors=True)
        self._parts.discard(digest)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Have an OSError of a write, which names no file, say whose disk it is."""
        try:
            yield
        except OSError as error:
            if error.filename is not None:
                raise
            what = f"node store: {error.strerror}"
            raise OSError(error.errno, what, str(self._path)) from error

    def forget_parts(self, wanted: Collection[str], *, busy: Collection[str] = ()) -> None:
        """Remove what broke off and is not wanted, and of the rest all but the newest few.

        What is `busy` is being filled at this moment and stays.
        """
        idle = {digest: self._path / f"{_SCRATCH}{digest}" for digest in self._parts - set(busy)}
        newest = sorted(idle, key=lambda digest: _age_order(idle[digest]), reverse=True)
        kept = [digest for digest in newest if digest in wanted][:_MOST_PARTS]
        for digest, path in idle.items():
            if digest not in kept:
                self._forget(path, digest)

    def keep(self, scratch: Path, manifest: Manifest, *, resident_mb: float | None = None) -> None:
        """Move a verified scratch directory to its place, in place of a damaged one.

        `resident_mb` is what its trial measured that it takes once loaded.
        """
        (scratch / "manifest.json").write_text(json.dumps(manifest.to_json()), encoding="utf-8")
        measured = json.dumps({"resident_mb": resident_mb})
        (scratch / "trial.json").write_text(measured, encoding="utf-8")
        _to_disk(scratch)
        target = self._path / manifest.digest
        if target.exists():
            broken = scratch.with_name(f"{_SCRATCH}broken-{manifest.digest[:12]}")
            target.rename(broken)
            shutil.rmtree(broken, ignore_errors=True)
        scratch.rename(target)
        _sync(self._path)

    def prune(self, keep: Collection[str], *, most: int) -> None:
        """Remove the versions used longest ago beyond `most`; those in `keep` always stay."""
        room = max(0, most - len(keep))
        names = set(self._names()) - set(keep)
        others = [self._path / name for name in names if not name.startswith(_SCRATCH)]
        if len(others) <= room:  # with a thousand models, most often
            return
        for path in sorted(others, key=_age_order, reverse=True)[room:]:
            shutil.rmtree(path, ignore_errors=True)

    def _names(self) -> list[str]:
        """What is there: names only, since there may be thousands and it is asked at each swap."""
        return os.listdir(self._path)  # noqa: PTH208 - a Path each would cost more than the rest


def _age_order(path: Path) -> float:
    """When something was last put there; it may be gone by now."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _to_disk(directory: Path) -> None:
    """Flush all below `directory`, so that the rename never shows empty files."""
    for path in (*directory.rglob("*"), directory):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
