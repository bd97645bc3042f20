"""`python -m registry …` on a real MLflow registry in sqlite, with real ONNX models in it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.integration.commands import MODEL, Registered, Shell
from tests.mlflow_home import MlflowTemplate

SOON_SECONDS = 30


@pytest.fixture(scope="module")
def registered(
    mlflow_template: MlflowTemplate, tmp_path_factory: pytest.TempPathFactory
) -> Registered:
    """Versions 1 and 2 are fine, 3 fails a gate, 4 does not load."""
    return Registered.make(mlflow_template, tmp_path_factory.mktemp("registered") / "var")


@pytest.fixture
def shell(registered: Registered, tmp_path: Path) -> Shell:
    """A registry of the test's own."""
    return registered.shell(tmp_path / "var")


@pytest.fixture
def registrar(shell: Shell) -> Iterator[None]:
    """A registrar runs, and ends cleanly when it is told to."""
    process = shell.start("registrar")
    yield
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=SOON_SECONDS) == 0


def becomes(what: Callable[[], object], wanted: object) -> bool:
    """Whether `what` is `wanted` within a while."""
    deadline = time.monotonic() + SOON_SECONDS
    while time.monotonic() < deadline:
        if what() == wanted:
            return True
        time.sleep(0.1)
    return False


def heads(shell: Shell) -> int:
    """How many models have a head in the ledger."""
    engine = sa.create_engine(shell.settings.ledger_url)
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT count(*) FROM baton_heads")).scalar_one()
    engine.dispose()
    return int(found)


def test_promote_and_roll_back_and_look(shell: Shell) -> None:
    first = shell.run("promote", MODEL, "1", "--json")
    assert first.code == 0, first.err
    assert first.json["entry"]["version"] == 1
    assert first.json["entry"]["seq"] == "1.1"
    assert first.json["entry"]["synced"] is True
    assert first.json["report"]["passed"] is True
    assert {r["gate"]: r["status"] for r in first.json["report"]["results"]} == {
        "complete": "passed",
        "servable": "passed",
        "golden": "skipped",
        "signature": "skipped",
        "bound:accuracy": "passed",
    }
    assert (shell.stages()[1], shell.alias()) == ("Production", 1)
    assert shell.tags(1)["promoted_by"] == "ada"

    second = shell.call("promote", MODEL, "2")
    assert second.code == 0, second.err
    assert "bound:accuracy" in second.out
    assert "\x1b[" not in second.out, "no colour when piped"
    assert (shell.stages(), shell.alias()) == (
        {1: "Archived", 2: "Production", 3: "None", 4: "None"},
        2,
    )

    back = shell.run("rollback", MODEL, "--reason", "[/odd] answers", "--json")
    assert back.code == 0, back.err
    assert (back.json["entry"]["version"], back.json["entry"]["seq"]) == (1, "1.3")
    assert (shell.stages()[1], shell.stages()[2], shell.alias()) == ("Production", "Archived", 1)

    again = shell.call("rollback", MODEL, "--json")
    assert again.code == 3
    assert again.json["error"] == "NothingToServe"
    assert shell.stages()[1] == "Production"

    history = shell.call("history", MODEL, "--json").json["entries"]
    assert [(e["version"], e["kind"], e["reason"]) for e in history] == [
        (1, "rollback", "[/odd] answers"),
        (2, "promote", f"{MODEL} v2 passed its gates"),
        (1, "promote", f"{MODEL} v1 passed its gates"),
    ]
    assert shell.call("history", MODEL).code == 0
    status = shell.call("status", "--json").json["models"][MODEL]
    assert (status["entry"]["version"], status["mlflow"]) == (1, "v1")


def test_retire_takes_production_away_until_a_rollback_brings_it_back(shell: Shell) -> None:
    assert shell.call("promote", MODEL, "1").code == 0
    done = shell.call("retire", MODEL, "--reason", "nobody asks", "--json")
    assert done.code == 0, done.err
    entry = done.json["entry"]
    assert (entry["kind"], entry["version"], entry["seq"]) == ("retire", None, "1.2")
    assert (entry["reason"], entry["synced"]) == ("nobody asks", True)
    assert (shell.stages()[1], shell.alias()) == ("Archived", None)
    again = shell.call("retire", MODEL, "--json")
    assert (again.code, again.json["error"]) == (3, "NothingToServe")
    assert shell.call("status", "--json").json["models"][MODEL]["state"] == "retired"
    assert shell.call("status").code == shell.call("history", MODEL).code == 0
    back = shell.call("rollback", MODEL, "--json")
    assert (back.json["entry"]["version"], back.json["entry"]["seq"]) == (1, "1.3")
    assert (shell.stages()[1], shell.alias()) == ("Production", 1)


