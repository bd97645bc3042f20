"""A version's files in S3, read straight from there; reading is all its credentials must allow.

Endpoint, keys and region are boto3's own variables, but for `MLFLOW_S3_ENDPOINT_URL`, which MLflow
takes for its artifacts and a node therefore takes too. Bytes are not checked here but against the
manifest.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from registry.errors import BundleInvalid, Unreachable
from serving.node.sources.http import opened, range_of
from serving.node.sources.source import CONNECT_SECONDS, SILENCE_SECONDS, Opened

_NOT_THERE = frozenset({"404", "NoSuchKey", "NoSuchBucket"})
_TOO_SHORT = frozenset({"416", "InvalidRange"})
_FORBIDDEN = frozenset(
    {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
)


class S3:
    """A prefix of a bucket."""

    def __init__(self, bucket: str, prefix: str, *, endpoint: str = "") -> None:
        """`endpoint` is boto3's own if empty; nothing is asked before a file is opened."""
        self._bucket, self._prefix, self._endpoint = bucket, prefix, endpoint

    def open(self, name: str, start: int) -> Opened:
        """See `Source.open`."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only for S3

        key = f"{self._prefix}/{name}" if self._prefix else name
        address = f"s3://{self._bucket}/{key}"
        asked = {"Range": range_of(start)} if start else {}
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key, **asked)
        except ClientError as error:
            raise self._refused(address, start, error.response) from error
        except (BotoCoreError, ValueError) as error:  # ValueError: no address at all
            raise Unreachable(
                f"{address}{self._at}: {error}; look at the endpoint, the keys and the network"
            ) from error
        return opened(
            address,
            found["Body"],
            content_range=found.get("ContentRange", ""),
            length=str(found.get("ContentLength", "")),
        )

    @cached_property
    def _client(self) -> Any:
        import boto3  # noqa: PLC0415 - only for S3
        from botocore.config import Config  # noqa: PLC0415 - as above

        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=SILENCE_SECONDS,
            retries={"total_max_attempts": 2, "mode": "standard"},
            response_checksum_validation="when_required",
        )
        # A session of its own: boto3's common one would keep keys that were changed since.
        return boto3.Session().client("s3", endpoint_url=self._endpoint or None, config=config)

    @property
    def _at(self) -> str:
        return f" at {self._endpoint}" if self._endpoint else ""

    def _refused(
        self, address: str, start: int, response: dict[str, Any]
    ) -> BundleInvalid | Unreachable:
        fault = response.get("Error", {})
        code, words = str(fault.get("Code")), fault.get("Message") or fault.get("Code")
        if code in _NOT_THERE:
            return BundleInvalid(f"{address}{self._at}: no such object ({code})")
        if code in _TOO_SHORT:
            return BundleInvalid(
                f"{address}{self._at}: ends before byte {start}, where it broke off"
            )
        if code in _FORBIDDEN:
            # AWS says so too of what is not there, to whoever may not list the bucket.
            advice = "the object must be there and this node's AWS credentials allow s3:GetObject"
            return Unreachable(f"{address}{self._at}: refused ({code}): {words}; {advice}")
        return Unreachable(f"{address}{self._at}: {code}: {words}; look at the object store's log")
