"""The runbook: every command of docs/operations.md is run, in its order; every alert is in it.

What is marked `native` runs here, on real PostgreSQL, S3 and a node; what is marked `docker` in the
stack of `make test-compose`. That both notice a wrong command is shown with one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.keys import KeyFile
from tests.integration.commands import MODEL
from tests.missing import ServiceMissing
from tests.postgres import Postgres
from tests.seaweed import Seaweed
from tests.servingfakes.node import Node
from tests.stack import pages
from tests.stack.composed import IRIS, Stack, say
from tests.stack.engine import run
from tests.stack.rules import alerts
from tests.stack.sites import Site, node_on, until_answers
from tests.stack.tools import ROOT, tool

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
NATIVE_SECONDS, DOCKER_SECONDS = 600.0, 2400.0
# Compose is the real one, with the test's gates beside the stack's file. Images are there already:
# Compose builds with a plugin that Debian does not have.
DOCKER = """#!/bin/bash
[ "${{1-}}" = compose ] || exec /usr/bin/docker "$@"
shift
given=()
for word; do
  case $word in
    --build) given+=(--no-build) ;;
    docker-compose.prod.yml) given+=("$word" -f test.yml) ;;
    *) given+=("$word") ;;
  esac
done
[ "${{given[4]-}}" != build ] || exit 0
exec {compose} "${{given[@]}}"
"""
# A release to pull from, which is the one that is there.
REPOSITORY = """
git init -q -b main
git add -A
git -c user.name=test -c user.email=test@example.org commit -q -m "the release"
git clone -q --bare . "$1"
git remote add origin "$1"
git fetch -q
git branch -q -u origin/main
"""


def test_every_command_is_in_a_block_that_a_lane_runs() -> None:
    assert [*pages.faults(PAGE)] == []
    assert {lane for block in pages.blocks(PAGE) for lane in block.lanes} == {*pages.LANES}


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        ("```bash\nmake ps\n```", "line 4: no lane runs this"),
        ("```\nmake ps\n```", "line 4: neither bash nor one of ini, text, yaml: ''"),
        (
            "```console\n$ make ps\n```",
            "line 4: neither bash nor one of ini, text, yaml: 'console'",
        ),
        ("```bash moon\nmake ps\n```", "line 4: no such lane: moon"),
        ("~~~bash docker\nif make ps\n~~~", "line 4: bash: line"),
        ("Then `make ps` shows it.", "line 3: a command outside of a block: make ps"),
        (
            "Or `make it`.\n\n```bash native\nmake it-well\n```",
            "line 3: a command outside of a block",
        ),
        ("    docker compose ps", "line 3: a command outside of a block: docker compose ps"),
        ("```text native\nmake ps\n```", "line 4: neither bash"),
    ],
)
def test_a_command_that_no_lane_runs_is_found(planted: str, fault: str) -> None:
    [found] = pages.faults(f"# Page\n\n{planted}\n")
    assert found.startswith(fault)


def test_a_block_that_is_not_closed_is_found() -> None:
    with pytest.raises(ValueError, match="line 3: this block is not closed"):
        pages.blocks("# Page\n\n```bash native\nmake ps\n")


def test_a_page_is_run_lane_by_lane_in_its_order(tmp_path: Path) -> None:
    both, other = "```bash native docker\nx=1\n```\n\n", "```bash docker\nx=2\n```\n"
    page = f"# Page\n\n{both}{other}```bash native\n[ $x = 1 ]\n```\n"
    assert _ran(page, tmp_path).is_whole
    assert not _ran(page.replace("docker\nx=2", "native\nx=2"), tmp_path).is_whole


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("false", "line 4 ended with 1"),
        ("f() { false; }; f", "line 4 ended"),
        ("true | false", "4"),
    ],
)
def test_what_fails_ends_it_with_its_line(tmp_path: Path, command: str, said: str) -> None:
    ran = _ran(f"# Page\n\n```bash native\n{command}\necho on\n```\n", tmp_path)
    assert not ran.is_whole
    assert said in ran.said
    assert "on\n" not in ran.said.splitlines(keepends=True)


def test_a_page_that_leaves_before_its_end_was_not_run(tmp_path: Path) -> None:
    ran = _ran("# Page\n\n```bash native\nexit 0\n```\n", tmp_path)
    assert (ran.code, ran.is_whole) == (0, False)


def _ran(page: str, folder: Path) -> pages.Ran:
    return pages.run(
        page, "native", cwd=folder, environ=os.environ, log=folder / "lane.log", seconds=60
    )


def test_every_alert_leads_to_its_section_here() -> None:
    for name, rule in alerts().items():
        assert f"\n### {name}\n" in PAGE, name
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"


@dataclass(frozen=True)
class Machine:
    """A registry on PostgreSQL and S3 with three versions, and a node that serves the last."""

    site: Site
    node: Node
    keys: Path
    root: Path

    @property
    def environ(self) -> Mapping[str, str]:
        return {
            **self.site.environ,
            "BATON_API_KEYS": str(self.keys),
            "BATON": f"http://127.0.0.1:{self.node.port}",
            "BACKUPS": str(self.root / "place"),
            "MODEL": MODEL,
        }

    def ran(self, page: str) -> pages.Ran:
        return pages.run(
            page, "native", cwd=ROOT, environ=self.environ, log=self.root / "lane.log",
            seconds=NATIVE_SECONDS,
        )  # fmt: skip


@pytest.fixture
def machine(postgres: Postgres, seaweed: Seaweed, tmp_path: Path) -> Iterator[Machine]:
    for program in ("curl", "make", "promtool", "amtool"):
        if not shutil.which(program):
            ServiceMissing(f"no {program} is installed").skip_or_fail()
    site = Site.on(postgres, seaweed, tmp_path / "var")
    site.fill(back=False)
    node, keys = node_on(site, tmp_path / "node"), tmp_path / "api_keys.json"
    node.environ["BATON_API_KEYS"] = str(keys)
    node.start()
    try:
        until_answers(node, 3.0, (1, 3))
        yield Machine(site, node, keys, tmp_path)
    finally:
        node.stop()


@pytest.mark.timeout(900)
def test_the_native_lane_is_run_to_its_end_and_did_what_it_says(machine: Machine) -> None:
    ran = machine.ran(PAGE)
    assert ran.is_whole, ran.said[-6000:]
    entries = machine.site.call("history", MODEL, "--json").json["entries"]
    kinds = [entry["kind"] for entry in reversed(entries)]
    assert kinds[3:] == ["rollback", "promote", "restore"], kinds
    keys = {key.name: bool(key.revoked) for key in KeyFile(machine.keys).read()}
    assert keys == {"runbook": False, "shop": True}
    wrong, line = pages.planted(PAGE, "native", "baton verfy $MODEL")
    ran = machine.ran(wrong)
    assert not ran.is_whole
    assert f"line {line} ended with 2" in ran.said


@pytest.mark.skipif(not os.environ.get("BATON_TEST_COMPOSE"), reason="make test-compose")
@pytest.mark.timeout(3000)
def test_the_docker_lane_is_run_to_its_end(
    built: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """From `make secrets` on, in a folder that has no secrets yet."""
    root = tmp_path_factory.mktemp("operations")
    (root / "bin").mkdir()
    wrapper = root / "bin" / "docker"
    wrapper.write_text(DOCKER.format(compose=tool("docker-compose")))
    wrapper.chmod(0o755)
    (root / "stack").mkdir()
    stack = Stack.copied(built.engine, root / "stack")
    shutil.rmtree(stack.folder / "infra" / "secrets")
    environ = {**stack.environ, "PATH": f"{root / 'bin'}:{stack.environ['PATH']}"}
    del environ["STACK_RATE"]  # the page sets it
    run(["bash", "-euc", REPOSITORY, "bash", str(root / "origin.git")], environ, cwd=stack.folder)
    log = root / "lane.log"
    say(f"the runbook's docker lane: {log}")
    try:
        ran = pages.run(
            PAGE, "docker", cwd=stack.folder, environ=environ, log=log, seconds=DOCKER_SECONDS
        )
        assert ran.is_whole, ran.said[-6000:]
        _is_as_the_page_leaves_it(stack)
        wrong, line = pages.planted(PAGE, "docker", "baton verfy $MODEL")
        ran = pages.run(
            wrong, "docker", cwd=stack.folder, environ=environ, log=root / "wrong.log", seconds=300
        )
        assert not ran.is_whole
        assert f"line {line} ended with 2" in ran.said
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")


def _is_as_the_page_leaves_it(stack: Stack) -> None:
    """What was promoted, went back and came back; what `.env` says; everything is well."""
    entries = stack.registry("history", "iris")["entries"]
    kinds = [entry["kind"] for entry in reversed(entries)]
    assert kinds == ["promote", "promote", "rollback", "promote", "restore"]
    status, answer, _ = stack.ask("POST", "/models/iris/predict", IRIS)
    assert (status, answer["version"]) == (200, "2")
    keys = KeyFile(stack.folder / "infra" / "secrets" / "api_keys.json").read()
    assert [key.name for key in keys if not key.revoked] == ["client", "metrics"]
    assert stack.compose("exec", "-T", "serving-b", "printenv", "BATON_WORKERS") == "3\n"
    stack.compose("exec", "-T", "nginx", "grep", "-q", "rate=2000r/s", "/run/nginx/nginx.conf")
    listed = stack.compose("ps", "--all", "--format", "json").strip().splitlines()
    states = {
        one["Service"]: one["Health"] or f"{one['State']} {one['ExitCode']}"
        for one in map(json.loads, listed)
    }
    well = {"healthy", "running 0", "exited 0"}
    assert {name: state for name, state in states.items() if state not in well} == {}