def test_status_says_what_is_wrong_and_what_to_do(shell: Shell) -> None:
    assert shell.call("promote", MODEL, "1").code == 0
    assert shell.call("status", "--json").json["models"][MODEL]["state"] == "ok"
    shell.mlflow.transition_model_version_stage(MODEL, "1", "Archived")
    done = shell.call("status", MODEL)
    assert "degraded" in done.out
    assert "promote or click it again" in done.err
    shell.mlflow.delete_model_version(MODEL, "1")
    row = shell.call("status", "--json").json["models"][MODEL]
    assert (row["state"], row["entry"]["version"]) == ("orphaned", 1)
    assert "retire" in row["todo"]


def test_verify_names_the_first_entry_that_somebody_edited(shell: Shell) -> None:
    for version in "12":
        assert shell.call("promote", MODEL, version).code == 0
    whole = shell.call("verify", "--json")
    assert whole.code == 0, whole.err
    history = shell.call("history", MODEL, "--json").json["entries"]
    assert whole.json["verified"] == {
        MODEL: {"entries": 2, "seq": "1.2", "hash": history[0]["hash"]}
    }
    assert history[0]["hash"] in shell.call("verify", MODEL).out
    assert shell.call("verify", "tniy").code == 2
    engine = sa.create_engine(shell.settings.ledger_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE baton_entries SET actor = 'eve' WHERE seq = 1"))
    engine.dispose()
    for arguments in (("verify",), ("verify", MODEL)):
        done = shell.call(*arguments, "--json")
        assert (done.code, done.json["error"]) == (5, "ChainBroken")
        assert f"{MODEL} 1.1 (revision 1)" in done.json["message"]


def test_retiring_what_was_never_promoted_exits_3(shell: Shell) -> None:
    done = shell.call("retire", MODEL, "--json")
    assert (done.code, done.json["error"]) == (3, "NothingToServe")
    assert set(shell.stages().values()) == {"None"}


@pytest.mark.parametrize(
    ("version", "gate"), [("3", "bound:accuracy"), ("4", "servable")], ids=["bad", "broken"]
)
def test_a_refused_version_exits_3_and_leaves_production_untouched(
    shell: Shell, version: str, gate: str
) -> None:
    assert shell.call("promote", MODEL, "1").code == 0
    refused = shell.run("promote", MODEL, version, "--json")
    assert refused.code == 3
    failed = [r["gate"] for r in refused.json["report"]["results"] if r["status"] == "failed"]
    assert failed == [gate]
    assert (shell.stages()[1], shell.stages()[int(version)]) == ("Production", "None")
    assert shell.alias() == 1
    assert gate in shell.tags(int(version))["baton.rejected"]
    assert len(shell.call("history", MODEL, "--json").json["entries"]) == 1


def test_staging_exits_0_and_moves_no_head(shell: Shell) -> None:
    done = shell.call("promote", MODEL, "2", "--stage", "Staging", "--json")
    assert done.code == 0, done.err
    assert done.json["entry"] is None
    assert shell.stages()[2] == "Staging"
    assert heads(shell) == 0


def test_a_rollback_with_nothing_to_go_back_to_exits_3(shell: Shell) -> None:
    done = shell.call("rollback", MODEL, "--json")
    assert done.code == 3
    assert done.json["error"] == "NothingToServe"
    assert set(shell.stages().values()) == {"None"}


@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        (("promote", "tniy"), f"there is: {MODEL}"),
        (("promote", MODEL, "9"), "there is: 4, 3, 2, 1"),
        (("rollback", "tniy"), f"there is: {MODEL}"),
        (("retire", "tniy"), f"there is: {MODEL}"),
        (("history", "tniy"), "there is: none yet"),
        (("promote",), "make train"),
    ],
)
def test_an_unknown_name_exits_2_with_what_there_is(
    shell: Shell, arguments: tuple[str, ...], listed: str
) -> None:
    done = shell.call(*arguments, "--json")
    assert done.code == 2
    assert listed in done.json["message"]
    assert "Traceback" not in done.err


def test_promote_alone_takes_what_was_trained_last_here(shell: Shell) -> None:
    note = shell.settings.home / "last_trained.json"
    note.write_text(json.dumps({"model": MODEL, "version": 2}))
    assert shell.call("promote", "--json").json["entry"]["version"] == 2
    note.write_text("{")
    assert shell.call("promote").code == 2


