"""What our containers run first, and how they are asked whether they are well; all natively."""

from __future__ import annotations

import configparser
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.docker import mlflow_server
from infra.docker.secret_files import fault_of
from tests.stack.upstream import Upstream

FOLDER = Path(__file__).resolve().parents[2] / "infra" / "docker"
GOOD = "b1946ac92492d2347c6235b4d2611184"


def run(script: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A script of the images, as there: isolated from everything but the standard library."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(FOLDER / script), *arguments],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def put(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


SHOW = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]


def test_a_command_gets_the_secrets_of_mlflow_and_boto3_and_baton_reads_its_own(tmp_path: Path):
    url = f"postgresql://baton_node:{GOOD}@postgres:5432/baton"
    done = run(
        "entry.py",
        *SHOW,
        BATON_LEDGER_URL_FILE=put(tmp_path, "ledger", f"{url}\n"),
        MLFLOW_TRACKING_PASSWORD_FILE=put(tmp_path, "mlflow", f"{GOOD}\n"),
        AWS_SECRET_ACCESS_KEY_FILE=put(tmp_path, "s3", GOOD),
        AWS_WEB_IDENTITY_TOKEN_FILE="/nowhere",  # noqa: S106 - no secret
        SSL_CERT_FILE="/nowhere",
        MLFLOW_S3_ENDPOINT_URL="",
    )
    assert done.returncode == 0, done.stderr
    environ = json.loads(done.stdout)
    assert environ["MLFLOW_TRACKING_PASSWORD"] == GOOD
    assert environ["AWS_SECRET_ACCESS_KEY"] == GOOD
    assert "BATON_LEDGER_URL" not in environ
    assert "AWS_WEB_IDENTITY_TOKEN" not in environ, "that file is boto3's own matter"
    assert "MLFLOW_S3_ENDPOINT_URL" not in environ, "set to nothing is not set"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "cannot be read"),
        ("", "is empty"),
        (" \n", "is empty"),
        ("changeme", "a default"),
        ("postgresql://baton_node@postgres/baton", "without a password"),
        ("postgresql://baton_node:password@postgres/baton", "a default"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "a default"),
        ("k3Jx9", "is shorter than 16"),
        ("postgresql://baton_node:k3Jx9@postgres/baton", "is shorter than 16"),
    ],
)
def test_nothing_starts_on_a_secret_that_is_none_and_the_message_names_it(
    tmp_path: Path, text: str | None, fault: str
):
    path = (
        str(tmp_path / "ledger_url_node")
        if text is None
        else put(tmp_path, "ledger_url_node", text)
    )
    done = run("entry.py", *SHOW, BATON_LEDGER_URL_FILE=path)
    assert done.returncode == 2
    assert f"BATON_LEDGER_URL_FILE: {path} " in done.stderr
    assert fault in done.stderr
    assert done.stdout == ""
    if text and len(text) > 10:
        assert text.strip() not in done.stderr, "a secret is never shown"


def test_all_faults_are_named_at_once(tmp_path: Path):
    done = run(
        "entry.py",
        *SHOW,
        BATON_LEDGER_URL_FILE=str(tmp_path / "one"),
        AWS_ACCESS_KEY_ID_FILE=str(tmp_path / "two"),
    )
    assert done.returncode == 2
    assert "BATON_LEDGER_URL_FILE" in done.stderr
    assert "AWS_ACCESS_KEY_ID_FILE" in done.stderr


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("api_keys.json", '{"keys": []}', "has nothing in it"),
        ("api_keys.json", "{", "is not JSON"),
        ("api_keys.json", '{"keys": [{}]}', None),
        ("tls_key.pem", "-----BEGIN EC PRIVATE KEY-----\n…", None),
        ("tls_key.pem", "key", "no private key"),
        ("tls_certificate.pem", "-----BEGIN CERTIFICATE-----\n…", None),
        ("jobs_url_worker", f"postgresql://w:{GOOD}@postgres/baton", None),
    ],
)
def test_each_kind_of_secret_is_looked_at_for_what_it_is(
    tmp_path: Path, name: str, text: str, fault: str | None
):
    found = fault_of(Path(put(tmp_path, name, text)))
    assert (found is None) is (fault is None)
    assert fault is None or fault in str(found)


def test_a_folder_of_secrets_is_looked_at_whole(tmp_path: Path):
    put(tmp_path, "one", GOOD)
    assert run("secret_files.py", str(tmp_path)).returncode == 0
    put(tmp_path, "two", "")
    put(tmp_path, "three", "secret")
    done = run("secret_files.py", str(tmp_path))
    assert done.returncode == 2
    assert "secret two" in done.stderr
    assert "secret three" in done.stderr
    assert "secret one" not in done.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run("secret_files.py", str(empty)).returncode == 2


def test_health_is_a_page_that_answers_200(tmp_path: Path):
    with Upstream("node").running() as server:
        assert run("health.py", f"http://{server.address}/livez").returncode == 0
        server.fault = "refuses"
        done = run("health.py", f"http://{server.address}/livez")
        assert (done.returncode, "503" in done.stderr) == (1, True)
    assert run("health.py", f"http://{server.address}/livez").returncode == 1


def test_health_is_somebody_who_listens_at_a_socket(tmp_path: Path):
    path = tmp_path / "registrar.sock"
    assert run("health.py", str(path)).returncode == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        bell.bind(str(path))
        assert run("health.py", str(path)).returncode == 0
    assert run("health.py", str(path)).returncode == 1, "the file is there, nobody listens"


def test_mlflows_login_is_told_its_database_with_any_password():
    url = "postgresql://mlflow:a%40b%25c@postgres:5432/mlflow_auth"
    text = mlflow_server.ini(
        {"MLFLOW_AUTH_DATABASE_URL": url, "MLFLOW_AUTH_ADMIN_USERNAME": "admin"}
    )
    parsed = configparser.ConfigParser()
    parsed.read_string(text)
    assert parsed["mlflow"]["database_uri"] == url.replace("postgresql:", "postgresql+psycopg2:")
    assert parsed["mlflow"]["admin_username"] == "admin"
    assert mlflow_server.driver("postgresql+psycopg2://x") == "postgresql+psycopg2://x"


def test_mlflows_server_names_the_secret_it_was_not_given():
    done = run("mlflow_server.py", "serve")
    assert done.returncode == 2
    assert "MLFLOW_AUTH_DATABASE_URL_FILE" in done.stderr
    assert run("mlflow_server.py", "dance").returncode == 2
