"""Where tables are read from and written to: a directory (or one file), or a prefix in S3.

What is published appears whole or not at all: by a rename in a directory, by one put in S3. Names
are relative, with slashes. S3 is asked with boto3's own keys and region, at MLFLOW_S3_ENDPOINT_URL
if that is set.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from registry.errors import UnknownName, Unreachable, UsageError

SUFFIX = ".parquet"
_HIDDEN = re.compile(r"(^|/)[._]")  # what readers of Parquet directories leave out
_NOT_THERE = frozenset({"404", "NoSuchKey"})


@dataclass(frozen=True, order=True)
class Found:
    """A file there is. `identity` changes with its content."""

    name: str
    identity: str


class Store(Protocol):
    """One place with files."""

    def tables(self) -> Sequence[Found]:
        """Every Parquet file that is not hidden, by name."""
        ...

    def opened(self, name: str) -> Any:
        """A file to read parts of, as `pyarrow` takes it."""
        ...

    def local(self, name: str, scratch: Path) -> Path:
        """A file of this machine with its content, copied into `scratch` if it has to be."""
        ...

    def draft(self, name: str, scratch: Path) -> Path:
        """Where to write what will be published under this name."""
        ...

    def publish(self, draft: Path, name: str) -> None:
        """Make it appear, whole, in place of whatever had this name."""
        ...

    def size(self, name: str) -> int | None:
        """Its bytes; None if there is no such file."""
        ...

    def text(self, name: str) -> str | None:
        """A small file; None if there is none."""
        ...

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        ...


def store_of(address: str, *, endpoint: str = "") -> Store:
    """The store at a path or an `s3://` address; raises UsageError for another scheme."""
    scheme, found, _ = address.partition("://")
    if not found:
        return Directory(Path(address).expanduser().resolve())
    if scheme != "s3":
        raise UsageError(f"{address}: expected a path or s3://BUCKET/PREFIX")
    parts = urlsplit(address)
    return S3(parts.netloc, parts.path.strip("/"), endpoint)


@dataclass(frozen=True)
class Directory:
    """A directory, or one file alone."""

    root: Path

    def tables(self) -> Sequence[Found]:
        """See `Store.tables`."""
        if self.root.is_file():
            return [Found(self.root.name, _identity(self.root))]
        names = {str(path.relative_to(self.root)): path for path in self.root.rglob(f"*{SUFFIX}")}
        shown = sorted(name for name in names if not _HIDDEN.search(name))
        return [Found(name, _identity(names[name])) for name in shown]

    def opened(self, name: str) -> Any:
        """See `Store.opened`."""
        return self._path(name)

    def local(self, name: str, scratch: Path) -> Path:  # noqa: ARG002 - the port's signature
        """See `Store.local`."""
        return self._path(name)

    def draft(self, name: str, scratch: Path) -> Path:  # noqa: ARG002 - as above
        """See `Store.draft`: hidden, in the directory itself, from where it can be renamed."""
        path = self.root / f".{name.replace('/', '-')}.{os.getpid()}.draft"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def publish(self, draft: Path, name: str) -> None:
        """See `Store.publish`."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)

    def size(self, name: str) -> int | None:
        """See `Store.size`."""
        path = self._path(name)
        return path.stat().st_size if path.is_file() else None

    def text(self, name: str) -> str | None:
        """See `Store.text`."""
        path = self._path(name)
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def remove(self, name: str) -> None:
        """See `Store.remove`."""
        self._path(name).unlink(missing_ok=True)

    def drop_drafts(self) -> None:
        """Take away what processes that were killed had begun to write."""
        for draft in self.root.glob(".*.draft") if self.root.is_dir() else ():
            draft.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.root if self.root.is_file() else self.root / name


