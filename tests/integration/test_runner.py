"""Versions that are code, on a real node: one process for all workers, whatever happens to it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks import history
from benchmarks.checker import violations
from benchmarks.load import Load
from benchmarks.versions import predict
from registry.bundle import Golden
from tests.servingfakes import models
from tests.servingfakes.node import Node, Reply, alive
from tests.servingfakes.pyfuncs import forest, scripted
from tests.servingfakes.versions import folder, route

SECONDS = 3.0
RUNNER = "-m serving.runner "
TWO_ROWS = {"instances": [[1.0], [2.5]]}
EXAMPLES = Golden(({"request": TWO_ROWS, "response": {}},))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(
        tmp_path / "var",
        environ={
            "BATON_ENGINES": "onnx,prophet,runner",
            "BATON_RUNNER_SECONDS": str(SECONDS),
            "BATON_READY_SECONDS": "40",
        },
    )
    made.start()
    yield made
    made.stop()
    assert not [pid for pid in runners_of(made.home) if alive(pid)]


@pytest.fixture
def serve(node: Node, tmp_path: Path) -> Callable[..., Reply]:
    """Put a script into Production and wait until it answers."""
    made: list[Path] = []

    def promoted(predict: str, **how: Any) -> Reply:
        made.append(scripted(tmp_path / f"v{len(made) + 1}", predict, **how))
        to = route(made[-1], len(made), golden=EXAMPLES)
        seq = node.promote(to).key.seq
        return node.until_serving(seq)

    return promoted


def runners_of(home: Path) -> list[int]:
    """The runners of a home, by pid."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if RUNNER in command and str(home) in command:
            found.append(int(entry.parent.name))
    return found


def only(node: Node) -> int:
    [pid] = runners_of(node.home)
    return pid


def test_a_forest_of_scikit_learns_is_served_by_both_workers_through_one_process(
    node: Node, tmp_path: Path
) -> None:
    model, table = forest(tmp_path / "forest")
    node.promote(route(tmp_path / "forest"))
    rows = {"instances": table[::10].to_numpy().tolist()}

    def ask() -> Reply:
        return node.ask("POST", "/models/iris/predict", rows)

    node.until(lambda: ask().status == 200, "the forest answers")
    replies = [ask() for _ in range(40)]
    expected = model.predict(table[::10]).tolist()
    assert {str(reply.json["predictions"]) for reply in replies} == {str(expected)}
    assert len({reply.headers["X-Worker"] for reply in replies}) == 2
    assert len(runners_of(node.home)) == 1
    listed = node.ask("GET", "/models/iris").json
    assert listed["engine"] == "runner"
    maps = [Path(f"/proc/{pid}/maps").read_text() for pid in node.worker_pids()]
    assert not any("pandas" in text or "sklearn" in text for text in maps)
    assert "pandas" in Path(f"/proc/{only(node)}/maps").read_text()


def test_a_killed_runner_is_started_again_and_nobody_waits_for_it(
    node: Node, serve: Callable[..., Reply]
) -> None:
    serve("return table['x'] * 3")
    killed = only(node)
    os.kill(killed, signal.SIGKILL)
    begun, statuses = time.monotonic(), []
    while not statuses or statuses[-1] != 200:
        asked = time.monotonic()
        reply = node.predict(2)
        statuses.append(reply.status)
        assert time.monotonic() - asked < SECONDS + 1
        assert time.monotonic() - begun < 40
        if reply.status == 503:
            assert reply.headers["Retry-After"] == "1"
            assert "runner" in reply.json["detail"]
    assert set(statuses) == {503, 200}
    assert reply.json["predictions"] == [6.0]
    assert only(node) != killed
    metrics = node.ask("GET", "/metrics").body.decode()
    assert 'baton_runner_restarts_total{model="iris"} 1.0' in metrics


