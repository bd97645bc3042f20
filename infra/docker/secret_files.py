"""Whether the file of a secret holds one; needs only the standard library.

Asked by `entry.py` before a container does anything, and as a command, by the stack's `check`
service, of every file of a directory:

    python infra/docker/secret_files.py /run/secrets
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

_SHORTEST = 16
# What examples, tutorials and images bring along.
_DEFAULTS = frozenset({
    "", "admin", "baton", "change-me", "change_me", "changeit", "changeme", "default", "example",
    "grafana", "minio", "minioadmin", "mlflow", "mysecretpassword", "password", "password1234",
    "postgres", "replace-me", "root", "secret", "secretpassword", "test", "todo", "xxx",
})  # fmt: skip
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


def fault_of(path: Path) -> str | None:
    """What is wrong with a secret's file, in words that never show what is in it."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        return f"cannot be read: {reason}"
    if not text:
        return "is empty"
    if path.suffix == ".json":
        return _json_fault(text)
    if path.suffix == ".pem":
        is_pem = text.startswith(_CERTIFICATE) or _PRIVATE_KEY.match(text)
        return None if is_pem else "is no certificate and no private key"
    if "://" in text:
        return _url_fault(text)
    return _password_fault(text)


def _json_fault(text: str) -> str | None:
    try:
        found = json.loads(text)
    except ValueError:
        return "is not JSON"
    return None if found and all(found.values()) else "has nothing in it"


def _url_fault(text: str) -> str | None:
    try:
        password = unquote(urlsplit(text).password or "")
    except ValueError:
        return "is not a URL"
    return _password_fault(password) if password else "is a URL without a password"


def _password_fault(text: str) -> str | None:
    if text.lower() in _DEFAULTS or len(set(text)) == 1:
        return "is a default that everybody knows"
    if len(text) < _SHORTEST:
        return f"is shorter than {_SHORTEST} characters"
    return None


def main(arguments: Sequence[str]) -> int:
    """Look at every file of a directory; 2, and a line each, if one is no secret."""
    [folder] = map(Path, arguments)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    faults = [(path, fault) for path in files if (fault := fault_of(path))]
    for path, fault in faults:
        sys.stderr.write(f"secret {path.name} ({path}) {fault}; put one there, or `make secrets`\n")
    if not files:
        sys.stderr.write(f"{folder}: no secret is there; run `make secrets`\n")
    if faults or not files:
        return 2
    sys.stdout.write(f"{len(files)} secrets are there\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
