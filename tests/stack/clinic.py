"""A clinic with a camera: labelled pictures in a folder, and a client that asks about others.

The pictures are drawn (training/images): the same eyes for the same seed, whichever camera.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from tests.servingfakes.node import Node
from training.data.folder import CAVEAT_FILE
from training.data.fundus import CAVEAT
from training.images.anatomy import CLASSES
from training.images.camera import CAMERAS
from training.images.pictures import encode
from training.images.retina import draw

USUAL, OTHER = CAMERAS
SIZE = 48
_TOGETHER = 8  # pictures a request
_PAUSE_SECONDS = 0.25


def drawn(camera: str, number: int, *, seed: int) -> list[bytes]:
    """So many pictures as PNG, each class in turn."""
    one = partial(_png, camera, seed)
    with ProcessPoolExecutor(2) as drawing:
        return [*drawing.map(one, range(number), chunksize=40)]


def _png(camera: str, seed: int, number: int) -> bytes:
    label = CLASSES[number % len(CLASSES)]
    return encode(draw((seed, number), label, size=SIZE, camera=camera)[0])


def label(folder: Path, pictures: list[bytes]) -> None:
    """Put pictures, with their labels, in the place of those that are in a folder."""
    fresh = folder.with_name(f".{folder.name}")
    for number, data in enumerate(pictures):
        path = fresh / CLASSES[number % len(CLASSES)] / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (fresh / CAVEAT_FILE).write_text(CAVEAT, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def bodies(pictures: list[bytes]) -> list[bytes]:
    """Requests that ask about all of them, some at a time."""
    texts = [base64.b64encode(data).decode() for data in pictures]
    parts = range(0, len(texts), _TOGETHER)
    return [
        json.dumps({"instances": [{"b64": text} for text in texts[at : at + _TOGETHER]]}).encode()
        for at in parts
    ]


@dataclass
class Client:
    """Asks a node about one picture after the other, until it is told to stop."""

    node: Node
    model: str
    asked: list[bytes]
    answered: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask; `answered` counts pictures by the version that answered."""
        for number in count():
            if self._stop.wait(_PAUSE_SECONDS):
                return
            asked = self.asked  # all of them change at once
            try:
                reply = self.node.ask(
                    "POST", f"/models/{self.model}/predict", asked[number % len(asked)]
                )
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                continue
            if reply.status == 200:
                self.answered[reply.json["version"]] += len(reply.json["predictions"])
            else:
                self.failed.append(f"{reply.status}: {reply.body[:200]!r}")

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """In a thread, while the block lasts."""
        thread = threading.Thread(target=self.run, name="client")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(60)
