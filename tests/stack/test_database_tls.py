"""TLS to a real PostgreSQL, by what the URL says alone."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from registry.errors import Unreachable
from registry.listener import Listener
from registry.settings import Settings
from registry.sql_jobs import SqlJobs
from registry.sql_ledger import SqlLedger
from tests.fakes import draft
from tests.missing import ServiceMissing
from tests.postgres import Postgres
from tests.stack.databases import reload

PATIENCE_SECONDS = 60.0
# Without TLS nobody is let in.
_HBA = "hostssl all all 127.0.0.1/32 trust"


@dataclass(frozen=True)
class Encrypted:
    """A server that speaks TLS, and the certificate to know it by."""

    server: Postgres
    certificate: Path

    def url(self, certificate: Path, *, mode: str = "verify-full", host: str = "localhost") -> str:
        """As it stands in a setting."""
        given = (
            f"postgresql://baton@{host}:{self.server.port}/postgres"
            f"?sslmode={mode}&sslrootcert={certificate}"
        )
        return Settings(ledger_url=given).resolved().ledger_url


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-made certificate for this machine, and its key."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    folder.joinpath("server.crt").write_bytes(made.public_bytes(encoding))
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(encoding, form, serialization.NoEncryption())
    folder.joinpath("server.key").write_bytes(secret)
    return folder / "server.crt", folder / "server.key"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    """A server of its own: others' connections must not become slower."""
    try:
        server = Postgres.start()
    except ServiceMissing as missing:
        missing.skip_or_fail()
    made, key = certificate(tmp_path_factory.mktemp("tls") / "server", "localhost")
    data = server.root / "data"
    for file in (made, key):
        kept = Path(shutil.copy(file, data / file.name))
        shutil.chown(kept, data.owner(), data.group())
        kept.chmod(0o600)
    with closing(psycopg2.connect(server._address("postgres"))) as connection:
        connection.autocommit = True
        connection.cursor().execute("ALTER SYSTEM SET ssl = on")
    reload(server)
    data.joinpath("pg_hba.conf").write_text(_HBA)
    reload(server)
    yield Encrypted(server, made)
    server.stop()


def test_all_that_reaches_the_ledger_does_so_by_tls(encrypted: Encrypted) -> None:
    url = encrypted.url(encrypted.certificate)
    heard = threading.Semaphore(0)
    listener = Listener(url, heard.release)
    listener.start()
    try:
        assert heard.acquire(timeout=PATIENCE_SECONDS)
        with closing(SqlLedger(url)) as ledger, closing(SqlJobs(url)) as jobs:
            ledger.append(draft(), expected=None, at_ms=1)
            assert heard.acquire(timeout=PATIENCE_SECONDS)
            assert jobs.look().queued == 0
            with closing(psycopg2.connect(encrypted.server._address("postgres"))) as other:
                cursor = other.cursor()
                cursor.execute(
                    "SELECT application_name, ssl FROM pg_stat_ssl "
                    "JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'baton%'"
                )
                assert dict(cursor.fetchall()) == {"baton": True, "baton-listener": True}
    finally:
        listener.close()


def test_a_server_without_the_expected_certificate_is_refused(
    encrypted: Encrypted, tmp_path: Path
) -> None:
    another, _ = certificate(tmp_path / "another", "localhost")
    with pytest.raises(Unreachable, match="certificate verify failed; check BATON_LEDGER_URL"):
        SqlLedger(encrypted.url(another))
    with pytest.raises(Unreachable, match="BATON_JOBS_URL"):
        SqlJobs(encrypted.url(another))


def test_a_certificate_of_another_name_is_refused(encrypted: Encrypted) -> None:
    url = encrypted.url(encrypted.certificate, host="localhost.localdomain")
    with pytest.raises(Unreachable, match="does not match host name.*BATON_LEDGER_URL"):
        SqlLedger(f"{url}&hostaddr=127.0.0.1")


def test_a_certificate_that_is_no_file_is_named(encrypted: Encrypted, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="BATON_LEDGER_URL") as refused:
        SqlLedger(encrypted.url(tmp_path / "nowhere.crt"))
    assert "nowhere.crt" in str(refused.value)
