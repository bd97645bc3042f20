"""What is kept of a model's predictions: read from a file, refused when it is not understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.errors import SettingsError
from registry.monitoring import Kept, Monitoring, log_key
from registry.settings import PACKAGED_MONITORING, Settings


def read(tmp_path: Path, text: str) -> Monitoring:
    path = tmp_path / "monitoring.toml"
    path.write_text(text, encoding="utf-8")
    return Monitoring.read(path)


def test_without_an_entry_everything_is_kept(tmp_path: Path) -> None:
    assert Monitoring.read(PACKAGED_MONITORING).of("iris") == Kept()
    assert not read(tmp_path, "").of("iris").is_private


def test_an_entry_says_what_is_kept(tmp_path: Path) -> None:
    text = '[models.iris]\nsample = 0.1\nkeep = ["a"]\nhash = ["b"]\nretention_days = 90'
    found = read(tmp_path, text)
    kept = Kept(sample=0.1, keep=frozenset({"a", "b"}), hash=frozenset({"b"}), retention_days=90.0)
    assert (found.of("iris"), found.of("wine"), found.hashes) == (kept, Kept(), True)


def test_a_pattern_is_for_those_that_are_not_named(tmp_path: Path) -> None:
    text = '[models."credit-*"]\nsample = 0.5\n[models.credit-1]\nkeep = []'
    found = read(tmp_path, text)
    assert (found.of("credit-2").sample, found.of("credit-1").sample) == (0.5, 1.0)
    assert found.of("credit-1").keep == frozenset()


def test_tables_of_others_stand_beside_it(tmp_path: Path) -> None:
    assert read(tmp_path, "[models.iris.drift]\nmax_psi = 0.2").of("iris") == Kept()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[model.iris]", "got model"),
        ("models = 1", "expected [models.NAME]"),
        ("[models]\niris = 1", "models.iris: expected a table"),
        ("[models.iris]\nsampel = 1", "unknown key 'sampel'"),
        ("[models.iris]\nsample = 2", "sample: expected a number from 0 to 1, got 2"),
        ("[models.iris]\nsample = true", "sample: expected a number"),
        ("[models.iris]\nkeep = 'a'", "keep: expected a list of names"),
        ("[models.iris]\nhash = [1]", "hash: expected a list of names"),
        ("[models.iris]\nretention_days = -1", "retention_days"),
        ("[models.iris]\nretention_days = nan", "retention_days"),
        ("[", "cannot be read"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert part in str(caught.value)
    assert "BATON_MONITORING" in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        Monitoring.read(tmp_path / "no.toml")


def test_the_key_is_made_once_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "home" / "log.key"
    first = log_key(path)
    assert (len(first), log_key(path), path.stat().st_mode & 0o777) == (32, first, 0o600)
    assert [one.name for one in path.parent.iterdir()] == ["log.key"]
    path.write_bytes(b"short")
    with pytest.raises(SettingsError, match="32 random bytes"):
        log_key(path)


def test_settings_say_where_predictions_go(tmp_path: Path) -> None:
    def of(**environ: str) -> Settings:
        return Settings.read({"BATON_HOME": str(tmp_path), **environ}, dotenv=Path("no.env"))

    assert of().predictions_url == f"sqlite:///{tmp_path / 'predictions.db'}"
    given = of(BATON_PREDICTIONS_URL="postgresql://a@b/c")
    assert given.predictions_url == "postgresql+psycopg2://a@b/c"
    assert (given.logs_predictions, of(BATON_PREDICTIONS_URL="off").logs_predictions) == (
        True,
        False,
    )
    with pytest.raises(SettingsError, match="BATON_SPOOL_FULL: expected refuse or drop"):
        of(BATON_SPOOL_FULL="wait")
