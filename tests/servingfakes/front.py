"""One application that serves a model of each shape, asked in every protocol by the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask

from registry.settings import Settings
from serving.app import create_app
from tests.servingfakes import models
from tests.servingfakes.forecast import prophet_folder
from tests.servingfakes.node import Node
from tests.servingfakes.pictures import image_folder
from tests.servingfakes.served import serve
from tests.servingfakes.versions import folder, mlmodel, route

COLUMNS = [{"name": name, "type": "double"} for name in ("a", "b", "c", "d")]
# What `flowers` answers to these rows.
ROWS = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]
SCORES = [[0.5, 1.0, 1.5, 2.0], [2.5, 3.0, 3.5, 4.0]]
LABELS = [4, 8]


def folders(home: Path) -> dict[str, Path]:
    """A classifier with columns, a tensor, a forecast, texts, pictures."""
    return {
        "colours": image_folder(home / "colours"),
        "flowers": folder(
            home / "flowers", models.classifier(), files={"MLmodel": mlmodel(COLUMNS)}
        ),
        "line": folder(home / "line", models.linear(3)),
        "petr4": prophet_folder(home / "petr4"),
        "text": folder(home / "text", models.text_length()),
    }


def front(home: Path) -> Flask:
    """That application; `flowers` is its default, three rows its limit."""
    serve(home / "var", folders(home))
    settings = {
        "BATON_HOME": str(home / "var"),
        "BATON_DEFAULT_MODEL": "flowers",
        "BATON_MAX_ROWS": "3",
    }
    return create_app(Settings.read(settings))


@contextmanager
def serving_front(home: Path, **environ: str) -> Iterator[Node]:
    """The same models on a real node, until the block ends."""
    node = Node(home / "var", environ={"BATON_DEFAULT_MODEL": "flowers", **environ})
    served = folders(home)
    for name, path in served.items():
        node.promote(route(path), model=name)
    node.start()
    for name in served:
        node.until(
            lambda name=name: node.ask("GET", f"/v2/models/{name}/ready").status == 200, name
        )
    yield node
    node.stop()
