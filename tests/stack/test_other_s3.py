"""`make test-s3`: the tests of S3 against a server that somebody names."""

from __future__ import annotations

import os
import subprocess

from benchmarks.node import ROOT
from tests.seaweed import BUCKET, WRITER, Seaweed


def make(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", "test-s3", *words],
        cwd=ROOT,
        env={**os.environ, **WRITER, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_server_that_is_named_is_the_one_that_is_asked() -> None:
    server = Seaweed.start()
    try:
        named = f"ENDPOINT={server.endpoint}", f"BUCKET={BUCKET}"
        done = make(*named, "ARGS=-rs -k 'arrives or neither'")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "one pair of keys for both was named" in done.stdout
        found = server.client(WRITER).list_objects_v2(Bucket=BUCKET)["Contents"]
        assert len(found) > 3  # beside what the start of the server left
        refused = make(*named, "ARGS=-k arrives", AWS_SECRET_ACCESS_KEY="another")  # noqa: S106
        assert refused.returncode == 2
        assert "SignatureDoesNotMatch" in refused.stdout
    finally:
        server.stop()
