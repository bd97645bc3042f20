"""The roles of the stack on a real PostgreSQL: each can do what its service does.

What they may not do is in `test_role_refusals.py`.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from registry.errors import SettingsError
from registry.feedback import Fate, Receiver
from registry.jobs import JobKind, JobRequest, JobState, Outcome, Progress, Standing
from registry.listener import Listener
from registry.outcomes import OfPrediction, Said
from registry.outcomes import Outcome as Told
from registry.predictions import Position
from registry.retention import SECONDS_A_DAY as DAY
from registry.retention import forget
from registry.sql_jobs import SqlJobs
from registry.sql_ledger import SqlLedger
from registry.sql_outcomes import SqlOutcomes
from registry.sql_predictions import SqlPredictions
from serving.assignments import Held
from serving.node.heads import LedgerHeads
from serving.node.status import Status
from tests.fakes import draft
from tests.fakes.predicted import made
from tests.integration.commands import MODEL, Registered, Shell
from tests.missing import ServiceMissing
from tests.mlflow_home import MlflowTemplate
from tests.stack.databases import PASSWORDS, Databases

PATIENCE_SECONDS = 60.0
PARTS = ("LEDGER", "JOBS", "PREDICTIONS")
SCHEMAS = 4  # what came true lies beside the predictions


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """With roles and tables, made as in the stack."""
    try:
        made = Databases.start(tmp_path_factory.mktemp("stack") / "secrets")
    except ServiceMissing as missing:
        missing.skip_or_fail()
    done = made.run_roles_sh()
    assert done.returncode == 0, done.stderr
    yield made
    made.server.stop()


@pytest.fixture(scope="module")
def registered(
    mlflow_template: MlflowTemplate, tmp_path_factory: pytest.TempPathFactory
) -> Registered:
    return Registered.make(mlflow_template, tmp_path_factory.mktemp("registered") / "var")


@pytest.fixture(scope="module")
def shell(
    databases: Databases, registered: Registered, tmp_path_factory: pytest.TempPathFactory
) -> Shell:
    """A person or CI with the writer's secret; the tables are there."""
    made = registered.shell(tmp_path_factory.mktemp("writer") / "var")
    tracking = {"MLFLOW_TRACKING_URI": made.settings.tracking_uri}
    owner = {f"BATON_{name}_URL_FILE": secret(databases, "owner") for name in PARTS}
    done = made.call("migrate", **tracking, **owner)
    assert done.code == 0, done.err
    made_and_granted = (done.out.count("made, schema"), done.out.count("granted to baton_node"))
    assert made_and_granted == (SCHEMAS, SCHEMAS)
    assert PASSWORDS["baton_owner"] not in done.out
    again = made.call("migrate", "--json", **tracking, **owner)
    assert {part["before"] for part in again.json.values()} == {1, 2, 3}
    writer = {"BATON_LEDGER_URL_FILE": secret(databases, "writer")}
    return Shell(made.settings, made.environ | tracking | writer)


def secret(databases: Databases, who: str) -> str:
    return str(databases.secrets / f"ledger_url_{who}")


@pytest.fixture
def opened(databases: Databases, shell: Shell) -> Iterator[Callable[..., SqlLedger]]:
    """The ledger as a role sees it."""
    ledgers: list[SqlLedger] = []

    def open_as(role: str, application: str = "baton") -> SqlLedger:
        ledgers.append(SqlLedger(databases.url(role), application=application))
        return ledgers[-1]

    yield open_as
    for ledger in ledgers:
        ledger.close()


def eventually(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.05)
    return False


def heart(home: Path, environ: dict[str, str]) -> int:
    """The health check of a registrar's container."""
    command = [sys.executable, "-m", "registry.heart"]
    return subprocess.run(command, cwd=home, env=environ, check=False, timeout=60).returncode


def test_a_registrar_and_a_promotion_need_no_more_than_the_writer(
    shell: Shell, opened: Callable[..., SqlLedger]
) -> None:
    ledger, home = opened("baton_writer"), shell.settings.home
    assert heart(home, shell.environ) == 1
    registrar = shell.start("registrar")
    try:
        assert eventually(lambda: ledger.lease("registrar") is not None)
        assert eventually(lambda: heart(home, shell.environ) == 0)
        shell.mlflow.transition_model_version_stage(MODEL, "1", "Production")
        assert eventually(lambda: shell.alias() == 1), "the click is adopted and drawn"
        done = shell.call("promote", MODEL, "2", "--json")
        assert (done.code, done.json["entry"]["synced"]) == (0, True), done.err
        assert shell.call("rollback", MODEL).code == 0
        assert shell.call("verify").code == 0
    finally:
        registrar.send_signal(signal.SIGTERM)
        assert registrar.wait(timeout=PATIENCE_SECONDS) == 0
    assert ledger.lease("registrar") is None, "given back"
    assert heart(home, shell.environ) == 1
    assert [entry.route.version for entry in ledger.history(MODEL) if entry.route] == [1, 2, 1]


