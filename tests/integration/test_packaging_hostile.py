"""Versions that must not be converted: what their code does ends in the sandbox, with a reason."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from registry.errors import NotPackaged
from tests.integration.test_confinement import gone
from tests.servingfakes import models
from tests.servingfakes.pickles import running
from training.packaging.convert import Answered, check
from training.packaging.keras_version import _cause as unknown_to_keras
from training.packaging.sandbox import Sandbox, answer_in

LIMITS = Sandbox(python=Path(sys.executable), seconds=120, memory_mb=4096)
MARKER = "marker"
# Tries everything, and writes down in its room what became of each.
_TRIES = """
import json, os, pathlib, socket, subprocess, sys, time
became = {{}}
def tried(name, deed):
    try:
        became[name] = repr(deed())
    except BaseException as error:
        became[name] = type(error).__name__
tried("marker", lambda: pathlib.Path({marker!r}).touch())
tried("connect", lambda: socket.create_connection(("127.0.0.1", {port}), timeout=5))
tried("secret", lambda: pathlib.Path({secret!r}).read_text())
tried("environ", lambda: open("/proc/{pid}/environ").read())
tried("signal", lambda: os.kill({pid}, 0))
became["variables"] = sorted(n for n in os.environ if n.startswith(("BATON_", "AWS_", "MLFLOW_T")))
became["home"] = os.listdir(os.path.expanduser("~"))
became["cwd"] = os.getcwd()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        pathlib.Path("daemon").write_text(os.readlink("/proc/self"))
        time.sleep(300)
    os._exit(0)
while not pathlib.Path("daemon").exists():
    time.sleep(0.01)
pathlib.Path("became.json").write_text(json.dumps(became))
"""


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def refused(version: Path, room: Path, limits: Sandbox = LIMITS, flavour: str = "sklearn") -> str:
    with pytest.raises(NotPackaged) as error:
        limits.run(flavour, version, room)
    return str(error.value)


def test_a_pickle_that_tries_everything_gets_at_nothing(
    tmp_path: Path, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    monkeypatch.setenv("BATON_LEDGER_URL", "postgresql://baton:secret@db/ledger")
    secret = tmp_path / "secret"
    secret.write_text("a secret")
    code = _TRIES.format(
        marker=str(tmp_path / MARKER), port=listener, secret=str(secret), pid=os.getpid()
    )
    version, room = running(tmp_path / "version", code), tmp_path / "room"
    assert "NoneType" in refused(version, room)
    became = json.loads((room / "became.json").read_text())
    assert became == {
        "marker": "PermissionError",
        "connect": "PermissionError",
        "secret": "PermissionError",
        "environ": "PermissionError",
        "signal": "ProcessLookupError",
        "variables": [],
        "home": [],
        "cwd": str(room),
    }
    assert not (tmp_path / MARKER).exists()
    assert gone(int((room / "daemon").read_text()))


def test_the_same_pickle_would_get_at_all_of_it(tmp_path: Path, listener: int) -> None:
    """Else the test above would prove nothing."""
    secret = tmp_path / "secret"
    secret.write_text("a secret")
    code = _TRIES.format(
        marker=str(tmp_path / MARKER), port=listener, secret=str(secret), pid=os.getpid()
    ).partition("if os.fork()")[0]
    found: dict[str, object] = {}
    exec(code, found)  # noqa: S102 - as said
    became = found["became"]
    assert isinstance(became, dict)
    assert not [name for name, end in became.items() if str(end).endswith("Error")]
    assert (tmp_path / MARKER).exists()


@pytest.mark.parametrize(
    ("code", "seconds", "reason"),
    [
        ("x = bytearray(20 * 2**30)", 120, "it needs more than 4096 MiB"),
        ("while True: pass", 5, "not converted within 5 s (BATON_PACKAGE_SECONDS): stopped"),
    ],
    ids=["20 GB", "hang"],
)
def test_it_is_stopped_and_refused_with_the_reason(
    tmp_path: Path, code: str, seconds: float, reason: str
) -> None:
    limits = Sandbox(python=LIMITS.python, seconds=seconds, memory_mb=LIMITS.memory_mb)
    said = refused(running(tmp_path / "version", code), tmp_path / "room", limits)
    assert reason in said


def test_what_it_writes_is_data_and_no_link_leads_out_of_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "secret.json").write_text('{"ok": true}')
    (out / "answer.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(NotPackaged, match="a link or special file"):
        answer_in(out)
    (out / "answer.json").unlink()
    for text in ("", "[]", '{"ok": "yes"}', '{"ok": false}'):
        (out / "answer.json").write_text(text)
        with pytest.raises(NotPackaged):
            answer_in(out)
    (out / "answer.json").write_text('{"ok": false, "reason": "why"}')
    assert answer_in(out)["reason"] == "why"


def test_a_graph_that_answers_otherwise_is_found_out(tmp_path: Path) -> None:
    rows = np.array([[1.0], [2.0], [-5.0]], dtype=np.float32)
    said = Answered(outputs={"y": 3.0 * rows}, unsure=np.zeros(3, dtype=bool))
    graph = tmp_path / "model.onnx"
    graph.write_bytes(models.linear(3))
    assert check(graph, {"x": rows}, said, rtol=1e-5).worst < 1e-5
    graph.write_bytes(models.linear(4))
    with pytest.raises(NotPackaged, match=r"y of row 0: expected \[3.\], got \[4.\] \(3 of 3 rows"):
        check(graph, {"x": rows}, said, rtol=1e-5)
    node, shape = helper.make_node("Nonsense", ["x"], ["y"]), ["n", 1]
    named = [(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph.write_bytes(models.graph([node], named[:1], named[1:], {}))
    with pytest.raises(NotPackaged, match="Nonsense: ONNX does not have this operator"):
        check(graph, {"x": rows}, said, rtol=1e-5)
    graph.write_bytes(b"no graph")
    with pytest.raises(NotPackaged, match="ONNX Runtime cannot run"):
        check(graph, {"x": rows}, said, rtol=1e-5)


def test_a_layer_that_keras_does_not_know_is_named_without_its_whole_configuration() -> None:
    met = "could not be deserialized. config={'module': …}.\n\nException encountered: {}"
    unknown = ValueError(met.replace("{}", "Could not locate class 'Odd'. Make sure …"))
    assert unknown_to_keras(unknown) == "Could not locate class 'Odd'"
    assert unknown_to_keras(ValueError(met.replace("{}", "bad  shape"))) == "bad shape"
    assert unknown_to_keras(ValueError("another")) == "another"
