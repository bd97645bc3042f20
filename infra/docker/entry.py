"""What our containers run first: `entry.py COMMAND…` becomes COMMAND once its secrets are there.

A secret is a file that a variable `…_FILE` names. Baton reads its own ones itself. MLflow and boto3
know no such variables: theirs are put into the environment of the command, which is why
`docker compose exec` of a command that asks them begins with `python infra/docker/entry.py` too.
A variable that is set to nothing counts as not set. Needs only the standard library.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # `python -I` leaves it out

from secret_files import fault_of

_OWN = re.compile(r"(BATON_\w+)_FILE")
_OTHERS = re.compile(r"(MLFLOW_\w+|AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN))_FILE")
_USAGE = 2


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The command's environment; raises ValueError that names each secret that is none."""
    given = {name: value for name, value in environ.items() if value}
    secrets = {name: path for name, path in given.items() if _kind(name)}
    faults = [
        f"{name}: {path} {fault}" for name, path in secrets.items() if (fault := _fault(path))
    ]
    if faults:
        raise ValueError("\n".join(faults))
    shown = {
        found[1]: Path(path).read_text(encoding="utf-8").strip()
        for name, path in secrets.items()
        if (found := _OTHERS.fullmatch(name))
    }
    return {**given, **shown}


def _kind(name: str) -> re.Match[str] | None:
    return _OWN.fullmatch(name) or _OTHERS.fullmatch(name)


def _fault(path: str) -> str | None:
    return fault_of(Path(path))


def main(command: Sequence[str]) -> int:
    """Become the command, or say what is missing and return 2."""
    if not command:
        sys.stderr.write("entry.py: expected a command to become\n")
        return _USAGE
    try:
        environ = environment(os.environ)
    except ValueError as error:
        sys.stderr.write(f"{error}\nput secrets there, or make them all: `make secrets`\n")
        return _USAGE
    os.execvpe(command[0], list(command), environ)  # noqa: S606 - the image's own command
    return _USAGE  # never: this process is the command now


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
