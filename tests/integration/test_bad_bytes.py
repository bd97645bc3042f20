"""Bytes that change after they were judged: a real node refuses them, and goes on answering."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from registry.bundle import Manifest
from registry.errors import BundleInvalid
from registry.ledger import Route
from registry.trial import SubprocessTrial
from serving.kinds import Limits
from serving.servable import Servable
from tests.servingfakes import bad_models, models
from tests.servingfakes.node import Node
from tests.servingfakes.versions import folder, route

FOREIGN = "foreign.onnx"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that serves v1 of `iris`, which multiplies by 1."""
    home = tmp_path_factory.mktemp("node")
    made = Node(home / "var")
    made.start()
    made.promote(route(folder(home / "v1", models.linear(1)), 1))
    made.until_serving(1)
    yield made
    made.stop()


def _flip(path: Path) -> None:
    raw = bytearray((path / "model.onnx").read_bytes())
    raw[len(raw) // 2] ^= 1
    (path / "model.onnx").write_bytes(raw)


def _cut(path: Path) -> None:
    os.truncate(path / "model.onnx", 20)


def _grow(path: Path) -> None:
    with (path / "model.onnx").open("ab") as file:
        file.write(b"\x00")


def _other(path: Path) -> None:
    (path / "model.onnx").write_bytes(models.linear(99))


def _gone(path: Path) -> None:
    (path / "model.onnx").unlink()


def _linked(path: Path) -> None:
    (path / "model.onnx").rename(path.parent / FOREIGN)
    (path / "model.onnx").symlink_to(path.parent / FOREIGN)


# What is done to the files after the judging, and part of what the node then says.
CHANGED: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "one flipped bit": (_flip, "expected sha256"),
    "a truncated file": (_cut, "model.onnx"),
    "one byte more": (_grow, "model.onnx"),
    "another good model": (_other, "model.onnx"),
    "a missing file": (_gone, "no such file"),
    "a missing artifact": (shutil.rmtree, "no such file"),
    "a symlink to the judged bytes": (_linked, "no such file"),
}

# Heads that no judge would have let through: what the node's own trial makes of them.
UNJUDGED: Mapping[str, tuple[bytes, str]] = {
    "crash on load": (bad_models.crashes_on_load(), "crashed (signal 8)"),
    "wrong shape": (bad_models.one_row_for_all(), "expected 2 rows as asked, got 1"),
    "unknown opset": (bad_models.unknown_opset(), "ONNX Runtime cannot load it"),
    "external data by ..": (bad_models.external("../../../v1/model.onnx"), "External data path"),
    "external data by an absolute name": (bad_models.external("/etc/hostname"), "Absolute path"),
}


def refused(node: Node, to: Route) -> str:
    """Make a version the head; what the node says about it, while v1 goes on answering."""
    entry = node.promote(to)
    name = f"v{to.version} refused"
    seen: list[tuple[int, str, object]] = []

    def why() -> str:
        reply = node.predict(2.0)
        seen.append((reply.status, reply.headers["X-Model-Version"], reply.json["predictions"]))
        [row] = node.ask("GET", "/models").json["models"]
        return str(row["reason"]) if name in str(row["reason"]) else ""

    reason = str(node.until(why, f"{name}, of seq {entry.key.seq}"))
    assert set(map(repr, seen)) == {repr((200, "1", [[2.0]]))}
    return reason


@pytest.mark.parametrize(("change", "reason"), CHANGED.values(), ids=CHANGED)
def test_bytes_that_are_not_the_judged_ones_are_refused_and_the_old_version_answers(
    node: Node, tmp_path: Path, change: Callable[[Path], object], reason: str
) -> None:
    number = 10 + list(CHANGED.values()).index((change, reason))
    judged = route(folder(tmp_path / "version", models.linear(number)), number)
    change(tmp_path / "version")
    said = refused(node, judged)
    assert reason in said, said


@pytest.mark.parametrize(("model", "reason"), UNJUDGED.values(), ids=UNJUDGED)
def test_a_head_that_nobody_judged_ends_in_the_nodes_own_trial(
    node: Node, tmp_path: Path, model: bytes, reason: str
) -> None:
    number = 30 + list(UNJUDGED.values()).index((model, reason))
    said = refused(node, route(folder(tmp_path / "version", model), number))
    assert reason in said, said


@pytest.mark.parametrize(
    ("number", "name"),
    [(50, "../v1/model.onnx"), (51, "a/../../v1/model.onnx"), (52, "{}/v1/model.onnx")],
    ids=["..", ".. further in", "an absolute name"],
)
def test_a_manifest_that_names_a_file_outside_is_refused(
    node: Node, tmp_path: Path, number: int, name: str
) -> None:
    outside = name.format(node.home.parent)
    made = route(folder(tmp_path / "version", models.linear(number)), number)
    [digest] = made.manifest.files.values()
    manifest = Manifest({**made.manifest.files, outside: digest})
    there = dataclasses.replace(made, manifest=manifest, digest=manifest.digest)
    assert "leaves the version's directory" in refused(node, there)


def test_an_extra_file_is_not_fetched_and_refused_where_it_turns_up(tmp_path: Path) -> None:
    """Only what the manifest names is fetched; a folder with more than that is not loaded."""
    judged = route(folder(tmp_path / "version", models.linear(3)))
    (tmp_path / "version" / "extra.py").write_text("")
    limits = Limits(max_rows=10, max_horizon=10)
    with pytest.raises(BundleInvalid, match="not in the manifest: extra.py"):
        Servable.load(tmp_path / "version", judged.manifest, allowed=("onnx",), limits=limits)
    trial = SubprocessTrial(seconds=60, memory_mb=4096, engines=("onnx",))
    report = trial.run(tmp_path / "version", manifest=judged.manifest)
    assert (report.ok, "not in the manifest: extra.py" in report.reason) == (False, True)


def test_an_extra_file_beside_the_judged_ones_never_reaches_the_node(
    node: Node, tmp_path: Path
) -> None:
    """The last test of this module: the node changes to the version."""
    judged = route(folder(tmp_path / "version", models.linear(7)), 77)
    (tmp_path / "version" / "extra.py").write_text("")
    entry = node.promote(judged)
    assert node.until_serving(entry.key.seq).json["predictions"] == [[7.0]]
    stored = node.home.rglob(f"{judged.digest}/**/*")
    assert {p.name for p in stored if p.is_file()} == {"manifest.json", "trial.json", "model.onnx"}
