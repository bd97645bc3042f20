"""What the URLs of databases are made into: with a driver that is installed, as they are shown."""

from __future__ import annotations

from pathlib import Path

from registry.errors import SettingsError


def driver(url: str) -> str:
    """Name the driver: SQLAlchemy 2.1 takes another one for a bare `postgresql://`."""
    for bare in ("postgresql://", "postgres://"):
        if url.startswith(bare):
            return "postgresql+psycopg2://" + url.removeprefix(bare)
    return url


def store(uri: str) -> str:
    """An MLflow store that has a registry with stages; a file store is refused."""
    if "://" not in uri or uri.startswith("file:"):
        raise SettingsError(
            f"MLflow store {uri!r}: file stores are no longer supported; move it into a database "
            "with `mlflow migrate-filestore` and set MLFLOW_TRACKING_URI to that"
        )
    return driver(uri)


def beside(registry: str) -> str:
    """The ledger's file beside an embedded registry; any other registry needs the setting."""
    if not registry.startswith("sqlite:///"):
        raise SettingsError(
            "BATON_LEDGER_URL: needed because the registry is not an embedded one; expected the "
            "URL of the ledger's own database, as postgresql://user@host/baton"
        )
    return f"sqlite:///{Path(registry.removeprefix('sqlite:///')).with_name('ledger.db')}"


def without_password(uri: str) -> str:
    """`uri` with what stands between the scheme and the host hidden."""
    scheme, found, rest = uri.partition("://")
    return f"{scheme}://…@{rest.rpartition('@')[2]}" if found and "@" in rest else uri
