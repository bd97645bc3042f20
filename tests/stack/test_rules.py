"""Alerts: valid, each with a case that fires and one that does not, each in the runbook.

What judges them is shown to see faults: rules that never fire and rules that always do.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest
import yaml

from registry.__main__ import main
from registry.settings import Settings
from registry.variables import variable
from tests.stack.rules import (
    ALERTMANAGER,
    PROMETHEUS,
    ROOT,
    RULES,
    Case,
    Rule,
    alerts,
    cases,
    changed,
    loaded,
    metrics_of,
    names,
    run,
)

RUNBOOK = "docs/operations.md"
ALERTS = alerts()
CASES = list(cases())


def problems(rule: Rule, tested: list[Case], runbook: str) -> list[str]:
    """What is missing of one alert."""
    name, annotations = rule["alert"], rule.get("annotations", {})
    mine = [case for case in tested if case.alert == name]
    read = metrics_of(rule["expr"])
    anchor = f"{RUNBOOK}#{name.lower()}"
    return [
        what
        for what, missing in {
            "severity": rule.get("labels", {}).get("severity") not in ("urgent", "soon"),
            "summary": not annotations.get("summary"),
            "description": not annotations.get("description"),
            "runbook": annotations.get("runbook") != anchor,
            "anchor": not re.search(rf"^### {name}$", runbook, re.MULTILINE),
            "a case that fires": not any(case.fires and read & case.metrics for case in mine),
            # One that is given nothing of what the alert reads would be quiet whatever it says.
            "a case that does not": not any(
                not case.fires and read & case.metrics for case in mine
            ),
        }.items()
        if missing
    ]


def runbook() -> str:
    return (ROOT / RUNBOOK).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_all_that_belongs_to_it(name: str) -> None:
    assert problems(ALERTS[name], CASES, runbook()) == []


def test_an_alert_with_nothing_is_seen() -> None:
    bare = {"alert": "Bare", "expr": "baton_workers == 0"}
    unread = Case("Bare", fires=False, metrics=frozenset({"up"}))
    assert problems(bare, [unread], "### Other\n") == [
        "severity",
        "summary",
        "description",
        "runbook",
        "anchor",
        "a case that fires",
        "a case that does not",
    ]


def test_the_runbook_names_no_alert_that_does_not_exist() -> None:
    assert set(re.findall(r"^### (\w+)$", runbook(), re.MULTILINE)) == {*ALERTS}
    assert {case.alert for case in CASES} == {*ALERTS}


def unknown_words(page: str) -> set[str]:
    """What a page says to run or to set that there is not."""
    settings = {variable(field) for field in dataclasses.fields(Settings)}
    verbs = set(
        re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    )
    known = {
        r"\bBATON_[A-Z_]+[A-Z]": {*settings, *(f"{name}_FILE" for name in settings)},
        r"python -m registry (\w+)": {*main.commands},
        r"\bmake ([a-z-]+)": verbs,
    }
    return {
        word
        for what, there in known.items()
        for word in re.findall(what, page)
        if word not in there
    }


def test_the_runbook_says_what_can_be_run_and_set() -> None:
    assert unknown_words(runbook()) == set()
    planted = "`BATON_NOTHING`, python -m registry undo, make it-well"
    assert unknown_words(planted) == {"BATON_NOTHING", "undo", "it-well"}


def test_promtool_finds_the_rules_valid_and_their_tests_pass() -> None:
    checked = run("promtool", "check", "rules", *RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = run("promtool", "test", "rules", *sorted((PROMETHEUS / "tests").glob("*.yml")))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_cases_that_fire_see_a_rule_that_never_does(tmp_path: Path) -> None:
    tests = changed(
        tmp_path, lambda rule: {**rule, "expr": "vector(0) > 1"}, lambda case: case["exp_alerts"]
    )
    done = run("promtool", "test", "rules", *tests)
    assert (done.returncode, names(done.stdout + done.stderr)) == (1, {*ALERTS})


def test_cases_that_do_not_fire_see_a_rule_that_always_does(tmp_path: Path) -> None:
    tests = changed(
        tmp_path,
        lambda rule: {**rule, "expr": "vector(1)", "for": "0s"},
        lambda case: not case["exp_alerts"],
    )
    done = run("promtool", "test", "rules", *tests)
    assert (done.returncode, names(done.stdout + done.stderr)) == (1, {*ALERTS})


def test_prometheus_configuration_is_valid_and_a_wrong_word_is_seen(tmp_path: Path) -> None:
    copied = tmp_path / "prometheus"
    shutil.copytree(PROMETHEUS, copied)
    config = copied / "prometheus.yml"
    key = tmp_path / "metrics_key"
    key.write_text("baton_…", encoding="utf-8")
    text = config.read_text(encoding="utf-8")
    assert "/run/secrets/metrics_key" in text
    config.write_text(text.replace("/run/secrets/metrics_key", str(key)), encoding="utf-8")
    checked = run("promtool", "check", "config", config)
    assert (checked.returncode, "4 rule files found" in checked.stdout) == (0, True), checked
    config.write_text(text.replace("scrape_interval", "scrape_intervall"), encoding="utf-8")
    assert run("promtool", "check", "config", config).returncode == 1


def test_alertmanager_takes_its_configuration_and_the_example_of_receivers(tmp_path: Path) -> None:
    base = loaded(ALERTMANAGER / "alertmanager.yml")
    example = loaded(ALERTMANAGER / "receivers.example.yml")
    assert {one["name"] for one in example["receivers"]} == {
        one["name"] for one in base["receivers"]
    }
    target = tmp_path / "alertmanager.yml"
    for config in (base, {**base, **example}):
        target.write_text(yaml.safe_dump(config), encoding="utf-8")
        checked = run("amtool", "check-config", target)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    target.write_text(yaml.safe_dump({**base, "receivers": [{"name": "urgent"}]}), "utf-8")
    assert run("amtool", "check-config", target).returncode == 1


@pytest.mark.parametrize("severity", ["urgent", "soon"])
def test_each_severity_reaches_its_receiver(severity: str) -> None:
    config = f"--config.file={ALERTMANAGER / 'alertmanager.yml'}"
    routed = run("amtool", "config", "routes", "test", config, f"severity={severity}")
    assert routed.stdout.strip() == severity, routed


def test_inhibitions_name_alerts_that_exist() -> None:
    text = (ALERTMANAGER / "alertmanager.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"Baton[A-Za-z]+", text)) <= {*ALERTS}
