"""`make secrets`: everything the stack asks for, strong, once, for its owner's folder."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from infra.docker.secret_files import fault_of
from infra.stack_secrets import add_key, main, make, revoke_key
from registry.errors import UsageError
from serving.keys import KeyFile, Scope

COMPOSE = Path(__file__).resolve().parents[2] / "docker-compose.prod.yml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "secrets"
    assert main(["--folder", str(made), "--host", "baton.example.org"]) == 0
    return made


def test_every_secret_that_compose_names_is_made_and_is_one(folder: Path):
    named = set(re.findall(r"file: infra/secrets/(\S+) ", COMPOSE.read_text()))
    assert named
    there = {path.name for path in folder.iterdir()}
    assert there == named | {"client_key"}
    assert {path.name: fault_of(path) for path in folder.iterdir()} == dict.fromkeys(there)


def test_only_the_owner_enters_the_folder_and_every_container_can_read_its_files(folder: Path):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}


def test_what_is_there_stays_and_what_is_missing_is_made(folder: Path):
    (folder / "s3_secret_key").unlink()
    (folder / "metrics_key").unlink()
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert make(folder, host="other") == ["s3_secret_key", "metrics_key"]
    now = {path.name: path.read_text() for path in folder.iterdir()}
    keys = before.pop("api_keys.json"), now["api_keys.json"]
    assert {name: now[name] for name in before} == before
    assert json.loads(keys[1])["keys"][:2] == json.loads(keys[0])["keys"], "keys are added only"
    assert make(folder, host="other") == []


def test_no_two_secrets_are_alike(folder: Path):
    texts = [path.read_text() for path in folder.iterdir()]
    assert len(set(texts)) == len(texts)


def test_both_databases_of_mlflow_are_one_roles(folder: Path):
    one, other = (
        (folder / name).read_text().strip()
        for name in ("mlflow_database_url", "mlflow_auth_database_url")
    )
    assert one.endswith("/mlflow")
    assert other == f"{one}_auth"


def test_the_object_store_knows_the_keys_and_lets_nodes_read_only(folder: Path):
    found = json.loads((folder / "storage_identities.json").read_text())["identities"]
    read = {one["name"]: one for one in found}
    key = read["reader"]["credentials"][0]["accessKey"]
    assert key == (folder / "s3_read_access_key").read_text().strip()
    assert read["reader"]["actions"] == ["Read:mlflow"]


def test_keys_are_known_to_the_nodes_with_their_scopes(folder: Path):
    whole = add_key(folder, "shop", ["predict"])
    keys = {key.name: key for key in KeyFile(folder / "api_keys.json").read()}
    assert {*keys} == {"metrics", "client", "shop"}
    assert keys["client"].scopes == (Scope.PREDICT, Scope.TRAIN)
    assert keys["shop"].id in whole
    assert stat.S_IMODE((folder / "api_keys.json").stat().st_mode) == 0o444


def test_a_key_is_ended_by_its_name_or_by_its_id_if_several_have_that_name(folder: Path):
    first, second = (add_key(folder, "shop", ["predict"]).split("_")[1] for _ in range(2))
    with pytest.raises(UsageError, match=f"2 keys are called 'shop', name one: {first}, {second}"):
        revoke_key(folder, "shop")
    assert revoke_key(folder, first) == first
    assert main(["--folder", str(folder), "--revoke", "shop"]) == 0, "one is left of that name"
    ended = {key.id for key in KeyFile(folder / "api_keys.json").read() if key.revoked}
    assert ended == {first, second}
    assert stat.S_IMODE((folder / "api_keys.json").stat().st_mode) == 0o444


def test_a_key_that_is_not_there_cannot_be_ended(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--folder", str(folder), "--revoke", "nobody"]) == 2
    assert "unknown key 'nobody'" in capsys.readouterr().err


def test_without_openssl_it_says_which_files_to_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--folder", str(tmp_path / "secrets")]) == 2
    assert "tls_certificate.pem and tls_key.pem" in capsys.readouterr().err
