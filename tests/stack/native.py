"""The whole stack as processes of this machine: what compose starts, from the same files.

PostgreSQL with the stack's roles, S3, MLflow's server with its login, two nodes that may only read,
a registrar, and the stack's nginx before them. Each service has the secrets of its role and no
others.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.node import GATES, ROOT, free_port
from registry.process import die_with_parent
from tests.seaweed import BUCKET, READER, WRITER, Seaweed
from tests.servingfakes.node import Node
from tests.stack.databases import Databases
from tests.stack.edge import Edge, edge, self_signed, values
from tests.stack.mlflow_server import MlflowServer
from tests.stack.register_linear import MODEL

PATIENCE_SECONDS = 60.0


@dataclass
class Native:
    """The running stack; its parts may be killed and started again."""

    root: Path
    databases: Databases
    s3: Seaweed
    mlflow: MlflowServer
    nodes: tuple[Node, ...]
    plain_port: int
    edge: Edge

    @property
    def of_a_person(self) -> dict[str, str]:
        """The environment in which people and CI train and promote."""
        ledger = self.databases.address("baton_writer")
        own = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))}
        return {
            **own,
            **self.mlflow.login,
            "BATON_HOME": str(self.root / "person"),
            "BATON_LEDGER_URL": ledger,
            "BATON_JOBS_URL": ledger,
            "BATON_PREDICTIONS_URL": ledger,
            "BATON_ENVIRONMENT": "production",
            "BATON_GATES": str(GATES),
            "PYTHONPATH": str(ROOT),
        }

    def command(self, *arguments: str) -> dict[str, Any]:
        """`python -m …arguments --json` as a person; what it printed."""
        done = self._run(sys.executable, "-m", *arguments, "--json")
        return dict(json.loads(done))

    def shell(self, line: str, **environ: str) -> str:
        """A line of a script, as CI types it; what it printed."""
        return self._run("bash", "-euo", "pipefail", "-c", line, **environ)

    def register(self, *numbers: int) -> None:
        """Register versions of the model whose answers tell which one they are from."""
        self._run(sys.executable, "-m", "tests.stack.register_linear", *map(str, numbers))

    def promote(self, number: int) -> int:
        """Through the gates into Production; the entry's seq."""
        return _number(self.command("registry", "promote", MODEL, str(number))["entry"])

    def rollback(self) -> int:
        """To the version before; the entry's seq."""
        return _number(self.command("registry", "rollback", MODEL)["entry"])

    def head(self, model: str = MODEL) -> int:
        """The seq of a model's newest entry."""
        said = self.command("registry", "status", model)
        return _number(said["models"][model]["entry"])

    def click(self, number: int) -> int:
        """Set a stage as MLflow's page does, without archiving; the seq that this must become."""
        before = self.head()
        line = (
            "from mlflow import MlflowClient;"
            f"MlflowClient().transition_model_version_stage('{MODEL}', '{number}', 'Production')"
        )
        self._run(sys.executable, "-c", line)
        return before + 1

    def reply(self, method: str, path: str, body: Any = None) -> tuple[int, Mapping[str, str], Any]:
        """One request through nginx over TLS: status, headers, and the JSON that came."""
        connection = self.edge.connect()
        with contextlib.closing(connection):
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), json.loads(answer.read())

    def follows(self, seq: int, *, model: str = MODEL) -> float:
        """Wait until each node says that it serves at least `seq`; when, on the loads' clock."""
        for node in self.nodes:
            node.until(lambda node=node: _seq(node, model) >= seq, f"seq {seq} of {model}")
        return time.monotonic()

    def _run(self, *command: str, **environ: str) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**self.of_a_person, **environ},
            capture_output=True,
            text=True,
            check=False,
        )
        said = f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said[:6000]
        return done.stdout


def _number(entry: Mapping[str, Any]) -> int:
    return int(entry["seq"].rpartition(".")[2])


