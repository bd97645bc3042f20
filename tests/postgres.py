"""A real PostgreSQL server for a test session: own data directory, own port, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import pytest

from tests.missing import ServiceMissing

_BINARIES = "/usr/lib/postgresql/*/bin"
_PATIENCE_SECONDS = 30


class PostgresMissing(ServiceMissing):
    """No PostgreSQL can be started here."""


@dataclass
class Postgres:
    """One running server; `new_database` hands out addresses."""

    process: subprocess.Popen[bytes]
    root: Path
    port: int
    databases: int = field(default=0)

    @classmethod
    def start(cls) -> Postgres:
        """Initialise and start a server; raises PostgresMissing."""
        binaries, as_somebody = _binaries(), _not_root()
        root = Path(tempfile.mkdtemp(prefix="baton-postgres-"))
        data = root / "data"
        data.mkdir(mode=0o700)
        if as_somebody:
            for path in (root, data):
                shutil.chown(path, "postgres", "postgres")
        init = [binaries / "initdb", "-D", data, "-U", "baton", "-A", "trust", "--no-sync"]
        subprocess.run([*as_somebody, *map(str, init)], check=True, capture_output=True, cwd=root)
        port = _free_port()
        server = cls(_spawn(root, port), root, port)
        server._wait()
        return server

    def kill(self) -> None:
        """End it at once, with all its processes, as a power cut would; its data stays."""
        for pid in [*_children(self.process.pid), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=_PATIENCE_SECONDS)
        self.root.joinpath("data", "postmaster.pid").unlink(missing_ok=True)

    def restart(self) -> None:
        """Start it again on the same data and port."""
        self.process = _spawn(self.root, self.port)
        self._wait()

    def new_database(self) -> str:
        """Make an empty database; its address as people write it."""
        self.databases += 1
        name = f"test_{self.databases}"
        connection = psycopg2.connect(self._address("postgres"))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        return self._address(name)

    def stop(self) -> None:
        """End the server, however many are connected."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=_PATIENCE_SECONDS)
        shutil.rmtree(self.root, ignore_errors=True)

    def _address(self, name: str) -> str:
        return f"postgresql://baton@127.0.0.1:{self.port}/{name}"

    def _wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                psycopg2.connect(self._address("postgres")).close()
            except psycopg2.OperationalError:
                time.sleep(0.05)
            else:
                return
        words = self.root.joinpath("log").read_text()
        pytest.fail(f"PostgreSQL is installed and does not start: {words}", pytrace=False)


def _spawn(root: Path, port: int) -> subprocess.Popen[bytes]:
    data = root / "data"
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": data,
        "fsync": "off",
    }
    flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
    with root.joinpath("log").open("ab") as log:
        return subprocess.Popen(
            [*_not_root(), _binaries() / "postgres", "-D", data, *flags],
            cwd=root,
            stdout=log,
            stderr=log,
        )


def _children(pid: int) -> list[int]:
    """The server's own processes; setpriv becomes the server, so `pid` is their parent."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def _binaries() -> Path:
    """The newest installed server."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    installed = sorted(Path("/").glob(f"{_BINARIES.lstrip('/')}/initdb"))
    if not installed:
        raise PostgresMissing(f"no PostgreSQL server is installed: no initdb in {_BINARIES}")
    return installed[-1].parent


def _not_root() -> list[str]:
    """What to put before a command: the server refuses to run as root."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        raise PostgresMissing("these tests run as root, and there is no user postgres") from None
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
