"""MLflow's server in its container: `mlflow_server.py migrate`, then `mlflow_server.py serve`.

MLflow reads the address of its users' database from an ini file only, which would be a password in
the image or on a command line: it is written here, into memory, from a secret's file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_INI = Path("/tmp/mlflow-auth.ini")  # noqa: S108 - a tmpfs of this container's own
_USAGE = "expected `migrate` or `serve`"


def ini(environ: Mapping[str, str]) -> str:
    """MLflow's file of its login; passwords are looked at once a minute, which each cost 0.6 s."""
    url = driver(environ["MLFLOW_AUTH_DATABASE_URL"]).replace("%", "%%")
    lines = {
        "database_uri": url,
        "default_permission": "READ",
        "admin_username": environ["MLFLOW_AUTH_ADMIN_USERNAME"],
        "auth_cache_ttl_seconds": "60",
    }
    return "[mlflow]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())


def driver(url: str) -> str:
    """Name the driver that is installed: SQLAlchemy takes another for a bare `postgresql://`."""
    scheme, found, rest = url.partition("://")
    return (
        f"postgresql+psycopg2://{rest}" if found and scheme in {"postgresql", "postgres"} else url
    )


def migrate() -> int:
    """Bring both databases to this MLflow's schemas; nothing to do is quick."""
    from mlflow.db import commands as tracking  # noqa: PLC0415 - slow
    from mlflow.server.auth.db.cli import commands as users  # noqa: PLC0415 - reads the ini file

    tracking(["upgrade", os.environ["MLFLOW_BACKEND_STORE_URI"]], standalone_mode=False)
    url = driver(os.environ["MLFLOW_AUTH_DATABASE_URL"])
    users(["upgrade", "--url", url], standalone_mode=False)
    return 0


def serve() -> int:
    """Become the server; what else it needs it reads from its own variables."""
    server = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    listen = ["--host", "0.0.0.0", "--port", "5000", "--workers", "1"]  # noqa: S104 - a container
    os.execv(sys.executable, [*server, *listen])  # noqa: S606 - our own list


def main(arguments: Sequence[str]) -> int:
    """Write the file, then do what was asked."""
    verbs = {"migrate": migrate, "serve": serve}
    if len(arguments) != 1 or arguments[0] not in verbs:
        sys.stderr.write(f"{_USAGE}, got {' '.join(arguments)!r}\n")
        return 2
    try:
        _INI.touch(mode=0o600)
        _INI.write_text(ini(os.environ), encoding="utf-8")
        os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(_INI)
        os.environ["MLFLOW_BACKEND_STORE_URI"] = driver(os.environ["MLFLOW_BACKEND_STORE_URI"])
    except KeyError as error:
        sys.stderr.write(f"{error.args[0]}: not set; expected {error.args[0]}_FILE to name it\n")
        return 2
    return verbs[arguments[0]]()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