def test_a_swap_starts_a_new_process_and_the_one_before_the_last_ends(
    node: Node, serve: Callable[..., Reply], tmp_path: Path
) -> None:
    serve("return table['x'] * 3")
    first = only(node)
    assert serve("return table['x'] * 4").json["predictions"] == [4.0]
    assert len(runners_of(node.home)) == 2, "the previous one stays: a rollback is a flip"
    node.promote(route(folder(tmp_path / "onnx", models.linear(5)), 9))
    node.until_serving(3)
    node.until(lambda: not alive(first), "the first one ended")
    assert len(runners_of(node.home)) == 1
    assert node.predict(2).json["predictions"] == [[10.0]]
    node.promote(route(folder(tmp_path / "another", models.linear(6)), 10))
    node.until(lambda: not runners_of(node.home), "none is left")
    node.until(lambda: not list((node.home / "node" / "run").iterdir()), "nothing is left of it")


def test_swaps_between_code_and_graphs_under_load_break_no_request(
    node: Node, tmp_path: Path
) -> None:
    routes = {
        1: route(folder(tmp_path / "v1", models.linear(1, 1000)), 1),
        2: route(scripted(tmp_path / "v2", "return (table[['x']] * 2 + 2000).to_numpy()"), 2),
        3: route(scripted(tmp_path / "v3", "return (table[['x']] * 3 + 3000).to_numpy()"), 3),
    }
    node.promote(routes[1])
    node.until_serving(1)
    load = Load(node.port, "/models/iris/predict", 100, tmp_path / "history.bin")
    with load.running():
        for number in (2, 3, 2, 1, 3):
            load.until_every(node.promote(routes[number]).key.seq)
            time.sleep(0.3)
    found = violations(history.observations(load.rows()), ids=load.ids, predict=predict)
    assert found == []
    assert set(load.rows()["version"].tolist()) == {1, 2, 3}


# A regular expression that never ends, and lets no other thread of its process run meanwhile.
HANGING = """
import re
re.match("(a+)+$", "a" * (40 if table["x"].iloc[0] == 13 else 1) + "b")
return table["x"] * 3
"""


def test_a_predict_that_hangs_is_503_by_the_deadline_and_the_runner_is_replaced(
    node: Node, serve: Callable[..., Reply]
) -> None:
    serve(HANGING)
    hanging = only(node)
    begun = time.monotonic()
    reply = node.predict(13)
    assert (reply.status, time.monotonic() - begun < SECONDS + 1) == (503, True)
    node.until(lambda: node.predict(2).status == 200, "it answers again")
    assert only(node) != hanging
    assert "exit -14" in node.log()


@pytest.mark.parametrize("end", ["numpy.ones(1 << 33)", "sys.exit()", "ctypes.string_at(0)"])
def test_a_runner_out_of_memory_or_that_exits_or_crashes_is_replaced_and_the_workers_live(
    node: Node, serve: Callable[..., Reply], end: str
) -> None:
    serve(f"import ctypes, numpy, sys\nif table['x'].iloc[0] == 13: {end}\nreturn table['x'] * 3")
    before, workers = only(node), node.worker_pids()
    assert node.predict(13).status == 503
    node.until(lambda: node.predict(2).status == 200, "it answers again")
    assert only(node) != before
    assert node.worker_pids() == workers


COUNTING = """
import time
time.sleep(0.02)
with open({path!r}, "a") as file:
    file.write(f"{{len(table)}}\\n")
if (table["x"] == 13).any():
    raise ValueError("13 is not taken")
return table["x"] * 3
"""


def test_concurrent_requests_share_calls_and_an_error_stays_with_its_own(
    node: Node, serve: Callable[..., Reply], tmp_path: Path
) -> None:
    counts = tmp_path / "counts"
    serve(COUNTING.format(path=str(counts)))
    counts.unlink()
    asked = [float(n) for n in range(100, 200)]
    asked[30] = 13.0
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(node.predict, asked))
    for x, reply in zip(asked, replies, strict=True):
        if x == 13:
            assert (reply.status, "13 is not taken" in reply.json["detail"]) == (422, True)
        else:
            assert (reply.status, reply.json["predictions"]) == (200, [x * 3])
    calls = [int(line) for line in counts.read_text().split()]
    assert max(calls) > 1
    assert len(calls) < 80, calls


def test_a_model_that_looks_at_other_rows_is_never_given_two_requests(
    node: Node, serve: Callable[..., Reply]
) -> None:
    serve("import time; time.sleep(0.02); return table['x'] - table['x'].mean() + len(table)")
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(node.predict, range(40)))
    assert {str(reply.json["predictions"]) for reply in replies} == {"[1.0]"}


