"""Installs a lock into an image's environment; run by the Dockerfile, with the standard library.

`--slim` leaves out what serving cannot use of its libraries: their tests, the descriptions of
Amazon's other services, what converts models, formats of pictures that are refused, databases that
are none of ours, what compilers and type checkers read, and symbols for debuggers.
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
# ONNX Runtime's library is in there twice, for Python and for C; rich colours code with pygments.
_SPARE = (
    "onnxruntime/transformers",
    "onnxruntime/tools",
    "onnxruntime/quantization",
    "onnxruntime/datasets",
    "onnxruntime/capi/libonnxruntime.so*",
    "numpy/distutils",
    "numpy/f2py",
    "numpy/_core/include",
    "pygments",
    "sqlalchemy/testing",
    "sqlalchemy/dialects/mssql",
    "sqlalchemy/dialects/mysql",
    "sqlalchemy/dialects/oracle",
    # Pictures are PNG, JPEG or WebP; nothing is written onto them, no profile is followed.
    "PIL/_avif*",
    "PIL/_imagingcms*",
    "PIL/_imagingft*",
    "PIL/_imagingtk*",
    "pillow.libs/libavif*",
    "pillow.libs/libbrotli*",
    "pillow.libs/libfreetype*",
    "pillow.libs/libharfbuzz*",
    "pillow.libs/liblcms2*",
)
# What a running interpreter never opens.
_SOURCES = ("*.pyi", "*.pyx", "*.pxd", "*.c", "*.h", "*.a")
# Published with symbols; what others bundle below `*.libs` was altered after linking, and stays.
_SYMBOLS = ("sqlalchemy", "uvloop", "yaml")


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
    spare = [path for pattern in _SPARE for path in packages.glob(pattern)]
    tests = [path for path in packages.rglob("tests") if path.is_dir()]
    sources = [path for pattern in _SOURCES for path in packages.rglob(pattern)]
    for path in (*services, *spare, *tests, *sources):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in _SYMBOLS:
        for library in (packages / name).rglob("*.so"):
            subprocess.run(["strip", "--strip-unneeded", str(library)], check=True)  # noqa: S603


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
