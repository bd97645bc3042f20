"""What commands print and how they end; reports; knocks."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from registry import errors
from registry.console import exit_code, exits, out
from registry.gates import GateResult, Status
from registry.nudge import Bell, knock
from registry.report import PromotionReport
from registry.views import print_report
from tests.fakes.clock import NEW_YEAR_MS

FINE = GateResult("servable", Status.PASSED, "loads", "onnx in 3 ms")
BAD = GateResult("bound:mae", Status.FAILED, "mae ≤ 1", "2")
NOTE = GateResult("bound:rmse", Status.NOTED, "rmse ≤ 1", "2")


def report(*results: GateResult, forced: str = "") -> PromotionReport:
    """A report of these results."""
    return PromotionReport(
        model="iris",
        version=2,
        digest="d" * 64,
        current=1,
        results=results,
        gates_digest="g" * 64,
        actor="ada",
        door="command",
        stage="Production",
        at_ms=NEW_YEAR_MS,
        forced=forced,
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SettingsError("x"), 2),
        (errors.UnknownName("model", "x", ()), 2),
        (errors.ForeignLedger("x"), 2),
        (errors.GatesRefused("x", None), 3),
        (errors.NothingToServe("x"), 3),
        (errors.Unreachable("x"), 4),
        (errors.StepFailed("x"), 5),
        (errors.DataInvalid("x"), 5),
        (errors.BundleInvalid("x"), 5),
        (errors.LostRace("x"), 6),
        (ZeroDivisionError("x"), 1),
    ],
)
def test_every_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_every_error_of_ours_has_an_exit_code_that_is_no_bugs() -> None:
    ours = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    for kind in ours:
        if issubclass(kind, errors.BatonError):
            assert exit_code(kind.__new__(kind)) > 1


def test_a_command_ends_with_a_message_instead_of_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @exits
    def command(*, as_json: bool) -> None:
        raise errors.UnknownName("model", "[/irsi]", ["iris"])

    for as_json in (True, False):
        with pytest.raises(SystemExit) as ended:
            command(as_json=as_json)
        assert ended.value.code == 2
        printed = capsys.readouterr()
        assert "unknown model '[/irsi]'; there is: iris" in printed.err
        if as_json:
            assert json.loads(printed.out)["error"] == "UnknownName"
        else:
            assert printed.out == ""


def test_a_bug_is_not_hidden() -> None:
    @exits
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command()


def test_a_report_with_a_failure_is_refused_with_its_reason() -> None:
    refused = report(FINE, BAD, NOTE)
    assert not refused.passed
    assert refused.failures == (BAD,)
    assert refused.reason == "bound:mae: expected mae ≤ 1, got 2"


def test_what_is_only_noted_refuses_nothing() -> None:
    passed = report(FINE, NOTE)
    assert passed.passed
    assert passed.reason == ""


def test_a_trusted_version_passes_and_the_report_says_why() -> None:
    trusted = report(BAD, forced="the model's policy is trust")
    assert trusted.passed
    assert "Gates did not decide: the model's policy is trust" in trusted.to_markdown()


def test_a_report_is_plain_json() -> None:
    body = json.loads(json.dumps(report(FINE, BAD).to_json()))
    assert body["passed"] is False
    assert body["results"][1] == {
        "gate": "bound:mae",
        "status": "failed",
        "expected": "mae ≤ 1",
        "got": "2",
    }


def test_a_report_reads_well() -> None:
    text = report(FINE, BAD).to_markdown()
    assert text.startswith("# iris v2 → Production: refused\n")
    assert "2026-01-01 00:00:00 UTC, by ada (command), against Production v1." in text
    assert "| bound:mae | ✗ failed | mae ≤ 1 | 2 |" in text


def test_a_table_in_markdown_keeps_its_columns_whatever_a_gate_got() -> None:
    odd = GateResult("servable", Status.FAILED, "loads", "a | b\nc")
    [row] = [line for line in report(odd).to_markdown().splitlines() if "servable" in line]
    assert row.replace(r"\|", "").count("|") == 5
    assert "c" in row.rpartition("b")[2]


@pytest.mark.parametrize("text", ["[ONNXRuntimeError] : 1", "[/tmp] is gone", "float32[-1, 4]"])
def test_brackets_in_what_a_gate_got_are_printed_as_they_are(text: str) -> None:
    with out.capture() as captured:
        print_report(report(GateResult("servable", Status.FAILED, "loads", text)))
    assert text in captured.get()


def test_a_knock_is_heard_and_many_count_as_one(tmp_path: Path) -> None:
    bell = Bell(tmp_path / "deep" / "bell")
    assert not bell.wait(0)
    for _ in range(3):
        knock(tmp_path / "deep" / "bell")
    assert bell.wait(10)
    assert not bell.wait(0)
    bell.close()
    assert not (tmp_path / "deep" / "bell").exists()


def test_a_knock_where_nobody_listens_is_nothing(tmp_path: Path) -> None:
    knock(tmp_path / "absent")
    tmp_path.joinpath("file").write_text("")
    knock(tmp_path / "file")


def test_who_knocks_never_waits_for_who_sleeps(tmp_path: Path) -> None:
    bell = Bell(tmp_path / "bell")
    begun = time.monotonic()
    for _ in range(2000):
        knock(tmp_path / "bell")
    assert time.monotonic() - begun < 5
    assert bell.wait(0)
    bell.close()


def test_a_new_listener_takes_the_place_of_one_that_died(tmp_path: Path) -> None:
    Bell(tmp_path / "bell")
    heir = Bell(tmp_path / "bell")
    knock(tmp_path / "bell")
    assert heir.wait(10)
    heir.close()


def test_a_home_deep_in_the_tree_has_a_bell_too(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 90) / ("e" * 90) / "bell"
    bell = Bell(path)
    knock(path)
    assert bell.wait(10)
    bell.close()
