"""An upgrade: databases first, one node after the other, and nothing after what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from infra.upgrade import UpgradeFailed, roll, upgrade


@dataclass
class FakeCompose:
    """Answers 0, but to `fails`; nodes are ready after some looks."""

    fails: str = "nothing"
    is_ready_at_first: bool = True
    looks_until_ready: int = 3
    asked: list[str] = field(default_factory=list)
    looks: int = 0

    def __call__(self, command: Sequence[str]) -> int:
        said = " ".join(command)
        if command[0] == "exec" and command[2] != "postgres":
            return self._ready(command[2])
        self.asked.append(said)
        self.looks = 0
        return int(said == self.fails)

    def _ready(self, node: str) -> int:
        if not any(said.endswith(f"--no-deps --wait {node}") for said in self.asked):
            return int(not self.is_ready_at_first)
        self.looks += 1
        return int(self.looks <= self.looks_until_ready)


ALL = [
    "build",
    "up --detach --no-deps --wait postgres",
    "exec -T postgres bash /docker-entrypoint-initdb.d/roles.sh",
    "run --rm --no-deps migrate-mlflow",
    "run --rm --no-deps migrate",
    "up --detach --no-deps --wait serving-a",
    "up --detach --no-deps --wait serving-b",
    "up --detach --wait",
]


def test_databases_then_nodes_one_by_one_then_the_rest():
    compose = FakeCompose()
    upgrade(compose, sleep=lambda _: None)
    assert compose.asked == ALL


@pytest.mark.parametrize("at", range(len(ALL)))
def test_what_fails_ends_it_there(at: int):
    compose = FakeCompose(fails=ALL[at])
    with pytest.raises(UpgradeFailed, match="ended with 1"):
        upgrade(compose, sleep=lambda _: None)
    assert compose.asked == ALL[: at + 1]


def test_a_node_that_never_has_its_models_again_ends_it_before_the_other_is_touched():
    compose = FakeCompose(looks_until_ready=10_000)
    slept: list[float] = []
    with pytest.raises(UpgradeFailed, match="serving-a is up and not ready"):
        upgrade(compose, sleep=slept.append)
    assert sum(slept) == 300
    assert compose.asked == ALL[:6]


def test_a_stack_that_serves_nothing_yet_is_not_waited_for():
    compose = FakeCompose(is_ready_at_first=False, looks_until_ready=10_000)
    upgrade(compose, sleep=lambda _: None)
    assert compose.asked == ALL


ROLL = [
    f"up --detach --force-recreate --no-deps --wait {node}" for node in ("serving-a", "serving-b")
]


def test_a_roll_is_the_nodes_one_by_one_in_new_containers():
    compose = FakeCompose()
    roll(compose, sleep=lambda _: None)
    assert compose.asked == ROLL


def test_a_roll_ends_before_the_other_node_if_the_first_is_not_what_it_was():
    compose = FakeCompose(looks_until_ready=10_000)
    with pytest.raises(UpgradeFailed, match="serving-a is up and not ready"):
        roll(compose, sleep=lambda _: None)
    assert compose.asked == ROLL[:1]
