"""The page that adds a workload shows the file that is there."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_file_on_the_page_is_the_file() -> None:
    page = (ROOT / "docs" / "workload.md").read_text(encoding="utf-8")
    shown = page.split("```python\n")[1].split("```")[0]
    assert shown == (ROOT / "training" / "workloads" / "grower.py").read_text(encoding="utf-8")


def test_the_page_names_every_hook() -> None:
    """Those of the port, as the table has them."""
    page = (ROOT / "docs" / "workload.md").read_text(encoding="utf-8")
    port = (ROOT / "training" / "workload.py").read_text(encoding="utf-8")
    hooks = [
        line.split("def ")[1].split("(")[0]
        for line in port.split("class Workload(")[1].split("def score(")[0].splitlines()
        if line.startswith("    def ")
    ]
    assert len(hooks) > 10
    assert [hook for hook in hooks if f"`{hook}`" not in page] == []
