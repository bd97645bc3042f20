"""Who answers which request while a split is on, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from registry.errors import BundleInvalid
from registry.ledger import Role
from serving.answer import Answer
from tests.servingfakes.arms import ArmsBench, ByDigest


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ArmsBench]:
    made = ArmsBench(tmp_path)
    yield made
    made.close()


def told(answer: Answer) -> tuple[str | None, ...]:
    """Version, seq and arm of an answer, by its headers."""
    names = ("X-Model-Version", "X-Model-Seq", "X-Model-Arm")
    return tuple(answer.headers.get(name) for name in names)


def counted(arm: str, status: int = 200) -> float:
    labels = {"model": "iris", "arm": arm, "status": str(status)}
    return REGISTRY.get_sample_value("baton_arm_requests_total", labels) or 0.0


def test_without_a_split_nothing_is_said_of_arms(bench: ArmsBench) -> None:
    bench.flip(1)
    assert told(bench.ask()) == ("1", "1", None)
    assert counted("serve") == counted("split") == 0


def test_each_request_is_answered_by_the_arm_that_its_id_says(bench: ArmsBench) -> None:
    bench.flip(1)
    arm = bench.flip(2, 0.3)
    assert arm
    before = counted("split"), counted("serve")
    ids = [f"r{number}" for number in range(300)]
    answers = {one: bench.ask(X_Request_Id=one) for one in ids}
    taken = {one for one in ids if arm.takes(one)}
    for one, answer in answers.items():
        is_taken = one in taken
        assert told(answer) == (("2", "2", "split") if is_taken else ("1", "2", "serve"))
        assert json.loads(answer.body)["predictions"] == ["B" if is_taken else "A"]
        assert json.loads(answer.body)["version"] == ("2" if is_taken else "1")
    assert 0 < len(taken) < 300
    assert counted("split") - before[0] == len(taken)
    assert counted("serve") - before[1] == 300 - len(taken)


def test_a_record_says_which_arm_answered(bench: ArmsBench) -> None:
    bench.flip(2, 0.3)
    for number in range(60):
        bench.ask(X_Request_Id=f"r{number}")
    said = {(one.arm, one.version, one.digest, one.seq) for one in bench.spool.records}
    assert said == {("serve", "1", "A", 2), ("split", "2", "B", 2)}


def test_a_user_stays_with_an_arm_whatever_the_request_and_the_entry(bench: ArmsBench) -> None:
    arm = bench.flip(2, 0.5, sticky="header:X-User-Id")
    assert arm
    users = [f"u{number}" for number in range(40)]

    def answered() -> dict[str, str]:
        return {u: bench.ask(X_User_Id=u).headers["X-Model-Version"] for u in users}

    first = answered()
    assert first == {user: "2" if arm.takes(user) else "1" for user in users}
    bench.flip(3, 0.5, sticky="header:X-User-Id")
    assert answered() == first
    assert set(first.values()) == {"1", "2"}


def test_a_request_without_the_sticky_header_is_told_apart_by_its_id(bench: ArmsBench) -> None:
    arm = bench.flip(2, 0.5, sticky="header:X-User-Id")
    assert arm
    for number in range(40):
        one = f"r{number}"
        wanted = "2" if arm.takes(one) else "1"
        assert bench.ask(X_Request_Id=one).headers["X-Model-Version"] == wanted
        assert bench.ask(X_Request_Id=one, X_User_Id="").headers["X-Model-Version"] == wanted


def test_all_attempts_of_a_request_have_one_arm(bench: ArmsBench) -> None:
    bench.flip(2, 0.5)
    for number in range(20):
        attempts = [bench.ask(X_Attempt_Of=f"a{number}") for _ in range(4)]
        assert len({one.headers["X-Model-Version"] for one in attempts}) == 1


def test_a_version_in_the_path_is_answered_by_that_arm(bench: ArmsBench) -> None:
    bench.flip(2, 0.01)
    assert {told(bench.ask(version="2")) for _ in range(20)} == {("2", "2", "split")}
    assert {told(bench.ask(version="1")) for _ in range(20)} == {("1", "2", "serve")}
    answer = bench.ask(version="3")
    assert (answer.status, json.loads(answer.body)["detail"]) == (
        404,
        "iris: version 3 is not served here, 1 is",
    )


def test_an_arm_that_fails_fails_under_its_own_name(tmp_path: Path) -> None:
    def fails(_body: object) -> object:
        raise RuntimeError("on purpose")

    bench = ArmsBench(tmp_path, ByDigest(B=fails))
    bench.flip(2, 1.0)
    before = counted("split", 500)
    answer = bench.ask()
    assert (answer.status, told(answer)) == (500, ("2", "2", "split"))
    assert counted("split", 500) == before + 1
    [record] = bench.spool.records
    assert (record.arm, record.version, record.status) == ("split", "2", 500)
    bench.close()


def test_an_arm_that_this_worker_has_not_is_answered_for_by_what_serves(
    bench: ArmsBench,
) -> None:
    bench.worker.loader.broken = {"B"}
    bench.flip(1)
    with pytest.raises(BundleInvalid, match="could not load v1 and v2"):
        bench.flip(2, 1.0)
    assert told(bench.ask()) == ("1", "1", None)
    bench.worker.loader.broken = ()
    bench.flip(3, 1.0)
    bench.worker.manager._residents.keep_only("iris", {"A"})
    assert told(bench.ask()) == ("1", "3", "serve")


def test_a_split_is_never_answered_on_the_loop_s_thread(bench: ArmsBench) -> None:
    manager = bench.worker.manager
    bench.flip(1)
    assert manager.loaded("iris", alone=True) is not None
    bench.flip(2, 0.1)
    assert (manager.loaded("iris", alone=True), manager.loaded("iris") is None) == (None, False)
    bench.flip(3, 0.1, role=Role.SHADOW)
    assert manager.loaded("iris", alone=True) is not None
