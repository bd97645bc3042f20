"""How PostgreSQL's own tools are told a password: by their environment, and not by three stars."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from registry.backup.databases import Postgres

TOOL = """#!{python}
import json, os, sys
told = {{"arguments": sys.argv[1:], "password": os.environ.get("PGPASSWORD")}}
open({told!r}, "w").write(json.dumps(told))
"""


@pytest.mark.parametrize("password", ["s3cret", "p@ss/word", None])
def test_the_address_has_no_password_and_the_environment_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    told = tmp_path / "told.json"
    tool = tmp_path / "pg_dump"
    tool.write_text(TOOL.format(python=sys.executable, told=str(told)), encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("PGPASSWORD", raising=False)
    url = sa.URL.create(
        "postgresql+psycopg2", "baton", password, host="db", port=5432, database="mlflow"
    )
    Postgres(url, "MLFLOW_BACKEND_STORE_URI").save(tmp_path / "dump")
    heard = json.loads(told.read_text(encoding="utf-8"))
    assert heard["password"] == password
    assert "--dbname=postgresql://baton@db:5432/mlflow" in heard["arguments"]
