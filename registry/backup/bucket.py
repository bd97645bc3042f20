"""A store in S3: a prefix of a bucket. Endpoint, keys and region are boto3's own variables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from registry.backup.store import Stored
from registry.errors import SettingsError, Unreachable

_NOT_THERE = frozenset({"404", "NoSuchKey"})
_FORBIDDEN = frozenset(
    {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
)
_CONNECT_SECONDS, _SILENCE_SECONDS = 5, 60


class Bucket:
    """Everything below a prefix; keys that end in a slash are marks of folders, and no files."""

    def __init__(self, bucket: str, prefix: str, *, what: str, endpoint: str) -> None:
        """`endpoint` is boto3's own if empty; nothing is asked before it must be."""
        self._bucket, self._what, self._endpoint = bucket, what, endpoint
        self._prefix = f"{prefix}/" if prefix else ""

    @property
    def address(self) -> str:
        """See `Store.address`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def scratch(self) -> Path | None:
        """See `Store.scratch`."""
        return None

    def look(self) -> None:
        """See `Store.look`."""
        with self._tell("", "s3:ListBucket"):
            self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    def files(self, below: str = "") -> Iterator[Stored]:
        """See `Store.files`."""
        pages = self._client.get_paginator("list_objects_v2")
        with self._tell(below, "s3:ListBucket"):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + below):
                for found in page.get("Contents", ()):
                    if not found["Key"].endswith("/"):
                        name = found["Key"].removeprefix(self._prefix)
                        yield Stored(name, found["Size"], found["ETag"].strip('"'))

    @contextmanager
    def read(self, name: str) -> Iterator[IO[bytes]]:
        """See `Store.read`."""
        with self._tell(name, "s3:GetObject"):
            found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            with found["Body"] as body:
                yield body

    def write(self, name: str, source: IO[bytes]) -> None:
        """See `Store.write`; large files go in parts, and appear when the last one is there."""
        with self._tell(name, "s3:PutObject"):
            self._client.upload_fileobj(
                source, self._bucket, self._prefix + name, Config=self._in_parts
            )

    def delete(self, name: str) -> None:
        """See `Store.delete`."""
        with self._tell(name, "s3:DeleteObject"):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def settle(self) -> None:
        """What S3 has answered is settled."""

    @cached_property
    def _client(self) -> Any:
        import boto3  # noqa: PLC0415 - only for S3
        from botocore.config import Config  # noqa: PLC0415 - as above
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above

        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_SILENCE_SECONDS,
            retries={"total_max_attempts": 3, "mode": "standard"},
            max_pool_connections=32,
            # Servers that are not AWS need not know the newer ones; bytes are checked by SHA-256.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            session = boto3.Session()
            return session.client("s3", endpoint_url=self._endpoint or None, config=config)
        except (BotoCoreError, ValueError) as error:  # ValueError: no address at all
            raise Unreachable(
                f"{self._what}: {self.address}: {error}; see MLFLOW_S3_ENDPOINT_URL and the keys"
            ) from error

    @cached_property
    def _in_parts(self) -> Any:
        from boto3.s3.transfer import TransferConfig  # noqa: PLC0415 - only for S3

        return TransferConfig(use_threads=False)  # many files are copied at once as it is

    @contextmanager
    def _tell(self, name: str, right: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

        at = f" at {self._endpoint}" if self._endpoint else ""
        where = f"s3://{self._bucket}/{self._prefix}{name}{at}"
        try:
            yield
        except ClientError as error:
            fault = error.response.get("Error", {})
            code, words = str(fault.get("Code")), fault.get("Message") or fault.get("Code")
            if code == "NoSuchBucket":
                raise SettingsError(
                    f"{self._what}: there is no bucket {self._bucket!r}{at}: make it, or name "
                    "another"
                ) from error
            if code in _NOT_THERE:
                raise FileNotFoundError(where) from error
            advice = "look at the object store's log"
            if code in _FORBIDDEN:
                advice = f"the AWS credentials here must allow {right}"
            raise Unreachable(f"{self._what}: {where}: {code}: {words}; {advice}") from error
        except BotoCoreError as error:
            raise Unreachable(
                f"{self._what}: {where}: {error}; look at MLFLOW_S3_ENDPOINT_URL, the keys and the "
                "network"
            ) from error
