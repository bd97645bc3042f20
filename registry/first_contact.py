"""Whether a database answers at all, found out before MLflow tries for minutes."""

from __future__ import annotations

_CONNECT_SECONDS = 10


def connect_once(uri: str) -> None:
    """Try a database store once, for a few seconds: MLflow itself would go on for minutes."""
    if uri.startswith(("sqlite", "http")):
        return
    import sqlalchemy  # noqa: PLC0415 - only where MLflow is about to be used directly

    engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": _CONNECT_SECONDS})
    try:
        engine.connect().close()
    finally:
        engine.dispose()
