"""Where settings come from, which wins, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from registry.errors import SettingsError
from registry.settings import Settings
from registry.variables import variable
from registry.views import setting_text

ABSENT = Path("/nowhere/.env")


def read(dotenv: Path = ABSENT, **environ: str) -> Settings:
    """Settings of an environment that holds nothing but `environ`."""
    return Settings.read(environ, dotenv=dotenv)


def test_everything_embedded_lies_under_home(tmp_path: Path) -> None:
    settings = read(BATON_HOME=str(tmp_path / "x"))
    home = tmp_path / "x"
    assert settings.tracking_uri == settings.registry_uri == f"sqlite:///{home / 'mlflow.db'}"
    assert settings.ledger_url == f"sqlite:///{home / 'ledger.db'}"
    assert settings.store_dir == home / "store"
    assert settings.is_embedded
    assert settings.actor


def test_a_relative_home_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read().home == tmp_path / "var"


def test_dotenv_is_read_and_the_real_environment_wins(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("BATON_WORKERS=3\nBATON_THREADS='7'\nexport BATON_ENVIRONMENT=lab # why\n")
    settings = read(dotenv, BATON_WORKERS="5")
    assert (settings.workers, settings.threads, settings.environment) == (5, 7, "lab")


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("postgresql://u:p@db/ledger\n")
    settings = read(BATON_LEDGER_URL_FILE=str(secret))
    assert settings.ledger_url == "postgresql+psycopg2://u:p@db/ledger"


def test_a_file_named_in_the_environment_wins_over_a_value_in_dotenv(tmp_path: Path) -> None:
    dotenv, secret = tmp_path / ".env", tmp_path / "secret"
    dotenv.write_text("BATON_LEDGER_URL=sqlite:////somewhere/ledger.db\n")
    secret.write_text("postgresql://db/ledger")
    settings = read(dotenv, BATON_LEDGER_URL_FILE=str(secret))
    assert settings.ledger_url == "postgresql+psycopg2://db/ledger"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: bytes | None) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(SettingsError, match=r"BATON_LEDGER_URL_FILE.*secret"):
        read(BATON_LEDGER_URL_FILE=str(secret))


def test_only_secrets_are_read_from_files(tmp_path: Path) -> None:
    file = tmp_path / "bind"
    file.write_text("0.0.0.0:1")
    assert read(BATON_BIND_FILE=str(file)).bind == Settings.bind


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_the_driver_of_postgresql_is_named_everywhere(scheme: str) -> None:
    settings = read(
        MLFLOW_TRACKING_URI=f"{scheme}://db/mlflow", BATON_LEDGER_URL=f"{scheme}://db/ledger"
    )
    assert settings.tracking_uri == settings.registry_uri == "postgresql+psycopg2://db/mlflow"
    assert settings.ledger_url == "postgresql+psycopg2://db/ledger"
    assert not settings.is_embedded


def test_the_queue_of_jobs_is_a_file_of_its_own_unless_it_has_an_address(tmp_path: Path) -> None:
    assert read(BATON_HOME=str(tmp_path)).jobs_url == f"sqlite:///{tmp_path / 'jobs.db'}"
    secret = tmp_path / "secret"
    secret.write_text("postgres://u:p@db/baton\n")
    found = read(MLFLOW_TRACKING_URI="sqlite:////m.db", BATON_JOBS_URL_FILE=str(secret))
    assert found.jobs_url == "postgresql+psycopg2://u:p@db/baton"


def test_a_named_driver_stays(tmp_path: Path) -> None:
    url = "postgresql+psycopg://db/ledger"
    assert read(BATON_LEDGER_URL=url).ledger_url == url


def test_mlflows_own_variables_are_honoured(tmp_path: Path) -> None:
    settings = read(
        MLFLOW_TRACKING_URI="http://tracking:5000",
        MLFLOW_REGISTRY_URI=f"sqlite:///{tmp_path}/registry/mlflow.db",
        MLFLOW_EXPERIMENT_NAME="mine",
        MLFLOW_MODEL_NAME="Mine",
    )
    assert settings.tracking_uri == "http://tracking:5000"
    assert settings.ledger_url == f"sqlite:///{tmp_path}/registry/ledger.db"
    assert (settings.experiment_name, settings.model_name) == ("mine", "Mine")


@pytest.mark.parametrize("uri", ["http://mlflow:5000", "https://mlflow", "postgresql://db/mlflow"])
def test_a_registry_elsewhere_needs_the_address_of_its_ledger(uri: str) -> None:
    with pytest.raises(SettingsError, match="BATON_LEDGER_URL"):
        read(MLFLOW_TRACKING_URI=uri)
    assert read(MLFLOW_TRACKING_URI=uri, BATON_LEDGER_URL="sqlite:////l.db").ledger_url


@pytest.mark.parametrize("uri", ["mlruns", "./mlruns", "/data/mlruns", "file:///data/mlruns"])
@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"])
def test_a_file_store_is_refused_with_the_way_out(name: str, uri: str) -> None:
    with pytest.raises(SettingsError, match="mlflow migrate-filestore"):
        read(**{name: uri})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BATON_WORKERS", "0"),
        ("BATON_WORKERS", "-1"),
        ("BATON_WORKERS", "two"),
        ("BATON_WORKERS", "1.5"),
        ("BATON_POLL_SECONDS", "0"),
        ("BATON_POLL_SECONDS", "nan"),
        ("BATON_POLL_SECONDS", "inf"),
        ("BATON_TRIAL_SECONDS", ""),
    ],
)
def test_a_number_that_cannot_be_is_refused_by_name(name: str, value: str) -> None:
    if not value:
        assert read(**{name: value}).trial_seconds == Settings.trial_seconds, "empty is unset"
        return
    with pytest.raises(SettingsError, match=f"{name}.*{value}"):
        read(**{name: value})


def test_names_are_split_at_commas() -> None:
    assert read(BATON_MODELS=" iris, ProphetModel ,").models == ("iris", "ProphetModel")


def test_every_setting_has_a_variable_a_unit_and_a_line_of_help() -> None:
    fields = dataclasses.fields(Settings)
    assert len({variable(field) for field in fields}) == len(fields)
    for field in fields:
        assert variable(field).startswith(("BATON_", "MLFLOW_"))
        assert field.metadata["unit"]
        assert field.metadata["help"].endswith(".")


def test_no_password_is_shown() -> None:
    given = read(
        MLFLOW_TRACKING_URI="postgresql://ada:pass1@db/mlflow",
        MLFLOW_REGISTRY_URI="https://ada:pass2@mlflow",
        BATON_LEDGER_URL="postgresql://ada:pass3@db/ledger",
    )
    shown = [
        setting_text(getattr(given, field.name), secret=field.metadata["secret"])
        for field in dataclasses.fields(given)
    ]
    assert not [text for text in shown if "pass" in text and ("1" in text or "@" in text)]
    assert "postgresql+psycopg2://…@db/ledger" in shown


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().workers = 3  # type: ignore[misc]


def test_a_choice_that_is_none_is_refused_with_those_there_are() -> None:
    assert read(BATON_UNKNOWN_COLUMNS="ignore").unknown_columns == "ignore"
    with pytest.raises(SettingsError, match="expected refuse or ignore, got 'drop'"):
        read(BATON_UNKNOWN_COLUMNS="drop")
