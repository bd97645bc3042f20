"""Helm, the chart as it is packed, and what it renders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.chart import CHART, assemble
from tests.missing import ServiceMissing
from tests.stack.chart.variants import VARIANTS, Helm, Object

RULE_FILE = """
groups:
  - name: requests
    rules:
      - alert: BatonSlow
        expr: histogram_quantile(0.99, sum by (le) (rate(baton_request_seconds_bucket[5m]))) > 1
        for: 5m
        labels: {severity: soon}
        annotations: {summary: '{{ $labels.model }} is slow: {{ $value | humanizeDuration }}'}
"""


@pytest.fixture(scope="session")
def helm() -> Iterator[Helm]:
    """Helm, where `make setup GROUP=chart` was run; elsewhere skipped on a laptop only."""
    try:
        started = Helm()
    except ServiceMissing as missing:
        missing.skip_or_fail()
    yield started
    started.close()


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as `make chart` packs it, with a file of rules."""
    folder = tmp_path_factory.mktemp("chart")
    (folder / "rules").mkdir()
    (folder / "rules" / "requests.yml").write_text(RULE_FILE, encoding="utf-8")
    return assemble(CHART, folder / "rules", folder)


@pytest.fixture(scope="session")
def rendered(helm: Helm, chart: Path) -> dict[str, list[Object]]:
    """The objects of every variant."""
    return {name: [*helm.render(chart, values)] for name, values in VARIANTS.items()}
