"""`infra/chart.py` puts the rules into a copy of the chart, and changes nothing else."""

from __future__ import annotations

from pathlib import Path

from infra.chart import CHART, assemble


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with what is in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_copy_has_the_chart_and_the_rules(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "models.yml").write_text("groups: []\n", encoding="utf-8")
    (rules / "models_test.txt").write_text("no rule", encoding="utf-8")
    copy = assemble(CHART, rules, tmp_path / "out")
    assert listing(copy) == {**listing(CHART), "rules/models.yml": b"groups: []\n"}


def test_what_an_earlier_copy_had_is_gone(tmp_path: Path) -> None:
    (tmp_path / "baton" / "rules").mkdir(parents=True)
    (tmp_path / "baton" / "rules" / "old.yml").write_text("groups: []\n", encoding="utf-8")
    copy = assemble(CHART, tmp_path / "no rules", tmp_path)
    assert listing(copy) == listing(CHART)