@dataclass(frozen=True)
class S3:
    """A prefix of a bucket, or one object alone."""

    bucket: str
    prefix: str
    endpoint: str

    def tables(self) -> Sequence[Found]:
        """See `Store.tables`."""
        found: dict[str, str] = {}
        with self._reaching():
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
                for one in page.get("Contents", ()):
                    if (name := self._name(one["Key"])) is not None:
                        found[name] = f"{one['Size']}-{one['ETag'].strip(chr(34))}"
        return [Found(name, found[name]) for name in sorted(found)]

    def opened(self, name: str) -> Any:
        """See `Store.opened`: reads only what is asked for."""
        return _Ranges(self, name)

    def local(self, name: str, scratch: Path) -> Path:
        """See `Store.local`."""
        path = scratch / "input.parquet"
        with self._reaching(name), path.open("wb") as file:
            self._client.download_fileobj(self.bucket, self._key(name), file)
        return path

    def draft(self, name: str, scratch: Path) -> Path:
        """See `Store.draft`."""
        return scratch / f"draft-{name.replace('/', '-')}"

    def publish(self, draft: Path, name: str) -> None:
        """See `Store.publish`."""
        with self._reaching(name), draft.open("rb") as file:
            self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=file)
        draft.unlink()

    def size(self, name: str) -> int | None:
        """See `Store.size`."""
        with self._reaching(name, optional=True):
            head = self._client.head_object(Bucket=self.bucket, Key=self._key(name))
            return int(head["ContentLength"])
        return None

    def text(self, name: str) -> str | None:
        """See `Store.text`."""
        with self._reaching(name, optional=True):
            got = self._client.get_object(Bucket=self.bucket, Key=self._key(name))
            body: bytes = got["Body"].read()
            return body.decode()
        return None

    def remove(self, name: str) -> None:
        """See `Store.remove`."""
        with self._reaching(name):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(name))

    def part(self, name: str, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`."""
        with self._reaching(name):
            got = self._client.get_object(
                Bucket=self.bucket, Key=self._key(name), Range=f"bytes={start}-{stop - 1}"
            )
            body: bytes = got["Body"].read()
            return body

    def _key(self, name: str) -> str:
        if self.prefix.endswith(SUFFIX):
            return self.prefix
        return f"{self.prefix}/{name}" if self.prefix else name

    def _name(self, key: str) -> str | None:
        """The name of a key below the prefix; None for what is no table."""
        if key == self.prefix:
            return key.rpartition("/")[2] if key.endswith(SUFFIX) else None
        below = f"{self.prefix}/" if self.prefix else ""
        name = key.removeprefix(below)
        is_table = key.startswith(below) and name.endswith(SUFFIX) and not _HIDDEN.search(name)
        return name if is_table else None

    @cached_property
    def _client(self) -> Any:
        import boto3  # noqa: PLC0415 - only for S3

        return boto3.Session().client("s3", endpoint_url=self.endpoint or None)

    @contextmanager
    def _reaching(self, name: str = "", *, optional: bool = False) -> Iterator[None]:
        """Errors of boto3 as ours; that an optional file is not there is none."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only for S3

        address = f"s3://{self.bucket}/{self._key(name)}"
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code in _NOT_THERE and optional:
                return
            if code in _NOT_THERE:
                raise UnknownName("object", address, ()) from error
            raise Unreachable(f"{address}: {error}; look at the bucket and the keys") from error
        except (BotoCoreError, ValueError) as error:
            raise Unreachable(f"{address}: {error}; look at endpoint, keys and network") from error


class _Ranges(io.RawIOBase):
    """An object of S3 as a file: what is read is fetched, nothing else."""

    def __init__(self, store: S3, name: str) -> None:
        super().__init__()
        size = store.size(name)
        if size is None:
            raise UnknownName("object", f"s3://{store.bucket}/{name}", ())
        self._store, self._name, self._size, self._at = store, name, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._size if size < 0 else min(self._at + size, self._size)
        if stop <= self._at:
            return b""
        got = self._store.part(self._name, self._at, stop)
        self._at += len(got)
        return got


def _identity(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"
