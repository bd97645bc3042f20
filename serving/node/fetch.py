"""Getting a version's files from where the registry keeps them, by the manifest's list only.

Only files the manifest names are fetched, and of each no more bytes than it says, so nothing extra
can come along. What is in the directory already is continued: an attempt that breaks off costs no
byte twice. What the bytes are is checked afterwards, by the caller, against the manifest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from registry.bundle import Manifest
from registry.errors import BundleInvalid, Unreachable
from serving.node.deadline import Deadline
from serving.node.sources.addresses import Addresses
from serving.node.sources.source import Opened, Source


@dataclass(frozen=True, kw_only=True)
class Fetcher:
    """Fetches whole versions, each within `seconds` of `clock`."""

    addresses: Callable[[str], Source] = field(default_factory=lambda: Addresses().open)
    seconds: float = 600.0
    clock: Callable[[], float] = time.monotonic

    def fetch(
        self,
        source: str,
        manifest: Manifest,
        into: Path,
        *,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Bring every file of `manifest` from `source` into the directory `into`.

        Raises BundleInvalid if a file is not there, longer or shorter; Unreachable if the store is
        not there, refuses or is too slow: then `into` may be given to the next attempt; LostRace
        as soon as `wanted` says no.
        """
        for name in manifest.files:
            relative = PurePosixPath(name)
            if relative.is_absolute() or ".." in relative.parts or not relative.parts:
                raise BundleInvalid(f"{name!r}: a path that leaves the version's directory")
        store = self.addresses(source)
        with Deadline(self.seconds, clock=self.clock, wanted=wanted) as deadline:
            for name, expected in manifest.files.items():
                one = _File(store, name, expected.size, into / name, f"{source}/{name}", deadline)
                one.bring()
                deadline.got_on()


@dataclass(frozen=True)
class _File:
    """One file on its way from `store` to `target`."""

    store: Source
    name: str
    size: int
    target: Path
    address: str
    deadline: Deadline

    def bring(self) -> None:
        """Go on until it is whole; a stream that breaks off is continued while that helps."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        while not self._is_whole():
            before = self._have()
            try:
                self._read_on(before)
            except Unreachable:
                if self._have() <= before:
                    raise

    def _is_whole(self) -> bool:
        return self.target.is_file() and self._have() == self.size

    def _have(self) -> int:
        return self.target.stat().st_size if self.target.is_file() else 0

    def _read_on(self, have: int) -> None:
        opened = self.deadline.wait_for(lambda: self.store.open(self.name, have), self.address)
        try:
            if opened.size is not None and opened.size != self.size:
                raise BundleInvalid(self._differs(f"the store has {opened.size}"))
            if opened.start > have:
                raise BundleInvalid(f"{self.address}: asked from byte {have}, got {opened.start}")
            self._write(opened)
        finally:
            self.deadline.later(opened.pieces.close)

    def _write(self, opened: Opened) -> None:
        with self.target.open("ab") as out:
            out.truncate(opened.start)
            left = self.size - opened.start
            following = partial(next, opened.pieces, b"")
            while piece := self.deadline.wait_for(following, self.address):
                out.write(piece[:left])
                left -= len(piece)
                self.deadline.gained(len(piece))
                if left < 0:
                    raise BundleInvalid(self._differs("more came"))
        if left and opened.size is None:
            raise BundleInvalid(self._differs(f"{self.size - left} came"))
        if left:
            raise Unreachable(f"{self.address}: broke off, {left} of {self.size} bytes missing")

    def _differs(self, got: str) -> str:
        return f"{self.address}: the manifest says {self.size} bytes, {got}"
