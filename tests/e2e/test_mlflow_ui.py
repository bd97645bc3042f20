"""A person's whole way through MLflow's own UI: what it shows, and what a click there does.

Trains, promotes and serves by command on a home of its own, then only clicks.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from benchmarks.node import ROOT, Node, free_port
from tests.e2e.mlflow_ui import MlflowUi, chromium, eventually

REFUSED_FOREST = ("--param", "n_estimators=1", "--param", "max_depth=1")


class World:
    """A node with three trained forests of which the first serves, and MLflow beside it."""

    def __init__(self, home: Path) -> None:
        self.node = Node(home)
        self.mlflow_port = free_port()
        self.runs: dict[int, dict[str, Any]] = {}

    def train(self, *options: str) -> None:
        run = self.node.run("training", "run", "iris", *options)
        self.runs[run["version"]] = run

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    def served(self) -> dict[str, Any]:
        """What the node says that it serves, and since which change of Production."""
        said = self.node.call("/models/iris")
        return {name: said[name] for name in ("version", "seq", "degraded")}

    def history(self) -> list[dict[str, Any]]:
        return list(self.node.run("registry", "history", "iris")["entries"])

    @contextmanager
    def mlflow(self) -> Iterator[None]:
        """Run `python -m registry mlflow` until the block ends."""
        with (self.node.home / "mlflow.log").open("wb") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "registry", "mlflow", "--port", str(self.mlflow_port)],
                cwd=ROOT,
                env=self.node.environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                yield
            finally:
                server.terminate()
                server.wait(timeout=60)

    def mlflow_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=2) as answer:  # noqa: S310 - ours
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def world(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Needs the browser first: nothing is trained where there is none."""
    made = World(tmp_path_factory.mktemp("home"))
    made.train()
    made.node.run("registry", "promote", "iris", "1")
    # Both servers start while the other forests are trained.
    with made.mlflow(), made.node.serving(log=made.node.home / "server.log"):
        made.train("--param", "n_estimators=50")
        made.train(*REFUSED_FOREST)
        made.node.ready(seconds=60)
        made.node.follows("iris", "1", seconds=30)
        eventually(made.mlflow_answers, "MLflow answers")
        yield made


@pytest.fixture
def ui(browser: Browser, world: World, tmp_path: Path) -> Iterator[MlflowUi]:
    """A browser that never was here before; at the end, neither MLflow nor its page failed."""
    context = browser.new_context(viewport={"width": 1500, "height": 1100})
    window = MlflowUi(context.new_page(), world.address, tmp_path)
    yield window
    window.picture("at-the-end")
    context.close()
    assert window.faults == []


def test_the_models_page_leads_to_every_version_and_to_the_tags_of_a_promotion(
    ui: MlflowUi,
) -> None:
    ui.open_models()
    expect(ui.row("iris")).to_contain_text("Version 3")
    ui.picture("models")
    ui.open_model("iris")
    for version in (1, 2, 3):
        expect(ui.row(f"Version {version}")).to_be_visible()
    assert ui.tag("baton.ledger")
    ui.picture("model")
    ui.open_version("iris", 1)
    assert ui.tag("promoted_by")
    assert ui.tag("promoted_to") == "Production"
    assert ui.tag("baton.gates") == "passed"
    assert len(ui.tag("baton.digest")) == 64
    assert ui.tag("data_source") == "sample"
    ui.picture("version")


def test_the_experiment_leads_to_a_run_with_its_parameters_metrics_and_tags(
    ui: MlflowUi, world: World
) -> None:
    run = world.runs[2]
    ui.open_run("iris-pipeline", run["run_id"])
    ui.title("random_forest_training")
    expect(ui.row("n_estimators", "50")).to_be_visible()
    expect(ui.row("max_depth", "10")).to_be_visible()
    for metric, value in run["metrics"].items():
        expect(ui.row(metric, str(value))).to_be_visible()
    for key, value in {"data_source": "sample", "ticker": "iris", "model_version": "2"}.items():
        expect(ui.page.get_by_text(f"{key}: {value}", exact=True)).to_be_visible()
    ui.picture("run")


def test_the_artifacts_of_a_run_show_its_plots_its_models_and_the_report_of_its_gates(
    ui: MlflowUi, world: World
) -> None:
    ui.open_run("iris-pipeline", world.runs[1]["run_id"])
    ui.page.get_by_role("tab", name="Artifacts").click()
    ui.unfold("plots", "confusion_matrix.png")
    plot = ui.page.get_by_role("img", name="plots/confusion_matrix.png")
    expect(plot).to_be_visible()
    eventually(lambda: plot.evaluate("it => it.naturalWidth") > 100, "the plot is drawn")
    ui.picture("plot")
    ui.unfold("onnx_model")
    expect(ui.page.get_by_text("iris_random_forest.onnx", exact=True)).to_be_visible()
    ui.page.get_by_text("model", exact=True).first.click()
    expect(ui.page.get_by_text("MLmodel", exact=True)).to_be_visible()
    ui.page.get_by_text("baton", exact=True).first.click()
    ui.unfold("iris", "v1", "report.md")
    ui.title("iris v1 → Production: passed")
    ui.picture("report")


def test_a_version_that_a_click_puts_into_production_is_served_and_the_one_before_archived(
    ui: MlflowUi, world: World
) -> None:
    ui.open_version("iris", 2)
    ui.show_stages()
    ui.stage("None")
    ui.put_into_production()
    ui.stage("Production")
    eventually(lambda: world.served()["version"] == "2", "version 2 is served")
    newest = world.history()[0]
    assert (newest["version"], newest["kind"]) == (2, "promote")
    assert (newest["door"], newest["actor"]) == ("mlflow", "mlflow-ui")
    ui.open_model("iris")
    ui.eventually_shows(
        ("Version 1", "Archived"), ("Version 2", "Production"), ("Version 3", "None")
    )
    expect(ui.row("Production")).to_have_count(1)
    ui.picture("stages")
    ui.open_version("iris", 2)
    assert ui.tag("promoted_by") == "mlflow-ui"
    assert ui.tag("baton.gates") == "passed"


def test_a_version_that_the_gates_refuse_is_put_back_and_its_page_says_why(
    ui: MlflowUi, world: World
) -> None:
    before = world.served()
    ui.open_version("iris", 3)
    ui.show_stages()
    ui.put_into_production()
    ui.eventually_shows(("baton.gates", "refused"))
    ui.open_model("iris")
    ui.eventually_shows(("Version 3", "None"), (f"Version {before['version']}", "Production"))
    expect(ui.row("Production")).to_have_count(1)
    ui.open_version("iris", 3)
    ui.stage("None")
    reason = ui.tag("baton.rejected")
    assert "accuracy" in reason
    assert "0.85" in reason
    ui.picture("refused")
    assert world.served() == before
