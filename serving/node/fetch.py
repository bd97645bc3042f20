"""Getting a version's files from where the registry keeps them, by the manifest's list only.

Today: paths of this machine (`/…`, `file://…`) and S3 (`s3://bucket/prefix`, boto3's own settings).
Only files the manifest names are fetched, so nothing extra can come along.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from registry.bundle import Manifest
from registry.errors import BundleInvalid, Unreachable

Copy = Callable[[str, Path], None]


def fetch(source: str, manifest: Manifest, into: Path) -> None:
    """Copy every file of `manifest` from `source` into the directory `into`.

    Raises BundleInvalid if a file is not there, Unreachable if the store is not.
    """
    copy = _opener(source)
    for name in manifest.files:
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise BundleInvalid(f"{name}: a path that leaves the version's directory")
        target = into / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        copy(name, target)


def _opener(source: str) -> Copy:
    if "://" not in source:  # a path may hold what would mean something in an address
        return _from_files(Path(source))
    parts = urlsplit(source)
    if parts.scheme == "file":
        return _from_files(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        return _from_s3(parts.netloc, parts.path.strip("/"))
    raise BundleInvalid(f"{source}: nodes fetch from files and s3, not from {parts.scheme}://")


def _from_files(root: Path) -> Copy:
    def copy(name: str, target: Path) -> None:
        path = root / name
        if path.resolve() != root.resolve() / name or not path.is_file():  # no links on the way
            raise BundleInvalid(f"{path}: no such file in the artifact store")
        shutil.copyfile(path, target)

    return copy


def _from_s3(bucket: str, prefix: str) -> Copy:
    import boto3  # noqa: PLC0415 - only for S3
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

    client = boto3.client("s3")

    def copy(name: str, target: Path) -> None:
        key = f"{prefix}/{name}"
        try:
            client.download_file(bucket, key, str(target))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey"):
                raise BundleInvalid(f"s3://{bucket}/{key}: no such object") from error
            raise Unreachable(f"s3://{bucket}/{key}: {error}") from error
        except BotoCoreError as error:
            raise Unreachable(f"s3://{bucket}/{key}: {error}") from error

    return copy
