"""One application with models of pictures, asked in every protocol by the tests."""

from __future__ import annotations

from pathlib import Path

from flask import Flask

from registry.settings import Settings
from serving.app import create_app
from tests.servingfakes import models
from tests.servingfakes.pictures import RED, b64, image_folder, picture
from tests.servingfakes.served import serve
from tests.servingfakes.versions import folder


def picture_front(home: Path) -> Flask:
    """An application with models of pictures, and one of numbers, within small limits."""
    golden = {
        "examples": [
            {
                "request": {"image": b64(picture(RED))},
                "response": {"predictions": [{"label": "red"}]},
            }
        ],
        "rtol": 1e-5,
        "atol": 1e-5,
    }
    folders = {
        "colours": image_folder(home / "colours", golden=golden),
        "line": folder(home / "line", models.linear(3)),
        "logits": image_folder(home / "planar", models.colours(("n", 3, 8, 8), element=1)),
    }
    serve(home / "var", folders)
    given = {
        "BATON_HOME": str(home / "var"),
        "BATON_DEFAULT_MODEL": "colours",
        "BATON_MAX_ROWS": "3",
        "BATON_MAX_PIXELS": "1000",
        "BATON_MAX_BODY_BYTES": "100000",
    }
    return create_app(Settings.read(given))
