"""Tables of Baton's own, on sqlite and on PostgreSQL: made, changed from older ones, left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from click.testing import CliRunner

from registry import ledger_tables as tables
from registry.__main__ import main
from registry.database import Kept, Migrated
from registry.errors import BatonError, SettingsError
from registry.grants import grants_file
from registry.jobs_database import KEPT as JOBS
from registry.ledger import Turn
from registry.ledger_database import KEPT as LEDGER
from registry.outcomes_database import KEPT as OUTCOMES
from registry.predictions_database import KEPT as PREDICTIONS
from registry.sql_jobs import SqlJobs
from registry.sql_ledger import SqlLedger
from registry.sql_predictions import SqlPredictions
from tests.fakes import draft
from tests.fakes.old_schemas import make_old

OLD = [(LEDGER, 1), (LEDGER, 2), (JOBS, 1)]
ALL = [LEDGER, JOBS, PREDICTIONS, OUTCOMES]


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def execute(url: str, *statements: str) -> None:
    with connected(url) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def differences(url: str, kept: Kept) -> list[object]:
    """What Alembic would change to get today's definitions."""
    with connected(url) as connection:
        context = MigrationContext.configure(connection)
        found: list[object] = compare_metadata(context, kept.schema.metadata)
        return found


def stamp(url: str) -> tuple[int, int]:
    with connected(url) as connection:
        row = connection.exec_driver_sql(
            "SELECT schema_version, compatible_since FROM baton_ledger"
        )
        version, since = row.one()
        return version, since


@pytest.fixture
def in_a_folder(url: str) -> None:
    """The folder of a file that other code than ours makes."""
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True)


@pytest.mark.usefixtures("in_a_folder")
@pytest.mark.parametrize(("kept", "number"), OLD)
def test_older_tables_become_those_of_today(url: str, kept: Kept, number: int) -> None:
    make_old(url, kept.schema.part, number)
    assert differences(url, kept), "a comparison that finds nothing here would prove nothing"
    assert kept.migrate(url) == Migrated(number, kept.schema.newest, ())
    assert differences(url, kept) == []
    assert kept.migrate(url) == Migrated(kept.schema.newest, kept.schema.newest, ())


@pytest.mark.usefixtures("in_a_folder")
@pytest.mark.parametrize("kept", ALL)
def test_new_tables_are_made_at_once_and_as_defined(url: str, kept: Kept) -> None:
    assert kept.migrate(url) == Migrated(None, kept.schema.newest, ())
    assert differences(url, kept) == []


@pytest.mark.usefixtures("in_a_folder")
def test_what_was_in_older_tables_is_kept_and_goes_on(url: str) -> None:
    make_old(url, "ledger", 2)
    make_old(url, "jobs", 1)
    with closing(SqlLedger(url)) as ledger, closing(SqlJobs(url)) as jobs:
        assert ledger.id == "kept"
        assert ledger.lease("registrar") == Turn("kept", 7)
        assert ledger.statuses() == {"kept": {"at_ms": 5}}
        assert ledger.append(draft(), expected=None, at_ms=1) == ledger.head("iris")
        claim = jobs.claim("w", most_running=1)
        assert claim is not None
        assert claim.attempt.job == "kept"


@pytest.mark.usefixtures("in_a_folder")
def test_of_two_that_migrate_at_once_one_does_it(url: str) -> None:
    make_old(url, "ledger", 1)
    together = Barrier(4)

    def migrate(_: int) -> int | None:
        together.wait()
        return LEDGER.migrate(url).before

    with ThreadPoolExecutor(4) as pool:
        before = sorted(number or 0 for number in pool.map(migrate, range(4)))
    assert before == [1, *[LEDGER.schema.newest] * 3]
    assert differences(url, LEDGER) == []


@pytest.mark.usefixtures("in_a_folder")
def test_a_step_that_fails_changes_nothing(url: str) -> None:
    make_old(url, "ledger", 1)
    execute(url, "ALTER TABLE baton_ledger ADD COLUMN compatible_since INTEGER")
    with pytest.raises(BatonError, match="BATON_LEDGER_URL") as refused:
        LEDGER.migrate(url)
    assert "compatible_since" in str(refused.value)
    with connected(url) as connection:
        columns = sa.inspect(connection).get_columns("baton_leases")
        assert [column["name"] for column in columns] == ["name", "expires_ms"]
        found = connection.exec_driver_sql("SELECT schema_version FROM baton_ledger").scalar()
        assert found == 1


def test_what_is_up_to_date_is_only_looked_at(url: str) -> None:
    said: list[str] = []

    @contextmanager
    def heard() -> Iterator[None]:
        def hear(_connection, _cursor, statement: str, *_more: object) -> None:
            said.append(statement.split(maxsplit=1)[0])

        sa.event.listen(sa.Engine, "before_cursor_execute", hear)
        yield
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)

    with heard():
        SqlLedger(url).close()
        SqlJobs(url).close()
        SqlPredictions(url).close()
    assert {"CREATE", "INSERT"} <= set(said), "the ear works"
    said.clear()
    with heard():
        SqlLedger(url).close()
        SqlJobs(url).close()
        SqlPredictions(url).close()
    assert set(said) <= {"SELECT", "PRAGMA"}


