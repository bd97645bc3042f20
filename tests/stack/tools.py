"""The real Compose and the linter of Dockerfiles, from their own environment."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.missing import ServiceMissing

ROOT = Path(__file__).resolve().parents[2]
_BINARIES = ROOT / "var" / "environments" / "stack" / "bin"


def tool(name: str) -> str:
    """`docker-compose` or `hadolint`; skips, or fails in CI, where there is none."""
    path = _BINARIES / name
    if not path.exists():
        ServiceMissing(f"no {name} is installed: make setup GROUP=stack").skip_or_fail()
    return str(path)


def compose(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Compose in the checkout; what the machine sets for the stack is left out."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("STACK_")}
    return subprocess.run(
        [tool("docker-compose"), *arguments],
        cwd=ROOT,
        env={**kept, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def configuration(*files: str, **environ: str) -> Mapping[str, Any]:
    """What Compose makes of the files, whole."""
    named = [word for file in files for word in ("-f", file)]
    done = compose(*named, "config", "--format", "json", **environ)
    assert done.returncode == 0, done.stderr
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found
