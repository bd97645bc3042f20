"""Installs a lock into an image's environment; run by the Dockerfile, with the standard library.

`--slim` leaves out what serving cannot use of its libraries: their tests, the descriptions of
Amazon's other services, and what converts models.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_ENVIRONMENT = Path("/opt/baton")
_PIP = "/opt/pip/bin/pip"
# What boto3 reads of an account: S3, and the services that hand out credentials.
_AMAZON = ("s3", "sts", "sso", "sso-oidc", "signin")
_CONVERTERS = ("transformers", "tools", "quantization", "datasets")


def main(arguments: Sequence[str]) -> int:
    """Install exactly what the lock names; returns pip's exit code."""
    lock, *options = arguments
    install = ["install", "--require-hashes", "-r", lock]
    done = subprocess.run(  # noqa: S603 - our own list
        [_PIP, "--python", str(_ENVIRONMENT / "bin" / "python"), *install], check=False
    )
    if done.returncode == 0 and "--slim" in options:
        [packages] = _ENVIRONMENT.glob("lib/python*/site-packages")
        slim(packages)
    return done.returncode


def slim(packages: Path) -> None:
    """Remove what no process of a serving node ever imports or reads."""
    services = [
        path
        for path in (packages / "botocore" / "data").iterdir()
        if path.is_dir() and path.name not in _AMAZON
    ]
    converters = [packages / "onnxruntime" / name for name in _CONVERTERS]
    tests = [path for path in packages.rglob("tests") if path.is_dir()]
    for path in (*services, *converters, *tests):
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
