"""Builds `.venv` from the hashed lock, and does nothing when nothing changed.

Groups that cannot live with the others' versions have an environment of their own below `var/`; so
have TensorFlow and Ray, which `python -m training` turns to by itself (training/apart.py).

Run by `make setup` with any Python 3.11; needs only the standard library. uv is installed with pip
into a corner of `.venv` if the machine has none.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
APART = (
    "airflow",
    "chart",
    "clients",
    "mlflow",
    "peers",
    "peers-models",
    "peers-frameworks",
    "ray",
    "stack",
    "tensorflow",
)
WANTED = (3, 11)


def main(group: str = "dev") -> int:
    """Make the environment hold exactly what `locks/<group>.txt` names; 2 if that cannot be."""
    if sys.version_info[:2] != WANTED:
        have = ".".join(map(str, sys.version_info[:2]))
        sys.stderr.write(f"Python 3.11 is needed, this is {have}: make setup PYTHON=python3.11\n")
        return 2
    lock = ROOT / "locks" / f"{group}.txt"
    if not lock.is_file():
        known = ", ".join(sorted(path.stem for path in lock.parent.glob("*.txt")))
        sys.stderr.write(f"unknown group {group!r}; there is: {known}\n")
        return 2
    home = ROOT / "var" / "environments" / group if group in APART else ROOT / ".venv"
    stamp = home / "installed"
    wanted = [sys.version, hashlib.sha256(lock.read_bytes()).hexdigest()]
    found = json.loads(stamp.read_text(encoding="utf-8")) if stamp.is_file() else ["", ""]
    if found == wanted:
        return 0
    sys.stderr.write(f"installing {lock.relative_to(ROOT)} into {home.relative_to(ROOT)} …\n")
    stamp.unlink(missing_ok=True)
    if found[0] != sys.version:
        venv.create(home, clear=True)
    python = home / "bin" / "python"
    sync = [_uv(home), "pip", "sync", "--compile-bytecode", "--require-hashes"]
    # Everything is named and hashed in the lock; where it comes from is the machine's business.
    done = subprocess.run(  # noqa: S603 - our own list
        [*sync, "-p", str(python), str(lock)], cwd=ROOT, check=False
    )
    if done.returncode == 0:
        stamp.write_text(json.dumps(wanted), encoding="utf-8")
    return done.returncode


def _uv(home: Path) -> str:
    """The machine's uv, or one of our own."""
    found = shutil.which("uv")
    if found:
        return found
    corner = home / "uv"
    own = corner / "bin" / "uv"
    if not own.exists():
        subprocess.run(  # noqa: S603 - our own list
            [sys.executable, "-m", "pip", "install", "-q", "--target", str(corner), "uv>=0.9"],
            check=True,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        )
    return str(own)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:2]))
