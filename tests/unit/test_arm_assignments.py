"""A version beside the one that serves: whom it takes, its name, and how a file keeps it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from registry.ledger import Key, Role
from serving.assignments import Arm, Assignments, Held
from tests.servingfakes.versions import assignment, with_arm

A1 = assignment("A", 1)
USERS = [f"user-{number}" for number in range(20_000)]


def arm(share: float, *, digest: str = "B", **more: Any) -> Arm:
    made = with_arm(A1, digest, share, **more).arm
    assert made
    return made


def taken_by(one: Arm) -> set[str]:
    return {user for user in USERS if one.takes(user)}


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_an_arm_takes_about_its_share(share: float) -> None:
    taken = sum(map(arm(share).takes, USERS)) / len(USERS)
    assert abs(taken - share) < 4 * (share * (1 - share) / len(USERS)) ** 0.5


def test_an_arm_of_nothing_takes_nobody_and_one_of_all_takes_everybody() -> None:
    assert not any(map(arm(0.0).takes, USERS))
    assert all(map(arm(1.0).takes, USERS))


def test_who_is_taken_stays_so_over_later_entries_and_larger_shares() -> None:
    before = taken_by(arm(0.1))
    later = dataclasses.replace(arm(0.1), key=Key(2, 77), since_ms=9, sticky="", until_ms=5)
    assert taken_by(later) == before
    assert before < taken_by(arm(0.2))


def test_who_is_taken_is_known_beforehand_and_the_same_in_every_process() -> None:
    taken = [number for number in range(100) if arm(0.05).takes(f"user-{number}")]
    assert taken == [10, 15, 22, 26, 48]


def test_another_version_or_model_takes_others() -> None:
    one, other = taken_by(arm(0.1)), taken_by(arm(0.1, digest="C"))
    elsewhere = taken_by(dataclasses.replace(arm(0.1), model="m"))
    for different in (other, elsewhere):
        assert 0.05 < len(one & different) / len(one) < 0.15


@pytest.mark.parametrize(
    ("sticky", "header"),
    [
        ("header:X-User-Id", "X-User-Id"),
        ("", ""),
        ("header:", ""),
        ("header:X User", ""),
        ("header:Größe", ""),
        ("cookie:session", ""),
    ],
)
def test_what_is_no_header_tells_nobody_apart(sticky: str, header: str) -> None:
    assert arm(0.1, sticky=sticky).header == header


def test_an_arm_has_a_name_only_in_a_split() -> None:
    split, shadow = with_arm(A1, "B", 0.1), with_arm(A1, "B", 0.1, role=Role.SHADOW)
    assert split.arm
    assert shadow.arm
    names = [one.arm_name for one in (A1, split, split.arm, shadow, shadow.arm)]
    assert names == ["", "serve", "split", "", ""]


def test_a_version_names_the_arm_of_a_split_and_never_that_of_a_shadow() -> None:
    split = with_arm(A1, "B", 0.1, version=2)
    assert split.named("2") is split.arm
    assert split.named("1") is split.named("3") is split.named(None) is split
    shadow = with_arm(A1, "B", 0.1, version=2, role=Role.SHADOW)
    assert shadow.named("2") is shadow


def test_a_node_s_file_comes_back_with_its_arms(tmp_path: Path) -> None:
    files = Assignments(tmp_path)
    split = with_arm(A1, "B", 0.25, sticky="header:X-User-Id", until_ms=17)
    held = Held(index=3, current=split, previous=assignment("C", 0), preparing=None)
    files.write("iris", held)
    assert files.read(3) == ("iris", held)
    assert [one.digest for one in held] == ["A", "B", "C"]


def test_a_file_without_arms_is_what_older_software_wrote_and_reads(tmp_path: Path) -> None:
    files = Assignments(tmp_path)
    files.write("iris", Held(index=0, current=A1))
    [path] = tmp_path.glob("*.json")
    raw = json.loads(path.read_bytes())
    assert raw["current"] == {
        "model": "iris",
        "version": 1,
        "digest": "A",
        "key": {"epoch": 1, "seq": 1},
        "since_ms": 1,
        "ticker": "",
    }
    assert files.read(0) == ("iris", Held(index=0, current=A1))
