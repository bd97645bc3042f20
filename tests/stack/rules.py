"""The committed rules and their tests as data, and promtool and amtool to judge them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.missing import ServiceMissing

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "infra" / "prometheus"
ALERTMANAGER = ROOT / "infra" / "alertmanager"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
Rule = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """What one test expects of one alert; `metrics` are those it is given."""

    alert: str
    fires: bool
    metrics: frozenset[str]


def loaded(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def alerts() -> dict[str, Rule]:
    """Every alert by its name."""
    groups = (group for path in RULES for group in loaded(path)["groups"])
    found = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert len({rule["alert"] for rule in found}) == len(found), "a name stands for two alerts"
    return {rule["alert"]: rule for rule in found}


def cases() -> Iterator[Case]:
    """Every case of every alert, of all files of tests."""
    for path in sorted((PROMETHEUS / "tests").glob("*.yml")):
        for test in loaded(path)["tests"]:
            given = frozenset(one["series"].partition("{")[0] for one in test["input_series"])
            for case in test["alert_rule_test"]:
                yield Case(case["alertname"], bool(case["exp_alerts"]), given)


def metrics_of(expression: str) -> set[str]:
    """The metrics that an expression reads; recorded ones by what they are made of."""
    if "model:baton_failed" in expression:
        expression += " baton_requests_total"
    known = r"\b(?:baton_[a-z_]+|up|probe_[a-z_]+|alertmanager_[a-z_]+)\b"
    return set(re.findall(known, expression.replace("model:baton_failed", "")))


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool or amtool; a missing one skips on a laptop only."""
    found = shutil.which(program)
    if not found:
        ServiceMissing(f"no {program} is installed").skip_or_fail()
    return subprocess.run(
        [found, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


def changed(
    target: Path, rule: Callable[[Rule], Rule], wanted: Callable[[Rule], bool]
) -> list[Path]:
    """A copy of rules and tests below `target`, rules changed, with the `wanted` cases only.

    Returns the files of tests.
    """
    copied = []
    for path in RULES:
        content = loaded(path)
        for group in content["groups"]:
            group["rules"] = [rule(one) if "alert" in one else one for one in group["rules"]]
        _dump(target / "rules" / path.name, content)
        tests = loaded(PROMETHEUS / "tests" / path.name)
        for test in tests["tests"]:
            test["alert_rule_test"] = [one for one in test["alert_rule_test"] if wanted(one)]
        _dump(target / "tests" / path.name, tests)
        copied.append(target / "tests" / path.name)
    return copied


def _dump(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, width=1000), encoding="utf-8")


def names(text: str) -> set[str]:
    """The alerts that promtool complains of."""
    return set(re.findall(r"alertname: ?(\w+)", text))


def environment() -> dict[str, str]:
    """For servers of a test: nothing of this process's proxies."""
    return {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
