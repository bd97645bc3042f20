"""Resolves all dependency groups together and writes one hashed lock a group. Run by `make lock`.

A group that cannot live with the others' versions is resolved by itself.

No lock names an index: where packages come from is the machine's business.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GROUPS = ("serving", "watcher", "node", "mlflow", "training", "tensorflow", "ray", "dev")
APART = ("airflow", "chart", "clients", "peers", "peers-models", "peers-frameworks", "stack")


def main() -> None:
    """Write `locks/*.txt`; every group gets the versions of the one common resolution."""
    for group in APART:
        lock = ROOT / "locks" / f"{group}.txt"
        _compile([f"--group={group}"], lock, "--no-annotate", "--generate-hashes")
    with tempfile.TemporaryDirectory() as scratch:
        common = Path(scratch, "common.txt")
        _compile([f"--group={group}" for group in GROUPS], common, "--no-annotate")
        for group in GROUPS:
            lock = ROOT / "locks" / f"{group}.txt"
            _compile(
                [f"--group={group}", "-c", str(common)],
                lock,
                "--no-annotate",
                "--generate-hashes",
            )


def _compile(groups: list[str], output: Path, *options: str) -> None:
    command = ["uv", "pip", "compile", "-q", "pyproject.toml", "--python-version=3.11"]
    address_free = ["--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    subprocess.run(  # noqa: S603 - our own list
        [*command, *groups, *address_free, *options, "-o", str(output)], cwd=ROOT, check=True
    )


if __name__ == "__main__":
    main()
