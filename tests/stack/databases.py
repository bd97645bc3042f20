"""A real PostgreSQL with the stack's databases and roles, made by the stack's own script."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2

from registry.settings import Settings
from tests.postgres import Postgres, _binaries

ROOT = Path(__file__).resolve().parents[2]
ROLES_SH = ROOT / "infra" / "postgres" / "roles.sh"
# Each is written in a URL: one has everything that must be quoted there.
PASSWORDS = {
    "baton_owner": "the-owners-own-password",
    "baton_writer": "the-writers-own-password",
    "baton_node": "n0de's p@ss/word: 100%\\safe$(id)",
    "baton_worker": "the-workers-own-password",
    "baton_log": "the-shippers-own-password",
    "mlflow": "the-trackers-own-password",
}
SECRETS = {
    "ledger_url_owner": ("baton_owner", "baton"),
    "ledger_url_writer": ("baton_writer", "baton"),
    "ledger_url_node": ("baton_node", "baton"),
    "jobs_url_worker": ("baton_worker", "baton"),
    "predictions_url_log": ("baton_log", "baton"),
    "mlflow_database_url": ("mlflow", "mlflow"),
    "mlflow_auth_database_url": ("mlflow", "mlflow_auth"),
}
# As in the official image: who comes by the network needs a password. Only the tests' own
# superuser `baton` is let in without.
_HBA = """
host all baton 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""


def reload(server: Postgres) -> None:
    """Have the server read its files again, and wait until whoever connects next is met by them."""

    def asked(question: str) -> object:
        with closing(psycopg2.connect(server._address("postgres"))) as connection:
            cursor = connection.cursor()
            cursor.execute(question)
            return cursor.fetchall()

    before = asked("SELECT pg_conf_load_time()")
    asked("SELECT pg_reload_conf()")
    while asked("SELECT pg_conf_load_time()") == before:
        time.sleep(0.05)


@dataclass
class Databases:
    """The server, and the secrets as files in a directory."""

    server: Postgres
    secrets: Path

    @classmethod
    def start(cls, secrets: Path) -> Databases:
        """Start a server of its own, without any role of ours yet; raises PostgresMissing."""
        made = cls(Postgres.start(), secrets)
        made.server.root.joinpath("data", "pg_hba.conf").write_text(_HBA)
        reload(made.server)
        for name, (role, database) in SECRETS.items():
            made.write(name, made.address(role, database))
        return made

    def address(self, role: str, database: str = "baton", word: str | None = None) -> str:
        """As it stands in a secret."""
        quoted = quote(PASSWORDS[role] if word is None else word, safe="")
        return f"postgresql://{role}:{quoted}@127.0.0.1:{self.server.port}/{database}"

    def url(self, role: str, database: str = "baton", word: str | None = None) -> str:
        """As Baton's processes read it."""
        given = self.address(role, database, word)
        return Settings(ledger_url=given).resolved().ledger_url

    def write(self, secret: str, text: str) -> None:
        """Put a secret into its file."""
        self.secrets.mkdir(exist_ok=True)
        self.secrets.joinpath(secret).write_text(f"{text}\n")

    def run_roles_sh(self, secrets: Path | None = None) -> subprocess.CompletedProcess[str]:
        """The script, as the official image runs it."""
        environ = {
            "PATH": f"{_binaries()}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.server.port),
            "POSTGRES_USER": "baton",
            "SECRETS_DIR": str(secrets or self.secrets),
        }
        return subprocess.run(
            [str(ROLES_SH)], env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """As the superuser."""
        connection = psycopg2.connect(self.server._address(database))
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.close()
