"""A clinic with a camera: labelled pictures in a folder, and a client that asks about others.

The pictures are drawn by the shipped command: the same eyes for the same seed, by either camera.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from registry.process import die_with_parent
from tests.servingfakes.node import ROOT, Node
from training.images.camera import CAMERAS

USUAL, OTHER = CAMERAS
SIZE = 48
_TOGETHER = 8  # pictures a request
_PAUSE_SECONDS = 0.25


@dataclass(frozen=True)
class Drawing:
    """Pictures that are being drawn into a folder, a directory a class."""

    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def begin(cls, folder: Path, camera: str, *, each: int, seed: int) -> Drawing:
        """So many of each class; `done` waits for them."""
        options = {"--each": each, "--size": SIZE, "--seed": seed, "--camera": camera}
        process = subprocess.Popen(
            [sys.executable, "-m", "training.images", str(folder)]
            + [str(word) for pair in options.items() for word in pair],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads yet
        )
        return cls(folder, process)

    def done(self) -> Path:
        """The folder, once all of them are in it."""
        _, said = self.process.communicate(timeout=600)
        assert self.process.returncode == 0, said.decode()
        return self.folder

    def bodies(self) -> list[bytes]:
        """Requests that ask about all of them, each class in turn, some pictures at a time."""
        paths = sorted(self.done().glob("*/*.png"), key=lambda path: path.name)
        cells = [{"b64": base64.b64encode(path.read_bytes()).decode()} for path in paths]
        parts = range(0, len(cells), _TOGETHER)
        return [json.dumps({"instances": cells[at : at + _TOGETHER]}).encode() for at in parts]


@dataclass
class Client:
    """Asks a node about some pictures after others, until it is told to stop."""

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
