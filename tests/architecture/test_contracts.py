"""The import contracts are really looked at: `make lint` fails on a planted import."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TREES = ("serving", "training", "registry")
PLANTED = {
    "a worker reaches the ledger": ("serving/answer.py", "import registry.sql_ledger"),
    "a worker reaches the queue of jobs": ("serving/desk.py", "import registry.sql_jobs"),
    "a workload knows its sibling": ("training/workloads/iris.py", "from . import petr4"),
    "a watcher needs Alembic": ("serving/node/heads.py", "import alembic"),
    "a ledger cannot be opened without Alembic": (
        "registry/grants.py",
        "import registry.migrations",
    ),
    "serving imports training": ("serving/node/watcher.py", "import training.tracking"),
    "the client needs a library": ("serving/client.py", "import numpy"),
    "the client knows the server": ("serving/client.py", "import serving.strict_json"),
}


def linted(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts' part of `make lint` over a tree."""
    [line] = re.findall(r"^\t@.*ruff check && .*$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = line.rpartition("&&")[2].strip()
    program = Path(sys.executable).parent / command.rpartition(")")[2]
    return subprocess.run([program], cwd=tree, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in TREES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_are_kept(tree: Path) -> None:
    done = linted(tree)
    assert (done.returncode, "0 broken" in done.stdout) == (0, True), done.stdout


@pytest.mark.parametrize(("file", "line"), PLANTED.values(), ids=PLANTED)
def test_a_planted_import_breaks_a_contract(tree: Path, file: str, line: str) -> None:
    with (tree / file).open("a", encoding="utf-8") as source:
        source.write(f"\n\n{line}\n")
    done = linted(tree)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout
