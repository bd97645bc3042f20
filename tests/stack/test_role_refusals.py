"""What the roles of the stack may not do, and what is said where a database cannot be used."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege

from registry.errors import SettingsError, Unreachable
from registry.jobs_database import KEPT as JOBS
from registry.ledger_database import KEPT as LEDGER
from registry.outcomes_database import KEPT as OUTCOMES
from registry.predictions_database import KEPT as PREDICTIONS
from registry.sql_jobs import SqlJobs
from registry.sql_ledger import SqlLedger
from serving.node.heads import LedgerHeads
from tests.fakes.old_schemas import make_old
from tests.missing import ServiceMissing
from tests.stack.databases import PASSWORDS, Databases

SCHEMAS = (
    "CREATE TABLE mine (i integer)",
    "CREATE TEMPORARY TABLE mine (i integer)",
    "ALTER TABLE baton_entries ADD COLUMN mine integer",
    "DROP TABLE baton_reports",
    "TRUNCATE baton_entries",
    "CREATE RULE mine AS ON DELETE TO baton_entries DO INSTEAD NOTHING",
    "ALTER TABLE baton_node_status DISABLE ROW LEVEL SECURITY",
    "SET ROLE baton_owner",
    "COPY baton_reports TO PROGRAM 'cat'",
)
HISTORY = (
    "UPDATE baton_entries SET reason = 'another'",
    "UPDATE baton_entries SET hash = 'another'",
    "DELETE FROM baton_entries",
    "DELETE FROM baton_heads",
    "UPDATE baton_heads SET model = 'another'",
    "UPDATE baton_ledger SET epoch = 0",
    "UPDATE baton_ledger SET schema_version = 99",
    "UPDATE baton_ledger SET id = 'another'",
    "DELETE FROM baton_ledger",
    "UPDATE baton_reports SET body = 'another'",
    "DELETE FROM baton_reports",
    "DELETE FROM baton_node_status",
    "UPDATE baton_node_status SET node = 'another'",
    "DELETE FROM baton_jobs",
    "UPDATE baton_jobs SET owner = 'another'",
    "UPDATE baton_jobs SET body = 'another'",
    "UPDATE baton_jobs_schema SET version = 99",
    "UPDATE baton_predictions SET outputs = '{}'",
    "UPDATE baton_refused_predictions SET reason = 'another'",
    "UPDATE baton_prediction_positions SET lane = 'another'",
    "UPDATE baton_predictions_schema SET version = 99",
    "TRUNCATE baton_predictions",
)
WRITES = (
    "INSERT INTO baton_entries VALUES (1, 'm', 1, 1, 'k', 'r', 'a', 'd', 'why', NULL, 1, '', 'h')",
    "UPDATE baton_entries SET snapshot = 'another'",
    "INSERT INTO baton_heads VALUES ('m', 1)",
    "UPDATE baton_heads SET revision = 7",
    "UPDATE baton_ledger SET revision = 7",
    "INSERT INTO baton_reports VALUES ('id', 'body')",
    "INSERT INTO baton_leases VALUES ('registrar', 'me', 1)",
    "UPDATE baton_leases SET holder = 'me'",
    "DELETE FROM baton_leases",
)
SHIPPED = (
    "INSERT INTO baton_refused_predictions VALUES ('id', 1, 'why', 'body')",
    "UPDATE baton_prediction_positions SET read_to = 1",
    "SELECT baton_predictions_day('2026-01-01')",
)
FORGOTTEN = (
    "DELETE FROM baton_predictions",
    "DELETE FROM baton_prediction_positions",
    "DELETE FROM baton_refused_predictions",
    "SELECT baton_predictions_drop('2026-01-01')",
    "DELETE FROM baton_outcomes",
)
READ = ("SELECT * FROM baton_predictions", "SELECT * FROM baton_refused_predictions")
CHANGED = (
    "UPDATE baton_outcomes SET label = 'another'",
    "UPDATE baton_outcomes_by_date SET number = 7",
    "DELETE FROM baton_outcomes_by_date",
    "UPDATE baton_outcomes_schema SET version = 7",
)
REFUSED = {
    "baton_writer": (
        *SCHEMAS,
        *HISTORY,
        "INSERT INTO baton_node_status VALUES ('n', 1, '{}')",
        "UPDATE baton_node_status SET body = 'another'",
        "SELECT * FROM baton_jobs",
        *SHIPPED,
        *CHANGED,
    ),
    "baton_node": (
        *SCHEMAS,
        *HISTORY,
        *WRITES,
        *SHIPPED,
        *FORGOTTEN,
        *READ,
        *CHANGED,
        "SELECT * FROM baton_outcomes",
        "UPDATE baton_jobs SET result = 'another'",
    ),
    "baton_worker": (
        *SCHEMAS,
        *HISTORY,
        *WRITES,
        "UPDATE baton_jobs SET cancelling = false",
        "SELECT nextval('baton_jobs_n_seq')",
        "SELECT * FROM baton_leases",
        "SELECT * FROM baton_node_status",
        *SHIPPED,
        *FORGOTTEN,
        *CHANGED,
    ),
    "baton_log": (
        *(one for one in SCHEMAS if "TEMPORARY" not in one),
        *HISTORY,
        *WRITES,
        *FORGOTTEN,
        *READ,
        *CHANGED,
        "SELECT outputs FROM baton_predictions",
        "DROP TABLE baton_predictions",
        "ALTER TABLE baton_predictions ADD COLUMN mine integer",
        "SELECT * FROM baton_jobs",
        "SELECT * FROM baton_entries",
    ),
}


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """With roles and tables, made as in the stack."""
    try:
        made = Databases.start(tmp_path_factory.mktemp("stack") / "secrets")
    except ServiceMissing as missing:
        missing.skip_or_fail()
    done = made.run_roles_sh()
    assert done.returncode == 0, done.stderr
    for kept in (LEDGER, JOBS, PREDICTIONS, OUTCOMES):
        assert kept.migrate(made.url("baton_owner")).roles
    yield made
    made.server.stop()


def is_refused(connection: Any, statement: str) -> bool:
    try:
        connection.cursor().execute(statement)
    except InsufficientPrivilege:
        return True
    finally:
        connection.rollback()
    return False


@pytest.mark.parametrize("role", REFUSED)
def test_a_role_may_do_nothing_but_what_its_service_does(databases: Databases, role: str) -> None:
    with (
        closing(psycopg2.connect(databases.address(role))) as limited,
        closing(psycopg2.connect(databases.server._address("baton"))) as superuser,
    ):
        for statement in REFUSED[role]:
            assert is_refused(limited, statement), f"{role} may do this: {statement}"
            assert not is_refused(superuser, statement), "so it was the role, not the words"


def test_what_was_granted_besides_is_seen_and_taken_away_by_a_migration(
    databases: Databases,
) -> None:
    statement = "DELETE FROM baton_entries"
    databases.execute("GRANT DELETE ON baton_entries TO baton_writer", database="baton")
    with closing(psycopg2.connect(databases.address("baton_writer"))) as writer:
        assert not is_refused(writer, statement)
        LEDGER.migrate(databases.url("baton_owner"))
        assert is_refused(writer, statement)


@pytest.mark.parametrize("role", [role for role in PASSWORDS if role != "mlflow"])
@pytest.mark.parametrize("database", ["mlflow", "mlflow_auth", "postgres", "template1"])
def test_batons_roles_reach_no_other_database(
    databases: Databases, role: str, database: str
) -> None:
    with pytest.raises(Unreachable, match="BATON_LEDGER_URL") as refused:
        SqlLedger(databases.url(role, database))
    assert "permission denied for database" in str(refused.value)


def test_mlflow_owns_its_databases_and_reaches_no_other(databases: Databases) -> None:
    for database in ("mlflow", "mlflow_auth"):
        with closing(psycopg2.connect(databases.address("mlflow", database))) as connection:
            connection.cursor().execute("CREATE TABLE runs (id integer)")
    with pytest.raises(Unreachable, match="permission denied for database"):
        SqlLedger(databases.url("mlflow"))


def test_a_wrong_password_is_told_without_it(databases: Databases) -> None:
    for opened, setting in ((SqlLedger, "BATON_LEDGER_URL"), (SqlJobs, "BATON_JOBS_URL")):
        with pytest.raises(Unreachable, match=setting) as refused:
            opened(databases.url("baton_node", word="not-the-word"))
        assert 'password authentication failed for user "baton_node"' in str(refused.value)
        assert "not-the-word" not in str(refused.value)


def test_a_database_that_is_not_there_is_named(databases: Databases) -> None:
    with pytest.raises(Unreachable, match="BATON_LEDGER_URL") as refused:
        SqlLedger(databases.url("baton_owner", "nowhere"))
    assert 'database "nowhere" does not exist' in str(refused.value)


@pytest.fixture
def other_database(databases: Databases) -> Iterator[str]:
    """One more database of the owner's, without tables."""
    name = "baton_other"
    databases.execute(f"CREATE DATABASE {name} OWNER baton_owner")
    databases.execute(
        "ALTER SCHEMA public OWNER TO baton_owner",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT USAGE ON SCHEMA public TO baton_node",
        database=name,
    )
    yield name
    databases.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_node_before_the_first_migration_is_told_what_to_run(
    databases: Databases, other_database: str
) -> None:
    with pytest.raises(SettingsError, match="the ledger is not there yet.*registry migrate`"):
        SqlLedger(databases.url("baton_node", other_database))


def test_a_node_newer_than_the_tables_is_told_what_to_run_and_waits_for_it(
    databases: Databases, other_database: str
) -> None:
    owner = databases.url("baton_owner", other_database)
    make_old(owner, "ledger", 2)
    databases.execute("GRANT SELECT ON baton_ledger TO baton_node", database=other_database)
    url = databases.url("baton_node", other_database)
    needs = "BATON_LEDGER_URL: the ledger has schema 2, this Baton needs schema 3.*must be owner"
    heads = LedgerHeads(lambda: SqlLedger(url))
    with pytest.raises(SettingsError, match=f"{needs}.*python -m registry migrate"):
        heads.news()
    assert LEDGER.migrate(owner).roles
    assert heads.news() == []


def test_what_changes_tables_waits_for_no_backup_for_long(
    databases: Databases, other_database: str
) -> None:
    owner = databases.url("baton_owner", other_database)
    make_old(owner, "ledger", 2)
    with closing(psycopg2.connect(databases.server._address(other_database))) as backup:
        backup.cursor().execute("LOCK TABLE baton_ledger IN ACCESS SHARE MODE")
        with pytest.raises(Unreachable, match="lock timeout"):
            LEDGER.migrate(owner)
    assert LEDGER.migrate(owner).before == 2


@pytest.fixture
def bad_secrets(databases: Databases, tmp_path: Path) -> Path:
    """A copy of the secrets, to spoil."""
    return Path(shutil.copytree(databases.secrets, tmp_path / "secrets"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "there is no such secret"),
        ("", "is empty"),
        ("postgresql://baton_node@host/baton", "expected postgresql://baton_node:PASSWORD"),
        ("postgresql://baton_node:changeme@host/baton", "8 characters, expected 16"),
        ("postgresql://baton_owner:0123456789abcdef@host/baton", "expected the role baton_node"),
        ("postgresql://baton_node:0123456789abcdef@host/other", "expected the database baton"),
    ],
)
def test_the_script_names_a_secret_that_is_none(
    databases: Databases, bad_secrets: Path, text: str | None, told: str
) -> None:
    file = bad_secrets / "ledger_url_node"
    file.write_text(f"{text}\n")
    if text is None:
        file.unlink()
    done = databases.run_roles_sh(bad_secrets)
    assert done.returncode == 1
    assert str(file) in done.stderr
    assert told in done.stderr
    assert "0123456789abcdef" not in done.stderr


def test_the_script_again_changes_passwords_and_nothing_else(
    databases: Databases, bad_secrets: Path
) -> None:
    new = databases.address("baton_worker", word="the-workers-new-password")
    bad_secrets.joinpath("jobs_url_worker").write_text(new)
    old = databases.url("baton_worker")
    try:
        assert databases.run_roles_sh(bad_secrets).returncode == 0
        with pytest.raises(Unreachable, match="password authentication failed"):
            SqlJobs(old)
        SqlJobs(databases.url("baton_worker", word="the-workers-new-password")).close()
    finally:
        assert databases.run_roles_sh().returncode == 0
    SqlJobs(old).close()
    log = databases.server.root.joinpath("log").read_text()
    assert [word for word in PASSWORDS.values() if word in log] == []
