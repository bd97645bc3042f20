"""Clients of all kinds at a node: who are answered, who err, who are in a hurry."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from registry.bundle import Golden
from tests.servingfakes import models
from tests.servingfakes.node import Node
from tests.servingfakes.versions import batched, folder, route

_WIDE = [0.1, 0.2, 0.3, 0.4]
_PAUSE_SECONDS = 0.1


def reciprocal() -> bytes:
    """`1 / x`: well in its trial, infinite for a client's 0."""
    return models.graph(
        [helper.make_node("Div", ["one", "x"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", 1])],
        [("y", TensorProto.FLOAT, ["n", 1])],
        {"one": np.float32([1.0])},
    )


def promote_all(node: Node, root: Path) -> None:
    """A model that is swapped, one with joint calls, and one that fails now and then."""
    wide = Golden(({"request": {"instances": [_WIDE, [1.0] * 4]}, "response": {}},))
    narrow = Golden(({"request": {"instances": [[1.0]]}, "response": {}},))
    joint = folder(root / "joint", models.dense(8), files=batched(8, wide))
    node.promote(route(joint), model="joint")
    node.promote(route(folder(root / "failing", reciprocal()), golden=narrow), model="failing")
    node.promote(route(folder(root / "v1", models.linear(1)), 1))


class Traffic:
    """Asks all the time while it runs; `seen` counts what came back, by kind and status."""

    def __init__(self, node: Node, key: str) -> None:
        self._node, self._headers = node, {"Authorization": f"Bearer {key}"}
        self._over = threading.Event()
        self.seen: Counter[tuple[str, int]] = Counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="traffic")
        thread.start()
        yield
        self._over.set()
        thread.join(30)

    def once(self) -> None:
        """One request of each kind."""
        hurry = {**self._headers, "X-Request-Timeout-Ms": "0"}
        rows = {"instances": [_WIDE]}
        for what, path, body, headers in (
            ("answered", "/models/iris/predict", {"instances": [[1.0], [2.0]]}, self._headers),
            ("joint", "/models/joint/predict", rows, self._headers),
            ("malformed", "/models/iris/predict", {}, self._headers),
            ("unknown", "/models/nobody/predict", rows, self._headers),
            ("failed", "/models/failing/predict", {"instances": [[0.0]]}, self._headers),
            ("hurried", "/models/joint/predict", rows, hurry),
        ):
            status = self._node.ask("POST", path, body, headers=headers).status
            self.seen[what, status] += 1

    def _run(self) -> None:
        while not self._over.wait(_PAUSE_SECONDS):
            self.once()
