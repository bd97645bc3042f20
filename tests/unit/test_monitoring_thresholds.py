"""rules.toml: defaults for all, single keys for some, and nothing that is not understood."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from registry.errors import SettingsError
from training.monitoring.thresholds import PACKAGED, RULES, RulesFile, Thresholds

PAGE = Path(__file__).resolve().parents[2] / "docs" / "monitoring.md"


def test_the_packaged_file_has_every_key() -> None:
    limits = RulesFile.read().of("anything")
    assert (limits.mean_confidence, limits.low_confidence_share) == (0.6, 0.3)
    assert (limits.inference_seconds, limits.class_share, limits.accuracy) == (5.0, 0.8, 0.8)
    text = PACKAGED.read_text("utf-8")
    missing = [f.name for f in fields(Thresholds) if f"\n{f.name} = " not in text]
    assert missing == ["baseline"], "which only a model can have"


def test_a_model_changes_single_keys_by_its_name_or_a_pattern(tmp_path: Path) -> None:
    own = tmp_path / "rules.toml"
    own.write_text(
        '[default]\nsamples = 40\n[models.iris]\naccuracy = 0.9\noff = ["one_class"]\n'
        '[models."stock-*"]\nbaseline = -3\n',
        "utf-8",
    )
    rules = RulesFile.read(own)
    assert (rules.of("iris").accuracy, rules.of("iris").samples) == (0.9, 40)
    assert rules.of("iris").off == ("one_class",)
    assert rules.of("stock-lstm").baseline == -3
    assert rules.of("other") == RulesFile(rules.default, {}).of("other")
    assert rules.of("other").drift_psi == RulesFile.read().of("other").drift_psi


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[default]\nsample = 3", "default: sample: unknown; there is: span_seconds, "),
        ("[models.iris]\nsamples = 3.5", "models.iris: samples: expected an integer, got 3.5"),
        ("[models.iris]\naccuracy = 80", "accuracy: expected a share from 0 to 1, got 80"),
        ("[default]\ndrift_psi = 0", "drift_psi: expected more than 0, got 0"),
        ("[default]\ndrift_psi = true", "drift_psi: expected a number, got True"),
        ("[default]\ndrift_psi = nan", "drift_psi: expected a number, got nan"),
        ("[default]\ndrift_chance = 1.5", "drift_chance: expected less than 1, got 1.5"),
        ('[default]\noff = ["drifts"]', "off: expected names of drift, "),
        ("[iris]\nsamples = 3", "expected tables [default] and [models.NAME], got iris"),
        ("models = 3", "expected tables [default] and [models.NAME]"),
        ("[models]\niris = 3", "expected tables [default] and [models.NAME]"),
        ("[default", "cannot be read"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str, said: str) -> None:
    own = tmp_path / "rules.toml"
    own.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=re.escape(said)):
        RulesFile.read(own)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nothing.toml cannot be read"):
        RulesFile.read(tmp_path / "nothing.toml")


def test_every_key_and_every_rule_stands_in_the_page_and_no_other() -> None:
    rows = {*re.findall(r"^\| `([a-z_]+)`", PAGE.read_text("utf-8"), re.MULTILINE)}
    assert rows == {*RULES, *(field.name for field in fields(Thresholds))}
