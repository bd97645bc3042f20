"""`make smoke`, of a real app: what it reads of a node's answers is what nodes answer."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask

from infra.smoke import Stack, checks
from registry.settings import Settings
from serving.app import create_app
from serving.keys import KeyFile, Scope
from tests.servingfakes.front import folders
from tests.servingfakes.served import serve

MODELS = "the key of clients is known"


@dataclass(frozen=True)
class Node(Stack):
    """A node that is asked without a network."""

    app: Flask

    def ask(self, port: int, path: str, *, has_key: bool = False) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {self.key}"} if has_key else {}
        answer = self.app.test_client().get(path, headers=headers)
        return answer.status_code, answer.text


def test_a_node_that_serves_is_well_and_its_models_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "var"
    key = KeyFile(home / "keys.json").add("client", [Scope.PREDICT])
    serve(home, folders(tmp_path))
    environ = {"BATON_HOME": str(home), "BATON_API_KEYS": str(home / "keys.json")}
    app, trust = create_app(Settings.read(environ)), ssl.create_default_context()
    look = dict(checks(Node("localhost", 1, 2, 3, 4, trust, key, app)))
    asked = MODELS, "a node answers, over TLS", "nobody asks without a key"
    assert {what: look[what]() for what in asked} == dict.fromkeys(asked, "")
    assert "serves colours, flowers" in capsys.readouterr().out
    stranger = Node("localhost", 1, 2, 3, 4, trust, "nobody", app)
    assert dict(checks(stranger))[MODELS]() == "expected 200, got 401"
