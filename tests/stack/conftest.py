"""What the tests in a real Docker engine share: the engine, and our images built in it once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.stack import standins
from tests.stack.composed import Stack, say
from tests.stack.engine import Engine, engine, left_behind, network_state


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    before = network_state()
    with engine() as made:
        yield made
        root = made.root
    assert left_behind(root) == []
    assert network_state() == before


@pytest.fixture(scope="session")
def built(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    begun = time.monotonic()
    standins.make(docker, tmp_path_factory.mktemp("images"), say)
    say(f"stand-ins made in {time.monotonic() - begun:.0f} s")
    stack = Stack.copied(docker, tmp_path_factory.mktemp("stack"))
    for target in ("serving", "registrar", "worker", "mlflow", "backup"):
        begun = time.monotonic()
        file = str(stack.folder / "infra" / "docker" / "Dockerfile")
        docker.docker(
            "build", "--quiet", "--file", file, "--target", target,
            "--tag", f"baton/{target}:test", str(stack.folder),
        )  # fmt: skip
        size = int(docker.docker("inspect", "--format", "{{.Size}}", f"baton/{target}:test"))
        say(f"baton/{target}: {size / 1e6:.0f} MB, built in {time.monotonic() - begun:.0f} s")
    return stack
