"""How long backups take: `python -m tests.stack.backup_times MODELS VERSIONS MEGABYTES`.

Real PostgreSQL and S3 on this machine; MLflow's rows and the ledger's entries are real, the files
are random bytes that no model could be loaded from. Not a test: it asserts nothing but that it
worked.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from mlflow import MlflowClient

from registry.backup.export import back_up
from registry.backup.place import Place
from registry.backup.restore import Wish, check, restore
from registry.bundle import Manifest
from registry.ledger import Route
from registry.sql_ledger import SqlLedger
from tests.fakes import draft
from tests.postgres import Postgres
from tests.seaweed import BUCKET, Seaweed
from tests.stack.sites import PREFIX, Site


def fill(site: Site, models: int, versions: int, megabytes: float) -> None:
    """So many models with so many versions, each of two files; the last of each is the head."""
    client, ledger = MlflowClient(site.settings.tracking_uri), SqlLedger(site.settings.ledger_url)
    experiment = client.create_experiment("times", f"s3://{BUCKET}/{PREFIX}")
    for number in range(models):
        name = f"model-{number}"
        client.create_registered_model(name)
        for _ in range(versions):
            with tempfile.TemporaryDirectory() as scratch:
                run = client.create_run(experiment)
                client.log_metric(run.info.run_id, "accuracy", 0.9)
                Path(scratch, "model.onnx").write_bytes(os.urandom(int(megabytes * 1e6)))
                Path(scratch, "MLmodel").write_text(f"flavors: {{}} # {run.info.run_id}")
                client.log_artifacts(run.info.run_id, scratch, "model")
                source = f"{run.info.artifact_uri}/model"
                made = client.create_model_version(name, source, run.info.run_id)
                hashed = Manifest.of(Path(scratch))
            route = Route(
                version=int(made.version),
                created_ms=int(made.creation_timestamp),
                digest=hashed.digest,
                source=source,
                manifest=hashed,
            )
            wanted = draft(name, routes=(route,))
            ledger.append(wanted, expected=ledger.head(name), at_ms=1)


def timed(what: str, work: object) -> None:
    """Do it and print how long that took."""
    assert callable(work)
    begun = time.monotonic()
    done = work()
    print(f"{what}: {time.monotonic() - begun:.1f} s {done}")  # noqa: T201 - what this is for


def main(models: int, versions: int, megabytes: float) -> None:
    """Fill, back up twice, check, restore."""
    postgres, server, fresh = Postgres.start(), Seaweed.start(), Seaweed.start()
    try:
        with tempfile.TemporaryDirectory() as root:
            site = Site.on(postgres, server, Path(root, "var"))
            os.environ.update(site.addresses())
            timed("filled", lambda: fill(site, models, versions, megabytes))
            place = Place(str(Path(root, "place")), endpoint="")
            for what in ("first backup", "second backup"):
                timed(
                    what,
                    lambda: back_up(site.settings, place, keep_backups=2, say=print).body[
                        "artifacts"
                    ],
                )
            timed("check", lambda: check(place, "", say=print).problems)
            other = Site.on(postgres, fresh, Path(root, "other"))
            os.environ.update(other.addresses())
            timed("restore", lambda: restore(other.settings, place, Wish(), say=print).problems)
    finally:
        for one in (postgres, server, fresh):
            one.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