def _seq(node: Node, model: str) -> int:
    said = node.ask("GET", f"/models/{model}")
    return int(said.json.get("seq") or 0) if said.status == 200 else 0


@contextlib.contextmanager
def stack(root: Path) -> Iterator[Native]:
    """Start everything in the order of compose; end it with the block. Raises ServiceMissing."""
    with contextlib.ExitStack() as ending:
        databases = Databases.start(root / "secrets")
        ending.callback(databases.server.stop)
        made = databases.run_roles_sh()
        assert made.returncode == 0, made.stderr
        s3 = Seaweed.start()
        ending.callback(s3.stop)
        mlflow = MlflowServer(
            root / "mlflow",
            store=databases.address("mlflow", "mlflow"),
            logins=databases.address("mlflow", "mlflow_auth"),
            artifacts=f"s3://{BUCKET}",
            s3={"MLFLOW_S3_ENDPOINT_URL": s3.endpoint, **WRITER},
        )
        mlflow.migrate()
        mlflow.start()
        ending.callback(mlflow.kill)
        _migrate(databases)
        nodes = tuple(_node(root / name, databases, s3) for name in ("serving-a", "serving-b"))
        for node in nodes:
            node.start()
            ending.callback(node.stop)
        plain = free_port()
        ending.callback(_registrar(root / "registrar", databases, mlflow))
        door = ending.enter_context(edge(root, _words(root, nodes, mlflow, plain)))
        yield Native(root, databases, s3, mlflow, nodes, plain, door)


def _words(root: Path, nodes: tuple[Node, ...], mlflow: MlflowServer, plain: int) -> dict[str, str]:
    """nginx's, with one listener more: the client that measures speaks no TLS."""
    first, second = (f"127.0.0.1:{node.port}" for node in nodes)
    words = values(
        root,
        serving=(first, second),
        mlflow=f"127.0.0.1:{mlflow.port}",
        grafana="127.0.0.1:1",
        certificate=self_signed(root),
    )
    beside = f"127.0.0.1:{plain} default_server; listen {words['EDGE_HTTPS']}"
    return {**words, "EDGE_HTTPS": beside}


def _node(home: Path, databases: Databases, s3: Seaweed) -> Node:
    """A node as in compose: the role of nodes, keys that read the bucket, no MLflow."""
    ledger = databases.address("baton_node")
    own = {
        "BATON_LEDGER_URL": ledger,
        "BATON_JOBS_URL": ledger,
        "BATON_PREDICTIONS_URL": databases.address("baton_log"),
        "BATON_ARTIFACTS": f"s3://{BUCKET}",
        "MLFLOW_S3_ENDPOINT_URL": s3.endpoint,
        **READER,
    }
    return Node(home, environ=own)


def _migrate(databases: Databases) -> None:
    owner = databases.address("baton_owner")
    done = subprocess.run(
        [sys.executable, "-m", "registry", "migrate"],
        cwd=ROOT,
        env={
            **os.environ,
            "BATON_LEDGER_URL": owner,
            "BATON_JOBS_URL": owner,
            "BATON_PREDICTIONS_URL": owner,
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _registrar(home: Path, databases: Databases, mlflow: MlflowServer) -> Callable[[], None]:
    """Start it; gives what ends it."""
    home.mkdir(parents=True)
    ledger = databases.address("baton_writer")
    own = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "registry", "registrar"],
            cwd=ROOT,
            env={
                **own,
                **mlflow.login,
                "BATON_HOME": str(home),
                "BATON_GATES": str(GATES),
                "BATON_LEDGER_URL": ledger,
                "BATON_JOBS_URL": ledger,
                "BATON_PREDICTIONS_URL": ledger,
            },
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads yet
        )

    def end() -> None:
        process.terminate()
        assert process.wait(timeout=PATIENCE_SECONDS) == 0, (home / "log").read_text()[-3000:]

    return end
