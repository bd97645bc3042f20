"""A version of a real, small Prophet model."""

from __future__ import annotations

from pathlib import Path

from tests.contract.prophet_cases import CASES, fit


def prophet_folder(path: Path) -> Path:
    """A folder as MLflow's `prophet` flavour writes it."""
    path.mkdir(parents=True)
    (path / "MLmodel").write_text("flavors: {prophet: {pr_model: model.pr}}", encoding="utf-8")
    (path / "model.pr").write_text(fit(CASES["linear"]), encoding="utf-8")
    return path
