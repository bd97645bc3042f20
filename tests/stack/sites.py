"""A registry with a history in it, embedded or on PostgreSQL and S3, and all its contents."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import sqlalchemy as sa

from registry.settings import Settings
from tests.integration.commands import GATES, MODEL, ROOT, Shell, _graph
from tests.postgres import Postgres
from tests.seaweed import BUCKET, READER, WRITER, Seaweed
from tests.servingfakes.node import Node

PREFIX = "artifacts"
SERVES = 2


@dataclass(frozen=True)
class Site(Shell):
    """Where a registry is; `server` keeps its files, if it is not embedded."""

    server: Seaweed | None = None

    @classmethod
    def embedded(cls, home: Path) -> Site:
        """Everything below `home`, which may be there."""
        return cls._of(home, {}, None)

    @classmethod
    def on(cls, postgres: Postgres, server: Seaweed, home: Path) -> Site:
        """New databases, and a bucket."""
        addresses = {
            "MLFLOW_TRACKING_URI": postgres.new_database(),
            "BATON_LEDGER_URL": postgres.new_database(),
            "BATON_BACKUP_AUTH_URL": postgres.new_database(),
            "BATON_ARTIFACTS": f"s3://{BUCKET}/{PREFIX}",
            "MLFLOW_S3_ENDPOINT_URL": server.endpoint,
            **WRITER,
        }
        return cls._of(home, addresses, server)

    @classmethod
    def _of(cls, home: Path, addresses: Mapping[str, str], server: Seaweed | None) -> Site:
        home.mkdir(parents=True, exist_ok=True)
        gates = home.with_name(f"{home.name}.gates.toml")
        gates.write_text(GATES)
        own = {
            k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_", "AWS_"))
        }
        environ = {
            **own,
            "BATON_HOME": str(home),
            "BATON_GATES": str(gates),
            "BATON_ACTOR": "ada",
            "PYTHONPATH": str(ROOT),
            **addresses,
        }
        return cls(Settings.read(environ, dotenv=home / "none"), environ, server)

    def addresses(self) -> dict[str, str]:
        """What MLflow's own client and boto3 read of the environment."""
        return {k: v for k, v in self.environ.items() if k.startswith(("AWS_", "MLFLOW_"))}

    def fill(self, *, versions: int = 3, back: bool = True) -> None:
        """So many versions, promoted one after the other, and if asked a rollback."""
        os.environ.update(self.addresses())
        mlflow.set_tracking_uri(self.settings.tracking_uri)
        where = f"s3://{BUCKET}/{PREFIX}" if self.server else str(self.settings.artifacts_dir)
        mlflow.set_experiment(experiment_id=mlflow.create_experiment("here", where))
        if self.settings.backup_auth_url:
            _make_users(self.settings.backup_auth_url)
        numbers = range(1, versions + 1)
        for number in numbers:
            self.register(float(number))
        commands = [("promote", MODEL, str(number)) for number in numbers]
        for command in (*commands, *([("rollback", MODEL)] if back else [])):
            done = self.call(*command)
            assert done.code == 0, done.err

    def register(self, weight: float) -> None:
        """One more version, with a run that has something of everything."""
        with mlflow.start_run():
            mlflow.log_params({"weight": weight, "why": "élan “so” 'it' is"})
            mlflow.log_metric("accuracy", 0.95)
            mlflow.log_metric("loss", 1 / 3, step=2)
            mlflow.set_tag("by", "ada")
            mlflow.log_text(f"about {weight}", "notes/a b#1.txt")
            # Without requirements MLflow looks for them in a process of its own, for seconds.
            made = mlflow.onnx.log_model(_graph(weight), name="model", pip_requirements=["onnx"])
        mlflow.register_model(made.model_uri, MODEL)

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table of MLflow's, its users' among them."""
        auth = self.settings.backup_auth_url
        found = {**_rows(self.settings.tracking_uri), **(_rows(auth) if auth else {})}
        return {name: rows for name, rows in found.items() if name[:6] != "baton_"}

    def ledger(self) -> dict[str, list[tuple[Any, ...]]]:
        """The ledger's own tables."""
        return {n: r for n, r in _rows(self.settings.ledger_url).items() if n[:6] == "baton_"}

    def files(self) -> dict[str, bytes]:
        """Every artifact."""
        if self.server is None:
            root = self.settings.artifacts_dir
            return {
                str(path.relative_to(root)): path.read_bytes()
                for path in root.rglob("*")
                if path.is_file()
            }
        client = self.server.client(WRITER)
        keys = [
            found["Key"]
            for page in client.get_paginator("list_objects_v2").paginate(
                Bucket=BUCKET, Prefix=f"{PREFIX}/"
            )
            for found in page.get("Contents", ())
        ]
        read = {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}
        return {key.removeprefix(f"{PREFIX}/"): body for key, body in read.items()}

    def put(self, name: str, body: bytes) -> None:
        """Write an artifact behind everybody's back."""
        if self.server:
            self.server.put(f"{PREFIX}/{name}", body)
        else:
            self.settings.artifacts_dir.joinpath(name).write_bytes(body)


def _make_users(url: str) -> None:
    """As MLflow's own are, but for its migrations."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE users (id SERIAL PRIMARY KEY, username TEXT)")
        connection.exec_driver_sql("INSERT INTO users (username) VALUES ('ada'), ('éve')")
    engine.dispose()


def _rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        found = {
            name: list(connection.execute(sa.select(sa.text("*")).select_from(sa.table(name))))
            for name in names
        }
    engine.dispose()
    return {name: sorted(map(tuple, rows), key=repr) for name, rows in found.items()}


def node_on(site: Site, home: Path) -> Node:
    """A node that may read, and nothing else."""
    made = Node(home, workers=1)
    made.environ = {
        "BATON_LEDGER_URL": site.settings.ledger_url,
        "BATON_GATES": site.environ["BATON_GATES"],
        "MLFLOW_S3_ENDPOINT_URL": site.settings.s3_endpoint,
        **READER,
    }
    return made


def until_answers(node: Node, weight: float, key: tuple[int, int]) -> None:
    """The version that multiplies by `weight` answers, by the entry of this epoch and seq."""

    def answers() -> bool:
        reply = node.ask("POST", f"/models/{MODEL}/predict", {"instances": [[1.0, 1.0]]})
        shown = node.ask("GET", f"/models/{MODEL}").json
        found = reply.status == 200 and reply.json["predictions"]
        return (found, (shown.get("epoch"), shown.get("seq"))) == ([[2 * weight]], key)

    node.until(answers, f"v{weight:g} answers as {key}")
