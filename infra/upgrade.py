"""Brings a stack that runs to the images of this checkout, without an unanswered request.

Databases first: roles that are new, and migrations, which keep what the version before needs.
PostgreSQL starts again only if something about its container changed. Then one node after the
other, each once the one before answers with everything it served; then the rest. `make upgrade`
runs it; what fails ends it, with the other node serving as before. `make roll` is the nodes alone,
in new containers even where nothing but the file of a secret changed, which Compose does not see.
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
    if build:
        _must(compose, "build")
    _must(compose, "up", "--detach", "--no-deps", "--wait", DATABASE)
    _must(compose, *_ROLES)
    for name in MIGRATIONS:
        _must(compose, "run", "--rm", "--no-deps", name)
    _renew(compose, sleep, "--detach")
    _must(compose, "up", "--detach", "--wait")


def roll(compose: Run, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Put each node into a new container, one after the other. Raises UpgradeFailed."""
    _renew(compose, sleep, "--detach", "--force-recreate")


def _renew(compose: Run, sleep: Callable[[float], None], *flags: str) -> None:
    """Bring up one node, and the other once it has what it served."""
    for name in NODES:
        was_ready = compose(("exec", "-T", name, *_READY)) == 0
        _must(compose, "up", *flags, "--no-deps", "--wait", name)
        if was_ready:
            _until_ready(compose, name, sleep)


def _must(compose: Run, *command: str) -> None:
    if code := compose(command):
        raise UpgradeFailed(f"`{' '.join(command)}` ended with {code}")


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
    """`upgrade.py [--roll] docker compose -f …`: the command that everything is asked of."""
    is_roll = arguments[:1] == ["--roll"]
    stack = arguments[is_roll:]

    def compose(command: Sequence[str]) -> int:
        quiet = subprocess.DEVNULL if command[-len(_READY) :] == _READY else None
        return subprocess.run(  # noqa: S603 - the Makefile's own words
            [*stack, *command], check=False, stdout=quiet, stderr=quiet
        ).returncode

    try:
        (roll if is_roll else upgrade)(compose)
    except UpgradeFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
