"""A secret that the runbook changes is read again by every service that has it.

A container sees the file that was there when it started: who is forgotten goes on with a password
that nobody knows any more, and says so only at its next connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infra.upgrade import NODES
from tests.stack import pages
from tests.stack.tools import ROOT, configuration

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
_RENEWED = re.compile(r"stack up .*--force-recreate|stack kill --signal HUP")


@pytest.fixture(scope="module")
def readers() -> Mapping[str, frozenset[str]]:
    """Of each secret who has it while it runs: what runs once, sees it anew each time."""
    services: Mapping[str, Any] = configuration("docker-compose.prod.yml")["services"]
    having = {
        name: {secret["source"] for secret in service.get("secrets", [])}
        for name, service in services.items()
        if service["restart"] != "no"
    }
    known = {secret for secrets in having.values() for secret in secrets}
    return {
        one: frozenset(name for name, secrets in having.items() if one in secrets) for one in known
    }


def forgotten(page: str, readers: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """Services that a block leaves with a secret of before, by block."""
    for block in pages.blocks(page):
        if "docker" in block.lanes:
            left = _left(block.text, readers)
            yield from (f"line {block.line}: {name} has {secret}" for name, secret in sorted(left))


def _left(text: str, readers: Mapping[str, frozenset[str]]) -> set[tuple[str, str]]:
    left: set[tuple[str, str]] = set()
    for line in text.split("\n"):
        left |= {(name, secret) for secret in _changed(line, readers) for name in readers[secret]}
        renewed = {*line.split()} if _RENEWED.search(line) else set()
        renewed |= {*NODES} if line.startswith("make roll") else set()
        left = {(name, secret) for name, secret in left if name not in renewed}
    return left


def _changed(line: str, readers: Mapping[str, frozenset[str]]) -> set[str]:
    """Secrets that a line removes or writes over."""
    if re.match(r"make secrets (KEY|REVOKE)=", line):
        return {"api_keys.json"}
    if not re.search(r"\brm -f .*|> infra/secrets/", line):
        return set()
    named = {word.strip("()").rpartition("/")[2] for word in line.split()}
    return named & {*readers}


def test_whoever_has_a_secret_that_is_changed_is_put_into_a_new_container(
    readers: Mapping[str, frozenset[str]],
) -> None:
    assert [*forgotten(PAGE, readers)] == []


def test_every_password_of_a_database_that_a_service_has_is_changed(
    readers: Mapping[str, frozenset[str]],
) -> None:
    [block] = [one.text for one in pages.blocks(PAGE) if "rm -f ledger_url_owner" in one.text]
    of_databases = {one for one in readers if re.search(r"_url(_|$)", one)}
    assert of_databases <= {*re.findall(r"\w+", block)}


@pytest.mark.parametrize(
    ("command", "planted", "who"),
    [
        ("recreate --no-deps --wait prometheus", "recreate --no-deps --wait grafana", "prometheus"),
        ("make secrets REVOKE=$old\nmake roll", "make secrets REVOKE=$old", "serving-a"),
        ("stack kill --signal HUP nginx", "", "nginx"),
        ("--wait mlflow backup", "--wait mlflow", "backup"),
    ],
)
def test_who_is_forgotten_is_named(
    readers: Mapping[str, frozenset[str]], command: str, planted: str, who: str
) -> None:
    assert PAGE.count(command) == 1
    found = [*forgotten(PAGE.replace(command, planted), readers)]
    assert found
    assert any(f": {who} has " in one for one in found)
