"""`make demo`: the whole product on real data, told on the terminal. 0 only if all of it held.

Runs the same commands a person would, against a home of its own (`var/demo`).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.checker import went_back
from benchmarks.history import Rows, observations
from benchmarks.load import Load
from benchmarks.node import CommandFailed, Node, free_port
from benchmarks.windows import latency_ms
from registry.process import die_with_parent

HOME = Path("var/demo")
RATE = 60.0
STEADY_SECONDS = 5.0
AROUND_SECONDS = 1.0
FLOWER = {
    "sepal length (cm)": 5.1,
    "sepal width (cm)": 3.5,
    "petal length (cm)": 1.4,
    "petal width (cm)": 0.2,
}
console = Console(highlight=False)


@dataclass(frozen=True)
class Swap:
    """One change of Production under load; times in seconds of `time.monotonic()`."""

    what: str
    version: str
    seq: int
    asked: float
    returned: float


def main() -> int:
    """Tell the story; 0 if everything it says was so."""
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--keep", action="store_true", help="leave server and MLflow up at the end")
    keep = parser.parse_args().keep
    node = Node(HOME.resolve())
    begun = time.monotonic()
    try:
        trained = _train_and_promote(node)
        with node.serving(log=node.home / "server.log"):
            node.ready(seconds=60)
            for run in trained:
                node.follows(run["model"], str(run["version"]), seconds=30)
            _predict(node)
            faults = _swap_under_load(node)
            _refused(node)
            if keep:
                _keep(node)
    except CommandFailed as error:
        console.print(f"the demo failed: {error}", style="red", markup=False)
        return 1
    verdict = "; ".join(faults) or "everything as told, the server stopped cleanly"
    console.print(
        f"\n{verdict} ({time.monotonic() - begun:.0f} s)", style="red" if faults else "green"
    )
    return 1 if faults else 0


def _train_and_promote(node: Node) -> list[dict[str, Any]]:
    _chapter(1, "Train two models on real bundled data: one MLflow run, one version each")
    trained = [_train(node, "petr4"), _train(node, "iris")]
    table = Table("workload", "model", "series", "hold-out", "said plainly", "s")
    for run in trained:
        table.add_row(
            run["workload"],
            f"{run['model']} v{run['version']}",
            run["series"],
            _metrics(run["metrics"]),
            run["verdict"],
            f"{run['seconds']:.0f}",
        )
    console.print(table)
    _chapter(2, "Promote both through the gates")
    for run in trained:
        with _working(f"judging {run['model']} v{run['version']}"):
            done = node.run("registry", "promote", run["model"], str(run["version"]))
        _report(done["report"])
    return trained


def _predict(node: Node) -> None:
    _chapter(3, f"Serve them: gunicorn, 2 workers, {node.url('')}")
    flower = node.call("/models/iris/predict", {"dataframe_records": [FLOWER]})
    console.print(f"POST /models/iris/predict {FLOWER}\n  → {flower}", markup=False)
    forecast = node.call("/predict", {"model": "ProphetModel", "horizon": 30})
    table = Table("day", "yhat", "band", title="POST /predict {model: ProphetModel, horizon: 30}")
    days = forecast["predictions"]
    for day in (*days[:5], *days[-2:]):
        table.add_row(
            day["ds"], f"{day['yhat']:.3f}", f"{day['yhat_lower']:.3f} … {day['yhat_upper']:.3f}"
        )
    console.print(table, f"{len(days)} days by v{forecast['version']}")


def _swap_under_load(node: Node) -> list[str]:
    _chapter(4, f"Change the version under a steady load of {RATE:g} requests a second")
    body = json.dumps({"dataframe_split": {"columns": [*FLOWER], "data": [[*FLOWER.values()]]}})
    record = node.home / "history.bin"
    load = Load(node.port, "/models/iris/predict", RATE, record, body=body)
    before = node.call("/models/iris")["version"]
    with load.running():
        second = _train(node, "iris", "--param", "n_estimators=200", "--param", "max_depth=5")
        _steady()
        promoted = _swap(node, "promote", "iris", str(second["version"]))
        _steady()
        rolled = _swap(node, "rollback", "iris")
        _steady()
    _show_load(load, promoted, rolled)
    return _faults(load, (promoted, str(second["version"])), (rolled, before))


def _refused(node: Node) -> None:
    _chapter(5, "What the gates refuse: a forest of one tree, one level deep")
    run = _train(node, "iris", "--param", "n_estimators=1", "--param", "max_depth=1")
    refused = node.run("registry", "promote", "iris", str(run["version"]), expect=3)
    _report(refused["report"])
    serving = node.call("/models/iris")
    console.print(f"exit 3; v{serving['version']} goes on serving as seq {serving['seq']}")


def _train(node: Node, workload: str, *options: str) -> dict[str, Any]:
    with _working(f"training {workload} {' '.join(options)}"):
        return node.run("training", "run", workload, *options)


def _swap(node: Node, verb: str, *arguments: str) -> Swap:
    asked = time.monotonic()
    with _working(f"{verb} {' '.join(arguments)}"):
        entry = node.run("registry", verb, *arguments)["entry"]
    seq = int(entry["seq"].partition(".")[2])
    return Swap(verb, str(entry["version"]), seq, asked, time.monotonic())


def _steady() -> None:
    with _working(f"{STEADY_SECONDS:g} s of load alone"):
        time.sleep(STEADY_SECONDS)


def _show_load(load: Load, *swaps: Swap) -> None:
    """Requests, failures and latencies, steady and around each swap; when each worker followed."""
    table = Table("window", "requests", "failed", "p50 ms", "p99 ms", "max ms")
    for name, window in _windows(load, swaps):
        failed = int((window["status"] != 200).sum())
        shown = (f"{latency_ms(window, share):.1f}" for share in (0.5, 0.99, 1))
        table.add_row(name, str(len(window)), str(failed), *shown)
    console.print(table)
    table = Table(
        "swap", "now serves", "the command took", "first worker after its return", "last worker"
    )
    for swap in swaps:
        table.add_row(
            swap.what,
            f"v{swap.version} (seq {swap.seq})",
            f"{swap.returned - swap.asked:.1f} s",
            _after(swap, load.first(swap.seq)),
            _after(swap, load.every(swap.seq)),
        )
    console.print(table)
    console.print(
        "negative: before the command returned, which also waits until MLflow shows the change"
    )


def _windows(load: Load, swaps: tuple[Swap, ...]) -> Iterator[tuple[str, Rows]]:
    """Each request is in one window but the last, which has them all."""
    rows = load.rows()
    due = rows["due"]
    near, busy = due < 0, due < swaps[0].asked - STEADY_SECONDS
    for swap in swaps:
        flip = load.first(swap.seq) or swap.returned
        near |= abs(due - flip) <= AROUND_SECONDS
        busy |= (swap.asked <= due) & (due <= swap.returned)
    yield "steady", rows[~near & ~busy]
    yield "within 1 s of a swap", rows[near]
    yield "beside training or judging", rows[busy & ~near]
    yield "all", rows


def _after(swap: Swap, at: float | None) -> str:
    return "never" if at is None else f"{(at - swap.returned) * 1000:+.0f} ms"


def _faults(load: Load, *expected: tuple[Swap, str]) -> list[str]:
    """What did not hold, in words."""
    faults, rows = [], load.rows()
    failed = int((rows["status"] != 200).sum()) + load.count - len(rows)
    if failed:
        faults.append(f"{failed} of {load.count} requests failed")
    if older := len(went_back(observations(rows))):
        faults.append(f"{older} answers came from an older version than one seen before")
    for swap, version in expected:
        if swap.version != version:
            faults.append(f"{swap.what} led to v{swap.version}, not v{version}")
        if load.every(swap.seq) is None:
            faults.append(f"after {swap.what}, not every worker answered with seq {swap.seq}")
    return faults


def _keep(node: Node) -> None:
    port = free_port()
    mlflow = subprocess.Popen(
        [sys.executable, "-m", "registry", "mlflow", "--port", str(port)],
        env=node.environ,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads are left here
    )
    console.print(
        f"\nserver {node.url('/models')}\n"
        f"MLflow http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning\n"
        "Ctrl-C ends both"
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    mlflow.terminate()
    mlflow.wait(timeout=30)


def _report(report: dict[str, Any]) -> None:
    verdict = "passed" if report["passed"] else "refused"
    table = Table(
        "gate",
        "",
        "expected",
        "got",
        title=f"{report['model']} v{report['version']} → {report['stage']}: {verdict}",
    )
    styles = {"passed": "green", "failed": "red", "skipped": "dim", "noted": "yellow"}
    for r in report["results"]:
        table.add_row(
            r["gate"], f"[{styles[r['status']]}]{r['status']}[/]", r["expected"], r["got"]
        )
    console.print(table)


def _metrics(metrics: dict[str, float]) -> str:
    shown = itertools.islice(((k, v) for k, v in metrics.items() if "backtest" not in k), 3)
    return ", ".join(f"{name} {value:.3g}" for name, value in shown)


def _chapter(number: int, title: str) -> None:
    console.print(f"\n[bold]{number}. {title}[/]")


@contextlib.contextmanager
def _working(what: str) -> Iterator[None]:
    """A moving line while something takes long; a plain one where nobody watches."""
    if not console.is_terminal:
        console.print(f"… {what}", markup=False)
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(what)
        yield


if __name__ == "__main__":
    raise SystemExit(main())
