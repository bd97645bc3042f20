"""MLflow's databases: PostgreSQL by its own tools, sqlite by its own copy.

Tables of Baton's in the same database are left out: the ledger has its own way (`history.py`), the
queue of jobs none. Passwords go to the tools by their environment, which others cannot read.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import sqlalchemy as sa
from sqlalchemy import exc

from registry.database import PATIENCE
from registry.database_urls import without_password
from registry.errors import SettingsError, StepFailed, Unreachable, UsageError
from registry.settings import Settings

_OURS = "baton_"
_OUR_FUNCTION = re.compile(rf" FUNCTION \S+ {_OURS}")
_WORDS = 600  # of what a tool says last
_BUSY_SECONDS = 30.0
_ROOTS = """
SELECT DISTINCT artifact_location FROM experiments
WHERE experiment_id IN (SELECT experiment_id FROM runs) ORDER BY 1
"""
# In the transaction of the restoration: a reader sees the old tables or the new ones.
_EMPTY: Final = r"""
SET lock_timeout = '30s';
SET client_min_messages = warning;
DO $$
DECLARE one text;
BEGIN
  FOR one IN
    SELECT format('%s %s CASCADE', kind, name) FROM (
      SELECT 1, 'DROP TABLE IF EXISTS', oid, relname, oid::regclass::text FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
      UNION ALL
      SELECT 2, 'DROP VIEW IF EXISTS', oid, relname, oid::regclass::text FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'v'
      UNION ALL
      SELECT 3, 'DROP SEQUENCE IF EXISTS', oid, relname, oid::regclass::text FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'S'
      UNION ALL
      SELECT 4, 'DROP ROUTINE IF EXISTS', oid, proname, oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
      UNION ALL
      SELECT 5, 'DROP TYPE IF EXISTS', oid, typname, oid::regtype::text FROM pg_type
        WHERE typnamespace = current_schema()::regnamespace AND typtype IN ('e', 'd')
    ) AS found (rank, kind, oid, plain, name)
    WHERE plain NOT LIKE 'baton\_%'
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = found.oid AND deptype = 'e')
    ORDER BY rank
  LOOP
    EXECUTE one;
  END LOOP;
END $$;
"""


class Database(Protocol):
    """One database; `dialect` also says what a copy of it is."""

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""

    def reach(self) -> None:
        """Raise unless its server answers, and its tools are here."""

    def look(self) -> None:
        """The same, and unless there is something in it."""

    def artifact_roots(self) -> Sequence[str]:
        """Where the experiments that have runs keep their files."""

    def is_empty(self) -> bool:
        """Whether there is no table in it but Baton's own."""

    def save(self, into: Path) -> None:
        """Copy it, as of one moment, into a new file."""

    def load(self, saved: Path) -> None:
        """Make it what was saved, in one transaction; tables that are there are removed."""


def databases(settings: Settings) -> Mapping[str, Database]:
    """Those a backup holds, by what they are for; one that serves two purposes is there once."""
    named = {
        "tracking": (settings.tracking_uri, "MLFLOW_TRACKING_URI"),
        "registry": (settings.registry_uri, "MLFLOW_REGISTRY_URI"),
        "auth": (settings.backup_auth_url, "BATON_BACKUP_AUTH_URL"),
    }
    found: dict[str, Database] = {}
    urls: set[str] = set()
    for purpose, (url, variable) in named.items():
        if url and url not in urls:
            urls.add(url)
            found[purpose] = _database(url, variable)
    return found


def _database(url: str, variable: str) -> Database:
    if url.startswith(("http://", "https://")):
        raise SettingsError(
            f"{variable}: {without_password(url)} is a server, and a backup reads the database "
            "behind it: set it, for this command, to that database's URL"
        )
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError as error:
        raise SettingsError(f"{variable}: not a database URL: {error}") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite" and parsed.database:
        return Sqlite(Path(parsed.database), variable)
    if backend == "postgresql":
        return Postgres(parsed, variable)
    raise SettingsError(f"{variable}: backups are of PostgreSQL and of sqlite files, not {backend}")