def ungranted(known: Iterable[str], kept: Kept) -> list[str]:
    """Tables of which the grants of a part do not speak: taken from all, then given to some."""
    text = grants_file(kept.schema.part).read_text(encoding="utf-8")
    revoked, _, granted = text.partition("\n\n")
    return [table for table in known if not (table in revoked and table in granted)]


@pytest.mark.parametrize("kept", ALL)
def test_every_table_has_its_lines_in_the_grants(kept: Kept) -> None:
    assert ungranted(kept.schema.metadata.tables, kept) == []
    assert ungranted(["baton_new"], kept) == ["baton_new"]


@pytest.mark.usefixtures("in_a_folder")
def test_the_command_says_what_it_did(url: str, tmp_path: Path) -> None:
    unset = dict.fromkeys(name for name in os.environ if name.startswith(("BATON_", "MLFLOW_")))
    parts = dict.fromkeys((f"BATON_{part}_URL" for part in ("LEDGER", "JOBS", "PREDICTIONS")), url)
    given = {"BATON_HOME": str(tmp_path), **parts}

    def said() -> list[str]:
        done = CliRunner(env=unset | given).invoke(main, ["migrate"])
        assert done.exit_code == 0, done.output
        return [line.partition(": ")[2].partition(";")[0] for line in done.output.splitlines()]

    make_old(url, "ledger", 2)
    assert said() == ["changed from schema 2 to 3", "made, schema 2", *["made, schema 1"] * 2]
    assert said() == [f"has schema {number} already" for number in (3, 2, 1, 1)]
    given["BATON_PREDICTIONS_URL"] = "off"
    assert len(said()) == 2
    migrated_by_the_next_release(url, since=3)
    assert said()[0] == "schema 4 is newer than this code's 3: left as it is"


# The release after this one, as it is meant to be: it adds, it takes nothing away.
NEXT = (
    "ALTER TABLE baton_entries ADD COLUMN note TEXT",
    "ALTER TABLE baton_ledger ADD COLUMN more INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE baton_more (id INTEGER PRIMARY KEY)",
)


def migrated_by_the_next_release(url: str, *, since: int) -> None:
    execute(url, *NEXT)
    with connected(url) as connection:
        number = LEDGER.schema.newest + 1
        stamped = sa.update(tables.ledger).values(schema_version=number, compatible_since=since)
        connection.execute(stamped)


def test_code_one_release_older_goes_on_with_newer_tables(url: str) -> None:
    with closing(SqlLedger(url)) as running:
        first = running.append(draft(version=1), expected=None, at_ms=1)
        migrated_by_the_next_release(url, since=LEDGER.schema.newest)
        second = running.append(draft(version=2), expected=first, at_ms=2)
        with closing(SqlLedger(url)) as restarted:
            assert restarted.heads() == [second]
            third = restarted.append(draft(version=3), expected=second, at_ms=3)
            restarted.write_status("a", {}, at_ms=4)
            assert restarted.take_lease("registrar", holder="a", after=None)
        assert running.head("iris") == third
    number = LEDGER.schema.newest + 1
    assert LEDGER.migrate(url) == Migrated(number, number, ())
    assert stamp(url) == (number, LEDGER.schema.newest), "the older one leaves it as it is"


def test_code_two_releases_older_is_refused(url: str) -> None:
    SqlLedger(url).close()
    migrated_by_the_next_release(url, since=LEDGER.schema.newest + 1)
    number = LEDGER.schema.newest + 1
    with pytest.raises(SettingsError, match=f"schema {number}.*knows 3: upgrade Baton"):
        SqlLedger(url)
    with pytest.raises(SettingsError, match="upgrade Baton"):
        LEDGER.migrate(url)


# As in an image that has no Alembic: an import of it fails.
_WITHOUT = """
import sys
sys.modules["alembic"] = None
from registry.errors import SettingsError
from registry.sql_jobs import SqlJobs
from registry.sql_ledger import SqlLedger
from registry.sql_predictions import SqlPredictions
try:
    for _ in range(2):  # the others are made, then opened
        SqlLedger(sys.argv[1]).heads()
        SqlJobs(sys.argv[1]).look()
        SqlPredictions(sys.argv[1]).found([])
except SettingsError as error:
    sys.exit(str(error))
"""


@pytest.mark.usefixtures("in_a_folder")
def test_only_what_changes_older_tables_needs_alembic(url: str) -> None:
    def without_alembic() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", _WITHOUT, url]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    make_old(url, "ledger", 2)
    refused = without_alembic()
    assert "BATON_LEDGER_URL: the ledger has schema 2, this Baton needs schema 3" in refused.stderr
    assert "python -m registry migrate" in refused.stderr
    LEDGER.migrate(url)
    done = without_alembic()
    assert (done.returncode, done.stderr) == (0, "")