def test_a_promotion_with_the_nodes_role_is_refused_by_name(
    shell: Shell, databases: Databases
) -> None:
    done = shell.call("promote", MODEL, "2", BATON_LEDGER_URL_FILE=secret(databases, "node"))
    assert done.code == 2
    assert "BATON_LEDGER_URL: its role may not do this" in done.err
    assert "docs/databases.md" in done.err


def test_a_node_needs_no_more_than_its_role(opened: Callable[..., SqlLedger]) -> None:
    writer, node = opened("baton_writer"), opened("baton_node", "serving-a")
    entry = writer.append(draft("for-nodes"), expected=None, at_ms=1)
    heads = LedgerHeads(lambda: node)
    assert "for-nodes" in [one.model for one in heads.news()]
    with ThreadPoolExecutor(1) as teller:
        status = Status("serving-a", lambda: node, teller=teller)
        for now in (0.0, 10.0, 20.0):
            status.tell(
                {"for-nodes": Held(index=0, refused="no memory", refused_key=entry.key)}, now
            )
            assert status._telling is not None
            assert status._telling.result(timeout=PATIENCE_SECONDS)
    said = opened("baton_writer").statuses()["serving-a"]["models"]["for-nodes"]
    assert said["refused_seq"] == str(entry.key)


def test_a_watcher_as_it_is_started_writes_the_row_of_its_host(
    databases: Databases, shell: Shell, opened: Callable[..., SqlLedger], tmp_path: Path
) -> None:
    environ = shell.environ | {
        "BATON_HOME": str(tmp_path),
        "BATON_LEDGER_URL_FILE": secret(databases, "node"),
    }
    command = [sys.executable, "-m", "serving.node"]
    with tmp_path.joinpath("log").open("wb") as log:
        watcher = subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=log, stderr=log)
    try:
        ledger = opened("baton_writer")
        written = eventually(lambda: socket.gethostname() in ledger.statuses())
        assert written, tmp_path.joinpath("log").read_text()
    finally:
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(timeout=PATIENCE_SECONDS) == 0


def test_a_node_hears_of_entries(databases: Databases, opened: Callable[..., SqlLedger]) -> None:
    heard = threading.Semaphore(0)
    listener = Listener(databases.url("baton_node"), heard.release)
    listener.start()
    try:
        assert heard.acquire(timeout=PATIENCE_SECONDS), "it listens"
        opened("baton_writer").append(draft("heard"), expected=None, at_ms=1)
        assert heard.acquire(timeout=PATIENCE_SECONDS), "and was told"
    finally:
        listener.close()


def test_a_node_cannot_write_the_row_of_another_name(opened: Callable[..., SqlLedger]) -> None:
    one, other = opened("baton_node", "one"), opened("baton_node", "other")
    one.write_status("one", {"by": "one"}, at_ms=1)
    for name in ("one", "a-third"):
        with pytest.raises(SettingsError, match="BATON_LEDGER_URL.*row-level security"):
            other.write_status(name, {"by": "other"}, at_ms=2)
    assert one.statuses()["one"] == {"by": "one", "at_ms": 1}
    assert "a-third" not in one.statuses()


def test_a_role_of_its_own_binds_a_node_to_its_name_whatever_it_says(
    databases: Databases, opened: Callable[..., SqlLedger]
) -> None:
    role = '"baton_node_serving-b"'
    databases.execute(f"CREATE ROLE {role} LOGIN IN ROLE baton_node PASSWORD 'b'")
    own = databases.url("baton_node_serving-b", word="b")
    with closing(SqlLedger(own, application="serving-b")) as ledger:
        ledger.write_status("serving-b", {}, at_ms=1)
        ledger.heads()
    opened("baton_node", "serving-c").write_status("serving-c", {}, at_ms=1)
    with closing(SqlLedger(own, application="serving-c")) as liar:
        for name in ("serving-c", "serving-d"):
            with pytest.raises(SettingsError, match="row-level security"):
                liar.write_status(name, {}, at_ms=2)