@dataclass(frozen=True)
class Sqlite:
    """A file; it may be in use."""

    path: Path
    variable: str
    dialect: str = "sqlite"

    def reach(self) -> None:
        """See `Database.reach`."""

    def look(self) -> None:
        """See `Database.look`."""
        if self.is_empty():
            raise SettingsError(f"{self.variable}: there is no database at {self.path}")

    def artifact_roots(self) -> Sequence[str]:
        """See `Database.artifact_roots`."""
        with self._tell(), closing(sqlite3.connect(self.path)) as connection:
            return [root for (root,) in connection.execute(_ROOTS)]

    def is_empty(self) -> bool:
        """See `Database.is_empty`."""
        if not self.path.is_file():
            return True
        with self._tell(), closing(sqlite3.connect(self.path)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return all(name.startswith(_OURS) for (name,) in names)

    def save(self, into: Path) -> None:
        """See `Database.save`."""
        with (
            self._tell(),
            closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS)) as here,
            closing(sqlite3.connect(into)) as there,
        ):
            here.backup(there)

    def load(self, saved: Path) -> None:
        """See `Database.load`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (
            self._tell(),
            closing(sqlite3.connect(saved)) as there,
            closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS)) as here,
        ):
            there.backup(here)

    @contextmanager
    def _tell(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StepFailed(f"{self.variable}: {self.path}: {error}") from error


@dataclass(frozen=True)
class Postgres:
    """A database of a server."""

    url: sa.URL
    variable: str
    dialect: str = "postgresql"

    def reach(self) -> None:
        """See `Database.reach`."""
        for tool in ("pg_dump", "pg_restore", "psql"):
            if shutil.which(tool) is None:
                raise UsageError(
                    f"{tool}: not on PATH; backups of PostgreSQL need its client, of the server's "
                    "version or newer (Debian: postgresql-client)"
                )
        self.is_empty()

    def look(self) -> None:
        """See `Database.look`."""
        self.reach()
        if self.is_empty():
            raise SettingsError(f"{self.variable}: there is nothing in the database it names")

    def artifact_roots(self) -> Sequence[str]:
        """See `Database.artifact_roots`."""
        with self._connected() as connection:
            return [str(root) for root in connection.execute(sa.text(_ROOTS)).scalars()]

    def is_empty(self) -> bool:
        """See `Database.is_empty`."""
        with self._connected() as connection:
            return all(n.startswith(_OURS) for n in sa.inspect(connection).get_table_names())

    def save(self, into: Path) -> None:
        """See `Database.save`."""
        plain = ["--format=custom", "--no-owner", "--no-privileges", f"--exclude-table=*.{_OURS}*"]
        wait = f"--lock-wait-timeout={_BUSY_SECONDS * 1000:.0f}"
        self._run("pg_dump", *plain, wait, f"--file={into}", self._dbname)

    def load(self, saved: Path) -> None:
        """See `Database.load`; as a script, so that emptying and filling are one transaction."""
        script, empty = saved.with_suffix(".sql"), saved.with_suffix(".empty.sql")
        listed = saved.with_suffix(".list")
        empty.write_text(_EMPTY, encoding="utf-8")
        plain = ["--no-owner", "--no-privileges", "--exit-on-error", f"--use-list={listed}"]
        try:
            # Functions of Baton's are in the copy: pg_dump knows no way to leave some out.
            self._run("pg_restore", "--list", f"--file={listed}", str(saved))
            lines = listed.read_text(encoding="utf-8").splitlines()
            theirs = (line for line in lines if not _OUR_FUNCTION.search(line))
            listed.write_text("\n".join(theirs), encoding="utf-8")
            self._run("pg_restore", *plain, f"--file={script}", str(saved))
            flags = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction"]
            self._run("psql", *flags, f"--file={empty}", f"--file={script}", self._dbname)
        finally:
            for file in (script, empty, listed):
                file.unlink(missing_ok=True)

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        engine = sa.create_engine(self.url, connect_args=dict(PATIENCE))
        try:
            with engine.connect() as connection:
                yield connection
        except exc.OperationalError as error:
            raise Unreachable(
                f"{self.variable}: {error.orig}; check it, and that its database runs"
            ) from error
        except exc.ProgrammingError as error:
            raise SettingsError(f"{self.variable}: not MLflow's database: {error.orig}") from error
        finally:
            engine.dispose()

    @property
    def _dbname(self) -> str:
        address = self.url.set(drivername="postgresql", password=None)
        return f"--dbname={address.render_as_string()}"

    def _run(self, tool: str, *arguments: str) -> None:
        secret = {"PGPASSWORD": str(self.url.password)} if self.url.password else {}
        command: Sequence[str] = [tool, *arguments]
        done = subprocess.run(  # noqa: S603 - our own list
            command,
            env={**os.environ, "PGCONNECT_TIMEOUT": "10", **secret},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            words = done.stderr.strip()[-_WORDS:] or f"ended with {done.returncode}"
            raise StepFailed(f"{self.variable}: {tool}: {words}")
