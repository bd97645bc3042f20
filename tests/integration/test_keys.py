"""API keys of a real server: made and revoked by command, without a restart."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servingfakes import models
from tests.servingfakes.node import ROOT, Node
from tests.servingfakes.versions import folder, route

ASKED = {"instances": [[2.0]]}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "var")
    node.promote(route(folder(tmp_path / "v1", models.linear(3))))
    yield node
    if node.server and node.server.poll() is None:
        node.stop()


def command(node: Node, *words: str, bind: str | None = None) -> subprocess.CompletedProcess[str]:
    own = {"BATON_BIND": bind} if bind else {}
    return subprocess.run(
        [sys.executable, "-m", "serving", *words],
        cwd=ROOT,
        env={**node.environment(), **own},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def status(node: Node, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return node.ask("POST", "/models/iris/predict", ASKED, headers=headers).status


def test_keys_are_made_and_revoked_while_it_serves(node: Node) -> None:
    key = command(node, "keys", "add", "shop", "--scope", "predict").stdout.strip()
    node.start()
    node.until(lambda: status(node, key) == 200, "serving")
    assert node.predict().status == 401
    assert node.ask("GET", "/readyz").status == 200
    other = command(node, "keys", "add", "till", "--per-second", "1000").stdout.strip()
    node.until(lambda: {status(node, other) for _ in range(4)} == {200}, "the new key, everywhere")
    listed = json.loads(command(node, "keys", "list", "--json").stdout)
    assert [one["name"] for one in listed] == ["shop", "till"]
    revoked = command(node, "keys", "revoke", listed[0]["id"])
    assert (revoked.returncode, listed[0]["id"] in revoked.stdout) == (0, True)
    node.until(lambda: {status(node, key) for _ in range(8)} == {401}, "revoked, everywhere")
    assert status(node, other) == 200
    assert "revoked" in command(node, "keys", "list").stdout


def test_no_command_shows_a_secret_again(node: Node) -> None:
    key = command(node, "keys", "add", "shop").stdout.strip()
    secret = key.rpartition("_")[2]
    shown = command(node, "keys", "list").stdout + command(node, "keys", "list", "--json").stdout
    assert (secret in shown, "shop" in shown) == (False, True)


def test_a_key_of_a_file_without_dates_is_listed_as_such(node: Node) -> None:
    command(node, "keys", "add", "shop")
    file = node.home / "keys.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    del kept["keys"][0]["created"]
    file.write_text(json.dumps(kept), encoding="utf-8")
    assert "since an unknown day" in command(node, "keys", "list").stdout
    [listed] = json.loads(command(node, "keys", "list", "--json").stdout)
    assert listed["created"] is None


def test_prometheus_is_told_when_the_oldest_key_was_made(node: Node) -> None:
    before = time.time()
    key = command(node, "keys", "add", "prometheus", "--scope", "metrics").stdout.strip()
    node.start()
    node.until(lambda: node.ask("GET", "/readyz").status == 200, "serving")

    def told() -> float:
        reply = node.ask("GET", "/metrics", headers={"Authorization": f"Bearer {key}"})
        found = re.search(rb"^baton_oldest_key_created_\w+ (\S+)$", reply.body, re.MULTILINE)
        return float(found[1]) if reply.status == 200 and found else 0.0

    node.until(lambda: told() > 0, "the watcher has looked")
    assert before - 1 <= told() <= time.time()


@pytest.mark.parametrize("bind", ["0.0.0.0:{}", "[::]:{}"])
def test_without_keys_it_is_not_reached_from_elsewhere(node: Node, bind: str) -> None:
    done = command(node, bind=bind.format(node.port))
    assert (done.returncode, "there is no API key" in done.stderr) == (2, True), done.stderr


def test_without_keys_it_says_so(node: Node) -> None:
    node.start()
    node.until_serving(1)
    assert "no API keys" in node.log()


@pytest.mark.parametrize(
    "words",
    [
        ["keys"],
        ["keys", "add"],
        ["keys", "add", "x", "--scope", "all"],
        ["keys", "add", "x", "--per-second", "-1"],
        ["keys", "revoke", "nobody"],
    ],
)
def test_what_cannot_be_asked_exits_2(node: Node, words: list[str]) -> None:
    done = command(node, *words)
    assert (done.returncode, bool(done.stderr)) == (2, True)
