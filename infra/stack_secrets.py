"""Makes the secrets of the stack that are not there yet: `make secrets HOST=baton.example.org`.

Each is a file below `infra/secrets/`. Only their owner may enter that folder; the files themselves
can be read by all, since they are mounted one by one into containers whose users have many ids.
Nothing that is there is ever written again, but that `KEY=` adds an API key to its file. Needs the
standard library, and openssl for a certificate of one's own making.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from registry.errors import UsageError  # noqa: E402 - needs the line above
from serving.keys import KeyFile, Scope  # noqa: E402 - as above

FOLDER = ROOT / "infra" / "secrets"
KEYS = "api_keys.json"
CERTIFICATE, CERTIFICATE_KEY = "tls_certificate.pem", "tls_key.pem"
_DATABASES = {
    "mlflow_database_url": ("mlflow", "mlflow"),
    "ledger_url_owner": ("baton_owner", "baton"),
    "ledger_url_writer": ("baton_writer", "baton"),
    "ledger_url_node": ("baton_node", "baton"),
    "jobs_url_worker": ("baton_worker", "baton"),
    "predictions_url_log": ("baton_log", "baton"),
}
_PASSWORDS = (
    "postgres_password",
    "mlflow_admin_password",
    "mlflow_flask_secret_key",
    "s3_access_key",
    "s3_secret_key",
    "s3_read_access_key",
    "s3_read_secret_key",
    "grafana_admin_password",
)
_METRICS = "metrics"
# API keys that are made with the others, and what each may do.
_OWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "metrics_key": (_METRICS,),
    "client_key": (Scope.PREDICT, Scope.TRAIN),
}
_BUCKET = "mlflow"


def make(folder: Path, *, host: str) -> list[str]:
    """Make what is missing in `folder`; returns the names of what was made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    made = [name for name, text in _wanted(folder) if _put(folder / name, text)]
    made += [name for name, scopes in _OWN_KEYS.items() if _key(folder, name, scopes)]
    made += _tls(folder, host)
    for path in folder.iterdir():
        path.chmod(0o444)
    return made


def add_key(folder: Path, name: str, scopes: Sequence[str]) -> str:
    """Add an API key to the file that the nodes read; returns it, which nobody can do again."""
    key = KeyFile(folder / KEYS).add(name, [Scope(one) for one in scopes])
    (folder / KEYS).chmod(0o444)
    return key


def revoke_key(folder: Path, named: str) -> str:
    """End the API key of this id or name; returns its id. Raises UsageError.

    A name that several have ends none of them: the message shows their ids.
    """
    file = KeyFile(folder / KEYS)
    having = [key.id for key in file.read() if key.name == named and not key.revoked]
    if len(having) > 1:
        raise UsageError(f"{len(having)} keys are called {named!r}, name one: {', '.join(having)}")
    ended = file.revoke(having[0] if having else named)
    (folder / KEYS).chmod(0o444)
    return ended.id


def certificate(host: str) -> tuple[str, str] | None:
    """A certificate for `host` of one's own making, and its key; None without openssl."""
    openssl = shutil.which("openssl")
    if not openssl:
        return None
    names = f"subjectAltName=DNS:{host},DNS:localhost,DNS:nginx,IP:127.0.0.1"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    with tempfile.TemporaryDirectory() as scratch:
        files = Path(scratch, "certificate"), Path(scratch, "key")
        where = ["-out", str(files[0]), "-keyout", str(files[1])]
        about = ["-days", "825", "-subj", f"/CN={host}", "-addext", names]
        subprocess.run(  # noqa: S603 - our own list
            [openssl, "req", "-x509", *kind, *about, *where], check=True, capture_output=True
        )
        return files[0].read_text(), files[1].read_text()


def _wanted(folder: Path) -> list[tuple[str, Callable[[], str]]]:
    """The files, and how each is made; later ones are made of earlier ones."""

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8").strip()

    return [
        *((name, _password) for name in _PASSWORDS),
        *((name, lambda at=at: _url(*at)) for name, at in _DATABASES.items()),
        ("mlflow_auth_database_url", lambda: _beside(read("mlflow_database_url"), "mlflow_auth")),
        ("storage_identities.json", lambda: _identities(read)),
    ]


def _password() -> str:
    return secrets.token_hex(24)


def _url(role: str, database: str) -> str:
    return f"postgresql://{role}:{_password()}@postgres:5432/{database}"


def _beside(url: str, database: str) -> str:
    """Another database of the same server, for the same role."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def _identities(read: Callable[[str], str]) -> str:
    """Who may do what in SeaweedFS: MLflow writes, nodes read the bucket and nothing else."""
    who = (("writer", "s3", ["Read", "Write", "List"]), ("reader", "s3_read", [f"Read:{_BUCKET}"]))
    identities = [
        {
            "name": name,
            "credentials": [
                {"accessKey": read(f"{of}_access_key"), "secretKey": read(f"{of}_secret_key")}
            ],
            "actions": actions,
        }
        for name, of, actions in who
    ]
    return json.dumps({"identities": identities}, indent=1)


def _put(path: Path, text: Callable[[], str]) -> bool:
    if path.exists():
        return False
    path.write_text(text() + "\n", encoding="utf-8")
    return True


def _key(folder: Path, name: str, scopes: Sequence[str]) -> bool:
    return _put(folder / name, lambda: add_key(folder, name.removesuffix("_key"), scopes))


def _tls(folder: Path, host: str) -> list[str]:
    names = [CERTIFICATE, CERTIFICATE_KEY]
    if any((folder / name).exists() for name in names):
        return []
    made = certificate(host)
    if made is None:
        sys.stderr.write(
            f"no openssl is installed: put a certificate and its key as {' and '.join(names)} "
            f"into {folder}\n"
        )
        return []
    return [name for name, text in zip(names, made, strict=True) if _put(folder / name, text.strip)]


def main(arguments: Sequence[str]) -> int:
    """Make them, or add a key; prints names, and a new key."""
    parser = argparse.ArgumentParser(prog="make secrets", description=__doc__)
    parser.add_argument("--host", default="localhost", help="what the certificate is for")
    parser.add_argument("--key", default="", help="add an API key of this name, and print it")
    parser.add_argument("--scopes", default="predict", help="of that key: predict,train,admin")
    parser.add_argument("--revoke", default="", help="end the API key of this name or id")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args(arguments)
    made = make(given.folder, host=given.host)
    sys.stderr.write(f"{len(made)} made in {given.folder}: {', '.join(made) or 'all were there'}\n")
    if given.key:
        sys.stdout.write(f"{add_key(given.folder, given.key, given.scopes.split(','))}\n")
    if given.revoke:
        try:
            sys.stderr.write(f"{revoke_key(given.folder, given.revoke)} is revoked\n")
        except UsageError as error:
            sys.stderr.write(f"{error}\n")
            return 2
    return 0 if (given.folder / CERTIFICATE).exists() else 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