def test_a_long_name_is_written_too(opened: Callable[..., SqlLedger]) -> None:
    name = "n" * 64  # the longest host name of Linux; PostgreSQL cuts names after 63
    opened("baton_node", name).write_status(name, {}, at_ms=1)
    assert name in opened("baton_writer").statuses()


def asked(owner: str) -> JobRequest:
    return JobRequest(
        id=str(uuid.uuid4()), kind=JobKind.TRAIN, owner=owner, body={"workload": "iris"}
    )


def test_nodes_ask_for_jobs_and_a_worker_does_them(databases: Databases, shell: Shell) -> None:
    with (
        closing(SqlJobs(databases.url("baton_node"))) as node,
        closing(SqlJobs(databases.url("baton_worker"))) as worker,
    ):
        first, _ = node.enqueue(asked("ada"), most_live=5)
        claim = worker.claim("w", most_running=5)
        assert claim is not None
        assert claim.attempt.job == first.id
        assert worker.beat(claim.attempt, Progress(step="fit")) is Standing.MINE
        assert worker.give_back(claim.attempt)
        claim = worker.claim("w", most_running=5)
        assert claim is not None
        pulses = worker.look().running
        assert worker.take_from_silent(first.id, pulses[first.id])
        claim = worker.claim("w", most_running=5)
        assert claim is not None
        done = Outcome(state=JobState.FINISHED, model="iris", version="1")
        assert worker.finish(claim.attempt, Progress(progress=1.0), done)
        second, _ = node.enqueue(asked("ada"), most_live=5)
        node.cancel(second.id)
        states = [job.state for job in node.newest("ada", most=5)]
        assert states == [JobState.CANCELLED, JobState.FINISHED]


def test_a_job_that_trains_reads_what_it_is_compared_with(
    opened: Callable[..., SqlLedger],
) -> None:
    opened("baton_writer").append(draft("compared"), expected=None, at_ms=1)
    head = opened("baton_worker").head("compared")
    assert head is not None


@pytest.fixture
def log_of(databases: Databases, shell: Shell) -> Iterator[Callable[[str], SqlPredictions]]:
    """The prediction log as a role sees it."""
    opened: list[SqlPredictions] = []

    def open_as(role: str) -> SqlPredictions:
        opened.append(SqlPredictions(databases.url(role)))
        return opened[-1]

    yield open_as
    for one in opened:
        one.close()


def said(prediction: str) -> Said:
    about = OfPrediction(prediction)
    return Said(outcome=Told(about=about, value=1.0, at=0.0, by="ada", told=3 * DAY))


def test_who_ships_predictions_adds_to_the_log_and_others_read_and_forget(
    databases: Databases, log_of: Callable[[str], SqlPredictions]
) -> None:
    sink, days = log_of("baton_log"), [made(number, time=number * DAY) for number in range(3)]
    unfit = made(9, status=2**40)
    assert sink.append("spool", "lane", [*days, unfit], Position(1, 10)) == 3
    assert sink.append("spool", "lane", days, Position(1, 10)) == 0
    assert (sink.position("spool", "lane"), sink.refused) == (Position(1, 10), 1)
    for role in ("baton_writer", "baton_worker"):
        assert list(log_of(role).predictions("iris", 0, 3 * DAY)) == days
    with closing(SqlOutcomes(databases.url("baton_log"))) as outcomes:
        outcomes.tell([said(one.prediction_id) for one in days])
    gone = forget(databases.url("baton_writer"), {"iris": 1.0}, otherwise=None, now=3 * DAY)
    assert (gone.days, gone.records, gone.outcomes) == (2, 0, 2)
    assert list(log_of("baton_writer").predictions("iris", 0, 3 * DAY)) == days[2:]


def test_nodes_take_feedback_and_others_fetch_what_came_true(
    databases: Databases, log_of: Callable[[str], SqlPredictions]
) -> None:
    record = made(77)
    assert log_of("baton_log").append("fed", "lane", [record], Position(1, 10)) == 1
    piece = {"prediction_id": record.prediction_id, "row": 1, "actual": "virginica"}
    for number, role in enumerate(("baton_log", "baton_worker", "baton_writer")):
        with closing(SqlOutcomes(databases.url(role))) as outcomes:
            receiver = Receiver(outcomes=outcomes, now=time.time)
            received = receiver.receive([piece, {**piece, "row": 2}], by=role)
            fates = {fate.value: count for fate, count in received.counts.items() if count}
            assert fates == {("contradicting" if number else "accepted"): 1, "refused": 1}
            corrected = {**piece, "actual": role, "correct": True}
            assert receiver.receive([corrected], by=role).counts[Fate.ACCEPTED] == 1
