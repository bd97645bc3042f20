"""`shadow`, `split` and `stop` on a real MLflow registry in sqlite, with real ONNX models in it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.integration.commands import MODEL, Registered, Shell
from tests.mlflow_home import MlflowTemplate

PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def registered(
    mlflow_template: MlflowTemplate, tmp_path_factory: pytest.TempPathFactory
) -> Registered:
    """Versions 1 and 2 are fine, 3 fails a gate, 4 does not load."""
    return Registered.make(mlflow_template, tmp_path_factory.mktemp("registered") / "var")


@pytest.fixture
def shell(registered: Registered, tmp_path: Path) -> Shell:
    """A registry of the test's own; v1 serves."""
    made = registered.shell(tmp_path / "var")
    assert made.call("promote", MODEL, "1").code == 0
    return made


def kinds(shell: Shell) -> list[str]:
    """Newest first."""
    entries = shell.call("history", MODEL, "--json").json["entries"]
    return [entry["kind"] for entry in entries]


def test_split_look_stop_and_promote(shell: Shell) -> None:
    sticky = ("--sticky", "header:X-User-Id")
    done = shell.run("split", MODEL, "2", "--percent", "10", *sticky, "--json")
    assert done.code == 0, done.err
    entry = done.json["entry"]
    assert (entry["version"], entry["seq"], entry["kind"]) == (1, "1.2", "split")
    assert (entry["synced"], done.json["report"]["stage"]) == (True, "split")
    arm = entry["arm"]
    assert (arm["version"], arm["percent"], arm["sticky"]) == (2, 10, "header:X-User-Id")
    assert (shell.stages()[1], shell.stages()[2], shell.alias()) == ("Production", "None", 1)
    assert shell.tags(2)["baton.arm"] == arm["text"].removeprefix("v2: ")
    assert arm["text"] in shell.call("status").out
    assert "v1 + v2" in shell.call("history", MODEL).out
    status = shell.call("status", "--json").json["models"][MODEL]
    assert (status["state"], status["mlflow"], status["entry"]["arm"]) == ("ok", "v1", arm)

    again = shell.call("shadow", MODEL, "2", "--percent", "10", "--json")
    assert (again.code, again.json["error"]) == (3, "Refused")
    assert "registry stop" in again.json["message"]

    stopped = shell.call("stop", MODEL, "--reason", "seen enough")
    assert stopped.code == 0, stopped.err
    assert f"{MODEL}: v1 serves alone, as seq 1.3 (seen enough)" in stopped.out
    assert "baton.arm" not in shell.tags(2)
    assert shell.call("stop", MODEL).code == 3

    assert shell.call("split", MODEL, "2", "--percent", "50").code == 0
    assert shell.call("promote", MODEL, "2").code == 0
    assert (shell.stages()[2], shell.alias()) == ("Production", 2)
    assert "baton.arm" not in shell.tags(2)
    assert kinds(shell) == ["promote", "split", "stop", "split", "promote"]


def test_a_version_that_gates_refuse_can_be_a_shadow_and_no_split(shell: Shell) -> None:
    refused = shell.call("split", MODEL, "3", "--percent", "10", "--json")
    assert (refused.code, refused.json["error"]) == (3, "GatesRefused")
    assert "refused" in shell.call("split", MODEL, "3", "--percent", "10").err
    done = shell.call("shadow", MODEL, "3", "--percent", "10")
    assert done.code == 0, done.err
    assert "v3 beside v1: shadow, 10 % of requests, as copies, until" in done.out
    assert shell.call("stop", MODEL).code == 0
    for command in ("shadow", "split"):
        broken = shell.call(command, MODEL, "4", "--percent", "10", "--json")
        assert (broken.code, broken.json["error"]) == (3, "GatesRefused")
    assert kinds(shell) == ["stop", "shadow", "promote"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("split", MODEL, "2", "--percent", "0"), "above 0 and up to 100"),
        (("split", MODEL, "2", "--percent", "5", "--hours", "0"), "up to 720"),
        (("split", MODEL, "2", "--percent", "5", "--sticky", "X-User-Id"), "header:NAME"),
        (("split", MODEL, "9", "--percent", "5"), "unknown version"),
        (("shadow", "tniy", "2", "--percent", "5"), "unknown model"),
        (("stop", "tniy"), "unknown model"),
    ],
)
def test_what_cannot_be_exits_2(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    done = shell.call(*arguments)
    assert done.code == 2
    assert said in done.err
    assert kinds(shell) == ["promote"]


def test_the_registrar_ends_it_at_its_deadline(shell: Shell) -> None:
    assert shell.call("shadow", MODEL, "2", "--percent", "100", "--hours", "0.0005").code == 0
    registrar = shell.start("registrar")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while kinds(shell)[0] != "stop" and time.monotonic() < deadline:
        time.sleep(0.2)
    registrar.send_signal(signal.SIGTERM)
    assert registrar.wait(timeout=PATIENCE_SECONDS) == 0
    head = shell.call("history", MODEL, "--json").json["entries"][0]
    assert (head["kind"], head["door"], head["reason"]) == (
        "stop",
        "registrar",
        "its deadline passed",
    )
    assert head["version"] == 1