def test_a_version_whose_runner_cannot_load_is_refused_and_the_old_one_answers(
    node: Node, serve: Callable[..., Reply], tmp_path: Path
) -> None:
    """It loads in its trial, and not again: what no trial can see."""
    serve("return table['x'] * 3")
    marker = str(tmp_path / "tried")
    load = f"import pathlib\nif pathlib.Path({marker!r}).exists(): raise OSError('only once')"
    bad = scripted(tmp_path / "bad", "return table['x']", load=f"{load}\nopen({marker!r}, 'w')")
    node.promote(route(bad, 7))

    def degraded() -> str:
        reply = node.predict(2)
        assert (reply.status, reply.json["predictions"]) == (200, [6.0])
        return str(node.ask("GET", "/models/iris").json["reason"] or "")

    assert "could not load v7" in node.until(degraded, "it is refused")
    assert "only once" in node.log()


def test_a_worker_born_while_a_runner_cannot_come_up_serves_the_other_models(
    node: Node, serve: Callable[..., Reply], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    load = f"import pathlib\nif pathlib.Path({str(broken)!r}).exists(): raise OSError('broken')"
    serve("return table['x'] * 3", load=load)
    node.promote(route(folder(tmp_path / "onnx", models.linear(5)), 1), model="other")
    node.until_serving(1, model="other")
    broken.touch()
    os.kill(only(node), signal.SIGKILL)
    node.until(lambda: b"broken" in node.predict(2).body, "it cannot come up")
    before = node.worker_pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    node.until(lambda: node.predict(2, model="other").status == 200, "the other one is served")
    assert time.monotonic() - begun < 10
    node.until(lambda: len(node.worker_pids() - before) == 2, "both workers are new")
    assert node.predict(2).status == 503
    broken.unlink()
    node.until(lambda: node.predict(2).status == 200, "it is back")
    workers: set[str] = set()

    def all_answered() -> bool:
        """Asked side by side: one after the other, one worker may be the first each time."""
        with ThreadPoolExecutor(8) as askers:
            replies = list(askers.map(lambda _: node.predict(2), range(20)))
        assert {reply.status for reply in replies} == {200}
        workers.update(reply.headers["X-Worker"] for reply in replies)
        return workers == {"0", "1"}

    node.until(all_answered, "both workers answer")


def test_a_restarted_node_serves_a_version_that_is_code_again(
    node: Node, serve: Callable[..., Reply]
) -> None:
    serve("return table['x'] * 3")
    node.stop()
    node.start()
    assert node.until_serving(1).json["predictions"] == [3.0]
    assert len(runners_of(node.home)) == 1


def test_a_killed_host_takes_its_runners_along_and_both_come_back(
    node: Node, serve: Callable[..., Reply]
) -> None:
    serve("return table['x'] * 3")
    runner = only(node)
    os.kill(node.pid_of("serving.runner.host"), signal.SIGKILL)
    node.until(lambda: not alive(runner), "the runner ended")
    node.until(lambda: node.predict(2).status == 200, "it answers again")
    assert len(runners_of(node.home)) == 1


def test_the_runner_sees_no_secret_and_reaches_no_network(
    node: Node, serve: Callable[..., Reply]
) -> None:
    predict = (
        "import os, socket\n"
        f"try: socket.create_connection(('127.0.0.1', {node.port}), 1); net = 1\n"
        "except OSError: net = 0\n"
        "secrets = [k for k in os.environ if k.startswith(('BATON', 'AWS', 'MLFLOW_TRACKING'))]\n"
        "return table['x'] * 0 + net + 10 * len(secrets)"
    )
    assert serve(predict).json["predictions"] == [0.0]


def test_without_the_switch_nothing_of_such_a_version_runs(tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    version = scripted(tmp_path / "v1", "return table['x']", load=f"open({str(marker)!r}, 'w')")
    node = Node(tmp_path / "var")
    node.start()
    try:
        node.promote(route(version))
        node.until(lambda: "refused iris v1" in node.log(), "it is refused")
        assert "BATON_ENGINES has to name 'runner'" in node.log()
        assert not [c for c in node.processes().values() if "serving.runner" in c]
    finally:
        node.stop()
    assert not marker.exists()
