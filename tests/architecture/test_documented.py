"""What can be set, run, judged or scraped is in the docs, and the docs name nothing else."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from prometheus_client import REGISTRY

from registry.gates import GATES
from registry.policy import MetricRule, Policy
from registry.settings import PACKAGED_GATES, PACKAGED_MONITORING, Settings
from registry.state import State
from registry.variables import variable
from serving import metrics

ROOT = Path(__file__).resolve().parents[2]


def _page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _rows(page: str, pattern: str) -> set[str]:
    """The first cells of a page's tables that look like `pattern`."""
    return set(re.findall(rf"^\| `({pattern})`", page, flags=re.MULTILINE))


def setting_row(field: dataclasses.Field) -> str:
    """A setting as `docs/settings.md` shows it."""
    default = field.default
    if isinstance(default, tuple):
        default = ",".join(default)
    if default in (PACKAGED_GATES, PACKAGED_MONITORING):
        default = f"registry/{default.name}"
    shown = f"`{default}`" if str(default) else "–"
    secret = " Also as `…_FILE`." if field.metadata["secret"] else ""
    cells = (f"`{variable(field)}`", shown, field.metadata["unit"], field.metadata["help"] + secret)
    return f"| {' | '.join(cells)} |"


def test_every_setting_stands_in_the_settings_page_with_its_default_and_its_help():
    page = _page("docs/settings.md")
    rows = [setting_row(field) for field in dataclasses.fields(Settings)]
    assert [row for row in rows if row not in page] == []


def test_the_settings_page_names_no_setting_that_does_not_exist():
    known = {variable(field) for field in dataclasses.fields(Settings)}
    assert _rows(_page("docs/settings.md"), "(?:BATON|MLFLOW)_[A-Z0-9_]+") == known


def test_every_make_target_stands_in_the_readme_and_no_other():
    targets = set(re.findall(r"^([a-z-]+):.*## ", _page("Makefile"), flags=re.MULTILINE))
    assert _rows(_page("README.md"), "make [a-z-]+") == {f"make {name}" for name in targets}


def test_every_gate_stands_in_the_gates_page_and_no_other():
    page = _page("docs/gates.md").partition("## The file")[0]
    assert _rows(page, "[a-z_]+") == set(GATES)


def test_every_state_of_a_model_stands_in_the_gates_page():
    page = _page("docs/gates.md")
    assert [state for state in State if f"\n| {state} | " not in page] == []


def test_every_key_of_the_gates_file_stands_in_the_gates_page_and_no_other():
    page = _page("docs/gates.md").partition("## The file")[2]
    policy = {field.name for field in dataclasses.fields(Policy)} - {"rules"}
    rule = {field.name for field in dataclasses.fields(MetricRule)}
    assert _rows(page, "[a-z_]+") == policy | rule


def test_every_metric_stands_in_the_metrics_page_and_no_other():
    ours = [value for name, value in vars(metrics).items() if name.isupper()]
    described = {
        m.name: m for metric in ours if hasattr(metric, "describe") for m in metric.describe()
    }
    assert described, "no metric was found: this test would prove nothing"
    suffix = {"counter": "_total"}
    names = {name + suffix.get(m.type, "") for name, m in described.items()}
    assert _rows(_page("docs/metrics.md"), "baton_[a-z_]+") == names


def test_every_metric_of_ours_is_registered_under_its_documented_prefix():
    ours = [m.name for m in REGISTRY.collect() if not re.match(r"python_|process_", m.name)]
    assert [name for name in ours if not name.startswith("baton_")] == []


def test_no_tracked_text_names_a_path_outside_the_project():
    outside = re.compile(r"(?<![\w.])/(?:work|root|home)/\w+")
    texts = [
        p
        for folder in ("docs", "registry", "serving", "training", "infra", "benchmarks")
        for p in (ROOT / folder).rglob("*")
        if p.suffix in {".py", ".md", ".toml"}
    ]
    assert texts
    assert [str(p) for p in texts if outside.search(p.read_text(encoding="utf-8"))] == []