def test_a_registry_that_does_not_answer_exits_4_soon(shell: Shell) -> None:
    assert shell.call("promote", MODEL, "1").code == 0
    elsewhere = {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
        "BATON_LEDGER_URL": shell.settings.ledger_url,
    }
    done = shell.run("promote", MODEL, "--json", **elsewhere)
    assert done.code == 4
    assert done.json["error"] == "Unreachable"
    assert done.seconds < SOON_SECONDS
    assert shell.call("rollback", MODEL, **elsewhere).code == 4
    status = shell.call("status", "--json", **elsewhere)
    assert status.code == 0, "what the ledger says is shown all the same"
    assert status.json["models"][MODEL]["entry"]["version"] == 1


def test_a_ledger_that_does_not_answer_exits_4(shell: Shell) -> None:
    done = shell.call("promote", MODEL, BATON_LEDGER_URL="postgresql://ada:secret@127.0.0.1:1/l")
    assert done.code == 4
    assert "BATON_LEDGER_URL" in done.err
    assert "secret" not in done.err


def test_the_ledger_of_another_registry_exits_2(shell: Shell) -> None:
    assert shell.call("promote", MODEL, "1").code == 0
    other = f"sqlite:///{shell.settings.home / 'other.db'}"
    for command in (("promote", MODEL, "2"), ("rollback", MODEL)):
        done = shell.call(*command, "--json", BATON_LEDGER_URL=other)
        assert done.code == 2
        assert done.json["error"] == "ForeignLedger"
    assert shell.run("registrar", BATON_LEDGER_URL=other).code == 2
    assert (shell.stages()[1], shell.alias()) == ("Production", 1)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}, "BATON_LEDGER_URL"),
        ({"MLFLOW_TRACKING_URI": "mlruns"}, "mlflow migrate-filestore"),
        ({"MLFLOW_TRACKING_URI": "file:///data/mlruns"}, "mlflow migrate-filestore"),
        ({"BATON_GATES": "absent.toml"}, "absent.toml"),
        ({"BATON_WORKERS": "none"}, "BATON_WORKERS"),
    ],
)
def test_a_setting_that_cannot_be_exits_2_and_is_named(
    shell: Shell, environ: dict[str, str], named: str
) -> None:
    done = shell.call("promote", MODEL, "--json", **environ)
    assert done.code == 2
    assert named in done.json["message"]


def test_config_shows_every_setting_and_no_password(shell: Shell) -> None:
    url = "postgresql://ada:secret@127.0.0.1:1/ledger"
    done = shell.call("config", "--json", BATON_LEDGER_URL=url)
    assert done.code == 0, done.err
    rows = {row["variable"]: row["value"] for row in done.json["settings"]}
    assert rows["BATON_LEDGER_URL"] == "postgresql+psycopg2://…@127.0.0.1:1/ledger"
    assert rows["BATON_ACTOR"] == "ada"
    assert "secret" not in done.out


@pytest.mark.usefixtures("registrar")
def test_clicks_in_mlflow_are_adopted_or_put_back(shell: Shell) -> None:
    shell.mlflow.transition_model_version_stage(MODEL, "1", "Production")
    assert becomes(shell.alias, 1)

    shell.mlflow.transition_model_version_stage(MODEL, "2", "Production")
    assert becomes(shell.alias, 2)
    wanted = {1: "Archived", 2: "Production", 3: "None", 4: "None"}
    assert becomes(shell.stages, wanted)

    shell.mlflow.transition_model_version_stage(
        MODEL, "3", "Production", archive_existing_versions=True
    )
    assert becomes(shell.stages, wanted)
    assert "bound:accuracy" in shell.tags(3)["baton.rejected"]

    shell.mlflow.set_registered_model_alias(MODEL, "production", "4")
    assert becomes(shell.alias, 2)
    assert "servable" in shell.tags(4)["baton.rejected"]

    back = shell.call("rollback", MODEL, "--json")
    assert back.code == 0, back.err
    assert back.json["entry"]["synced"] is True
    assert (shell.stages()[1], shell.alias()) == ("Production", 1)
    history = shell.call("history", MODEL, "--json").json["entries"]
    assert [(e["version"], e["door"], e["actor"]) for e in history] == [
        (1, "command", "ada"),
        (2, "mlflow", "mlflow-ui"),
        (1, "mlflow", "mlflow-ui"),
    ]
