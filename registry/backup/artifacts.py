"""The files of runs and versions in a backup: each kept once, by its SHA-256.

A file whose size and stamp are those of an earlier backup is not read again. So a file that rots in
the artifact store stays whole in the backups that were made of it before.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import astuple, dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from registry.backup.place import ARTIFACTS, Item, Place, object_name
from registry.backup.store import Store, Stored, spooled
from registry.ledger import Route

T = TypeVar("T")
_AT_ONCE = 8
NOTE_SECONDS = 15.0


@dataclass
class Kept:
    """What a backup has of the artifacts, while it is made and afterwards."""

    items: dict[str, Item] = field(default_factory=dict)
    read: int = 0
    read_bytes: int = 0

    @property
    def size(self) -> int:
        """Of all files."""
        return sum(item.size for item in self.items.values())

    def listing(self) -> bytes:
        """A line for each file, by name."""
        lines = [json.dumps(astuple(item)) for _, item in sorted(self.items.items())]
        return "".join(f"{line}\n" for line in lines).encode()

    def to_json(self) -> dict[str, Any]:
        """As it stands in `backup.json`."""
        own = {"files": len(self.items), "bytes": self.size}
        return {**own, "read_files": self.read, "read_bytes": self.read_bytes}


def keep(source: Store, place: Place, backup: str, *, note_seconds: float = NOTE_SECONDS) -> Kept:
    """Copy every file of `source` that `place` does not have; notes how far it is as it goes."""
    known = {item.name: item for name in _earlier(place) for item in place.items(name)}
    objects, scratch, kept = place.objects(), place.store.scratch, Kept()
    noted = time.monotonic()

    def one(found: Stored) -> Item | None:
        before = known.get(found.name)
        if before and before.sha256 in objects and _same(before, found):
            return before
        try:
            with spooled(source, found.name, scratch) as spool:
                if spool.sha256 not in objects:
                    place.store.write(object_name(spool.sha256), spool.file)
                objects.add(spool.sha256)
                return Item(found.name, spool.size, found.stamp, spool.sha256)
        except FileNotFoundError:
            return None  # deleted since it was listed: as if the backup had begun a moment later

    for item in _together(one, source.files()):
        if item is None:
            continue
        kept.items[item.name] = item
        if known.get(item.name) is not item:
            kept.read, kept.read_bytes = kept.read + 1, kept.read_bytes + item.size
        if time.monotonic() - noted > note_seconds:
            _note(place, backup, kept)
            noted = time.monotonic()
    _note(place, backup, kept)
    return kept


def bring(place: Place, items: Sequence[Item], target: Store | None) -> Mapping[str, str]:
    """Copy files to `target`, or only read them; returns what cannot be had, and why.

    A file that is there with these bytes already is left alone.
    """
    there = {found.name: found.size for found in target.files()} if target else {}

    def one(item: Item) -> tuple[str, str]:
        scratch = target.scratch if target else None
        try:
            if target and there.get(item.name) == item.size:
                with spooled(target, item.name, scratch) as spool:
                    if spool.sha256 == item.sha256:
                        return item.name, ""
            with spooled(place.store, object_name(item.sha256), scratch) as spool:
                if spool.sha256 != item.sha256:
                    return item.name, f"damaged in the backup: its sha256 is {spool.sha256[:12]}"
                if target:
                    target.write(item.name, spool.file)
        except FileNotFoundError:
            return item.name, f"missing in the backup: object {item.sha256[:12]}"
        return item.name, ""

    return {name: why for name, why in _together(one, iter(items)) if why}


def faults(
    named: Iterable[tuple[str, Route]],
    heads: Mapping[str, Route],
    items: Mapping[str, Item],
    root: str,
) -> tuple[list[str], list[str]]:
    """What is wrong with the versions that a ledger names, and what is merely no longer there.

    Wrong is a file with other bytes than were judged, and any file missing of what serves.
    """
    wrong, gone = [], []
    for model, route in named:
        serves = model in heads and heads[model] == route
        below = relative(route.source, root)
        who = f"{model} v{route.version}{' (in Production)' if serves else ''}"
        if below is None:
            gone.append(f"{who}: kept at {route.source}, outside {root}: not in the backup")
            continue
        missing = []
        for name, expected in route.manifest.files.items():
            item = items.get(f"{below}/{name}".lstrip("/"))
            if item is None:
                missing.append(name)
            elif item.sha256 != expected.sha256:
                wrong.append(
                    f"{who}: {name}: expected sha256 {expected.sha256[:12]}, got "
                    f"{item.sha256[:12]}: its bytes are not those that were judged"
                )
        if missing:
            lost = wrong if serves else gone
            lost.append(f"{who}: missing at {route.source}: {', '.join(missing)}")
    return wrong, gone


def relative(source: str, root: str) -> str | None:
    """Where in the artifact store at `root` an address lies; None if it is elsewhere."""
    if source.startswith("mlflow-artifacts:/"):  # of the server whose store this is
        return unquote(urlsplit(source).path).strip("/")
    if source.startswith("file:/"):
        source = unquote(urlsplit(source).path)
    top = root.rstrip("/")
    if source.rstrip("/") == top:
        return ""
    return source.removeprefix(f"{top}/").strip("/") if source.startswith(f"{top}/") else None


def _earlier(place: Place) -> list[str]:
    """Where to look for what was read before, oldest first: what broke off, the newest whole."""
    return sorted([*place.broken(), *(one.id for one in place.backups()[:1])])


def _same(before: Item, found: Stored) -> bool:
    return (before.size, before.stamp) == (found.size, found.stamp)


def _note(place: Place, backup: str, kept: Kept) -> None:
    """Write down every file so far; an interrupted backup is gone on with from here."""
    place.put(backup, ARTIFACTS, io.BytesIO(kept.listing()))


def _together(work: Callable[[Any], T], things: Iterator[Any]) -> Iterator[T]:
    """Do this to all of them, some at a time; the first error ends it."""
    with ThreadPoolExecutor(_AT_ONCE, "artifacts") as pool:
        waiting: set[Future[T]] = set()
        try:
            for thing in things:
                waiting.add(pool.submit(work, thing))
                if len(waiting) >= 4 * _AT_ONCE:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (one.result() for one in done)
            for one in waiting:
                yield one.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
