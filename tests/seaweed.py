"""A real S3 server for a test session: SeaweedFS, own directory, own ports, ended by its pid.

It knows two identities: one that writes, and one that may do nothing but read the bucket, as a
node's. `make test-s3` names another server instead, with its bucket and keys: BATON_TEST_S3_….
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.missing import ServiceMissing

_GIVEN = {
    name.removeprefix("BATON_TEST_S3_"): value
    for name, value in os.environ.items()
    if name.startswith("BATON_TEST_S3_") and value
}


def _identity(name: str) -> dict[str, str]:
    """The keys of one, as boto3 reads them of the environment."""
    return {
        "AWS_ACCESS_KEY_ID": _GIVEN.get(f"{name.upper()}_KEY", name),
        "AWS_SECRET_ACCESS_KEY": _GIVEN.get(f"{name.upper()}_SECRET", f"{name}-secret"),
    }


BUCKET = _GIVEN.get("BUCKET", "mlflow")
WRITER = _identity("writer")
READER = WRITER if "ENDPOINT" in _GIVEN and "READER_KEY" not in _GIVEN else _identity("reader")
_PATIENCE_SECONDS = 30
_GRPC = 10_000  # weed listens there too, above each of its ports


@dataclass
class ObjectStore:
    """A server that speaks S3, with one bucket."""

    endpoint: str

    @classmethod
    def named(cls) -> ObjectStore | None:
        """The one that `make test-s3` was told."""
        return cls(_GIVEN["ENDPOINT"]) if "ENDPOINT" in _GIVEN else None

    def put(self, key: str, body: bytes) -> None:
        """Store an object, as MLflow would."""
        self.client(WRITER).put_object(Bucket=BUCKET, Key=key, Body=body)

    def client(self, identity: Mapping[str, str]) -> Any:
        """boto3's client of one identity."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
            aws_access_key_id=identity["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=identity["AWS_SECRET_ACCESS_KEY"],
            config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
        )


@dataclass
class Seaweed(ObjectStore):
    """One running server of the tests' own."""

    process: subprocess.Popen[bytes]
    root: Path
    command: list[str]

    @classmethod
    def start(cls) -> Seaweed:
        """Start a server and wait for it; raises ServiceMissing."""
        weed = _binary()
        root = Path(tempfile.mkdtemp(prefix="baton-seaweed-"))
        (root / "data").mkdir()
        config = root / "s3.json"
        config.write_text(json.dumps({"identities": _identities()}), encoding="utf-8")
        master, volume, filer, s3 = (_free_port() for _ in range(4))
        flags = {
            "dir": root / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.port": master,
            "volume.port": volume,
            "filer.port": filer,
            "s3.port": s3,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.config": config,
            "admin.ui": "false",
            "webdav": "false",
            "master.telemetry": "false",
            "bucket": BUCKET,
        }
        command = [weed, "-logtostderr=true", "mini", *(f"-{k}={v}" for k, v in flags.items())]
        server = cls(f"http://127.0.0.1:{s3}", _spawn(command, root), root, command)
        server._wait()
        return server

    def kill(self) -> None:
        """End it at once, as a power cut would; its data stays."""
        self.process.kill()
        self.process.wait(timeout=_PATIENCE_SECONDS)

    def restart(self) -> None:
        """Start it again on the same data and ports."""
        self.process = _spawn(self.command, self.root)
        self._wait()

    def stop(self) -> None:
        """End the server, whatever it is doing."""
        self.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def _wait(self) -> None:
        """Until it takes an object."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.put("ready", b"")
            except (BotoCoreError, ClientError):
                time.sleep(0.05)
            else:
                return
        words = self.root.joinpath("log").read_text(errors="replace")[-2000:]
        self.stop()
        pytest.fail(f"weed is installed and does not start: {words}", pytrace=False)


def _spawn(command: list[str], root: Path) -> subprocess.Popen[bytes]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    with root.joinpath("log").open("ab") as log:
        return subprocess.Popen(command, cwd=root, stdout=log, stderr=log, env=environ)


def _identities() -> list[dict[str, Any]]:
    actions = ((WRITER, ["Read", "Write", "List"]), (READER, [f"Read:{BUCKET}"]))
    return [
        {
            "name": keys["AWS_ACCESS_KEY_ID"],
            "credentials": [
                {
                    "accessKey": keys["AWS_ACCESS_KEY_ID"],
                    "secretKey": keys["AWS_SECRET_ACCESS_KEY"],
                }
            ],
            "actions": allowed,
        }
        for keys, allowed in actions
    ]


def _binary() -> str:
    """The one of this environment, else the machine's."""
    here = str(Path(sys.executable).parent)
    found = shutil.which("weed", path=os.pathsep.join((here, os.environ.get("PATH", ""))))
    if not found:
        raise ServiceMissing("no S3 server is installed: no weed beside this Python or on PATH")
    return found


def _free_port() -> int:
    """A port below those that the system hands out, free with its gRPC twin."""
    for _ in range(100):
        port = random.SystemRandom().randrange(12_000, 21_000)
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + _GRPC))
            except OSError:
                continue
        return port
    raise ServiceMissing("no two free ports were found for an S3 server")
