"""Puts the chart together, checks it and packs it: `make chart` writes `var/chart/baton-….tgz`.

A chart can only read its own folder, so what it shares with the compose stack, the rules of
`infra/prometheus/rules`, is copied into a copy of it. Run with the environment `chart`, whose
helm-python-sdk is Helm itself as a library; no cluster is asked.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "infra" / "helm" / "baton"
RULES = ROOT / "infra" / "prometheus" / "rules"
OUTPUT = ROOT / "var" / "chart"
_WARNING = 2


def assemble(chart: Path, rules: Path, into: Path) -> Path:
    """Copy the chart into a folder, the rules beside its templates; returns the copy."""
    copy = into / chart.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(chart, copy)
    found = sorted(rules.glob("*.yml")) if rules.is_dir() else []
    if found:
        (copy / "rules").mkdir()
    for path in found:
        shutil.copy(path, copy / "rules")
    return copy


def example(chart: Path) -> str:
    """The values that the chart's README shows: the least that it has to be told."""
    _, _, rest = (chart / "README.md").read_text(encoding="utf-8").partition("```yaml\n")
    return rest.partition("```")[0]


def main() -> int:
    """Write the package; 1 if Helm's linter finds anything."""
    import helm_python as helm  # noqa: PLC0415 - only in the environment of this group

    OUTPUT.mkdir(parents=True, exist_ok=True)
    copy = assemble(CHART, RULES, OUTPUT)
    values = helm.values_from_yaml(example(CHART))
    found = [one for one in helm.lint(copy, values)["messages"] if one["severity"] >= _WARNING]
    for one in found:
        sys.stderr.write(f"{one['path']}: {one['error']}\n")
    if found:
        return 1
    packed = Path(helm.package(copy, destination=OUTPUT))
    rules = len(list(copy.glob("rules/*.yml")))
    sys.stdout.write(f"{packed.relative_to(ROOT)}, with {rules} files of rules\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
