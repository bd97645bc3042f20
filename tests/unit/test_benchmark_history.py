"""Recorded histories: what a row says, the windows around swaps, and the page of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import history, results
from benchmarks.checker import violations
from benchmarks.history import PACKED, ROW, Rows
from benchmarks.reply import Incomplete, Reply
from benchmarks.results import Row, Section
from benchmarks.versions import Versions, predict
from benchmarks.windows import Moments, Windows, latency_ms
from serving.engines.onnx import OnnxEngine

ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\nX-Request-Id: r7\r\nX-Model-Version: 3\r\n"
    b'x-model-seq: 12\r\nX-Worker: 1\r\n\r\n{"predictions":[[3021]]}'
)


def row(number: int, **changes: Any) -> tuple[Any, ...]:
    """A request that version 2 answered rightly, 3 ms after it was due."""
    given = {
        "number": number,
        "echoed": number,
        "due": number / 100,
        "begun": number / 100,
        "ended": number / 100 + 0.003,
        "late": 0.0,
        "status": 200,
        "version": 2,
        "seq": 5,
        "worker": 0,
        "answer": predict("2", number),
    }
    return tuple((given | changes).values())


def rows(*made: tuple[Any, ...]) -> Rows:
    return np.array(list(made), dtype=ROW)


def found(recorded: Rows, count: int) -> list[str]:
    ids = [f"r{number}" for number in range(count)]
    return violations(history.observations(recorded), ids=ids, predict=predict)


def test_what_the_client_packs_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "history.bin"
    path.write_bytes(PACKED.pack(*row(0)) + PACKED.pack(*row(1)) + b"half a row")
    assert history.read(path).tolist() == [row(0), row(1)]


def test_the_artifact_holds_the_same_rows_and_the_same_rows_give_the_same_digest(
    tmp_path: Path,
) -> None:
    digests = []
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(PACKED.pack(*row(0)) * 500)
        artifact, digest = history.keep(tmp_path / name)
        assert len(history.read(artifact)) == 500
        digests.append(digest)
    assert digests[0] == digests[1]


def test_a_good_recording_holds() -> None:
    assert found(rows(*map(row, range(9))), 9) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"echoed": 3}, "r4: answered 0 times"),
        ({"echoed": -1}, "r4: answered 0 times"),
        ({"status": 0, "echoed": -1}, "r4: answered 0 times, last status 0"),
        ({"answer": float("nan")}, "answered nan"),
        ({"answer": predict("3", 4)}, "offline it is"),
        ({"version": -1}, "which never was"),
    ],
)
def test_a_recording_fails_on(changes: dict[str, Any], complaint: str) -> None:
    recorded = [row(n, **(changes if n == 4 else {})) for n in range(9)]
    assert any(complaint in one for one in found(rows(*recorded), 9))


def test_an_answer_of_shortest_digits_is_the_float32_that_was_computed() -> None:
    exact = float(np.float32(predict("999", 999_983)))
    shortest = float(str(np.float32(exact)))
    recorded = rows(row(0), *(row(n) for n in range(1, 3)))
    recorded["version"][2], recorded["number"][2], recorded["echoed"][2] = 999, 999_983, 999_983
    recorded["answer"][2] = shortest
    assert found(recorded, 2) == ["r999983: answered, but never asked"]


@pytest.mark.parametrize("burn", [0, 3])
def test_the_offline_prediction_is_what_the_engine_answers(tmp_path: Path, burn: int) -> None:
    route = Versions(tmp_path, burn_products=burn).route(37)
    engine = OnnxEngine.load(Path(route.source) / "model.onnx")
    inputs = np.array([[0], [1], [77_777], [999_999]], dtype=np.float32)
    answers = engine.run({"x": inputs})["y"][:, 0].tolist()
    assert answers == [predict("37", x) for x in inputs[:, 0].tolist()]


def test_no_two_versions_and_no_two_inputs_answer_alike() -> None:
    pairs = [(version, x) for version in ("998", "999", "1000") for x in (999_997, 999_999)]
    assert len({predict(*pair) for pair in pairs}) == len(pairs)


def test_an_answer_is_read_once_it_is_whole() -> None:
    for cut in range(len(ANSWER)):
        with pytest.raises(Incomplete):
            Reply.of(ANSWER[:cut])
    assert Reply.of(ANSWER) == Reply(200, "r7", 3, 12, 1, 3021.0)


def test_a_body_that_is_no_prediction_is_no_number() -> None:
    reply = Reply.of(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    assert (reply.status, reply.seq, reply.closes) == (503, -1, True)
    assert np.isnan(reply.answer)


def test_windows_are_near_quiet_and_while_it_loads() -> None:
    recorded = rows(*(row(n) for n in range(2_000)))  # 20 s, every 10 ms
    slow = (recorded["due"] >= 9.5) & (recorded["due"] < 10.5)
    recorded["ended"][slow] += 0.1
    windows = Windows.of(recorded, [Moments(appended=8.0, seen=10.0, every=10.1)])
    assert (windows.near["due"].min(), windows.near["due"].max()) == (9.0, 11.0)
    assert (windows.quiet["due"].min(), windows.quiet["due"].max()) == (6.0, 7.99)
    assert (windows.loading["due"].min(), windows.loading["due"].max()) == (8.0, 11.0)
    assert latency_ms(windows.quiet, 0.99) == pytest.approx(3)
    assert windows.near_ratio(0.99) == pytest.approx(103 / 3)


def test_a_section_is_replaced_and_every_other_one_stays(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    for title, value in (("One", 1.0), ("Two", 2.0), ("One", 3.0)):
        made = [Row.of("a number", [value], unit="s", goal=2.5)]
        results.write(Section(title, "make it", made, ["said"]), page=page)
    sections = results.read(page)
    assert list(sections) == ["One", "Two"]
    assert "| a number | 3 s | 3 s | 3 s | ≤ 2.5 s | **missed** |" in sections["One"]
    assert "| a number | 2 s | 2 s | 2 s | ≤ 2.5 s | met |" in sections["Two"]


def test_a_goal_at_worst_is_held_against_the_most() -> None:
    assert Row.of("x", [1, 1, 9], goal=5, at_worst=True).verdict == "**missed**"
    assert Row.of("x", [1, 1, 9], goal=5).verdict == "met"
