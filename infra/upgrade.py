"""Brings a stack that runs to the images of this checkout, without an unanswered request.

Databases first: roles that are new, and migrations, which keep what the version before needs. PostgreSQL
starts again only if something about its container changed. Then one node after the other, each
once the one before answers with everything it served; then the rest. `make upgrade` runs it; what
fails ends it, with the other node serving as before.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

DATABASE = "postgres"
_ROLES = ("exec", "-T", DATABASE, "bash", "/docker-entrypoint-initdb.d/roles.sh")
MIGRATIONS = ("migrate-mlflow", "migrate")
NODES = ("serving-a", "serving-b")
_READY = ("python", "-I", "-S", "infra/docker/health.py", "http://127.0.0.1:8000/readyz")
_READY_SECONDS = 300.0

Run = Callable[[Sequence[str]], int]


class UpgradeFailed(Exception):
    """A command of Compose failed; what runs, runs on."""


def upgrade(
    compose: Run, *, sleep: Callable[[float], None] = time.sleep, build: bool = True
) -> None:
    """Do it; `compose` runs one command of Compose and returns its exit code.

    Raises UpgradeFailed, which says how far it came.
    """

    def must(*command: str) -> None:
        if code := compose(command):
            raise UpgradeFailed(f"`{' '.join(command)}` ended with {code}")

    if build:
        must("build")
    must("up", "--detach", "--no-deps", "--wait", DATABASE)
    must(*_ROLES)
    for name in MIGRATIONS:
        must("run", "--rm", "--no-deps", name)
    for name in NODES:
        was_ready = compose(("exec", "-T", name, *_READY)) == 0
        must("up", "--detach", "--no-deps", "--wait", name)
        if was_ready:
            _until_ready(compose, name, sleep)
    must("up", "--detach", "--wait")


def _until_ready(compose: Run, name: str, sleep: Callable[[float], None]) -> None:
    """Wait until the node has loaded what it is to serve."""
    for _ in range(int(_READY_SECONDS)):
        if compose(("exec", "-T", name, *_READY)) == 0:
            return
        sleep(1.0)
    raise UpgradeFailed(
        f"{name} is up and not ready after {_READY_SECONDS:g} s: look at its log; the other node "
        "serves as before"
    )


def main(arguments: Sequence[str]) -> int:
    """`upgrade.py docker compose -f …`: the command that everything is asked of."""

    def compose(command: Sequence[str]) -> int:
        quiet = subprocess.DEVNULL if command[-len(_READY) :] == _READY else None
        return subprocess.run(  # noqa: S603 - the Makefile's own words
            [*arguments, *command], check=False, stdout=quiet, stderr=quiet
        ).returncode

    try:
        upgrade(compose)
    except UpgradeFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
