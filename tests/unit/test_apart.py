"""Workloads whose libraries are elsewhere: handed over, or refused with what to do."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from registry.errors import UsageError
from registry.settings import Settings
from training import apart
from training.job import Plan
from training.pipeline import run
from training.workloads import get

ABOUT = get("iris").about
NEEDY = dataclasses.replace(ABOUT, needs=("json", "no_such_library"))
ARGUMENTS = ["run", "iris", "--json"]


class Executed:
    """What would have been executed."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    def __call__(self, program: str, arguments) -> None:
        self.calls.append((program, [*arguments]))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An environment's Python."""
    path = tmp_path / "bin" / "python"
    path.parent.mkdir()
    path.touch()
    return path


def test_what_is_missing_is_named_with_what_to_do():
    with pytest.raises(UsageError, match=r"needs no_such_library, not .* make setup GROUP=tenso"):
        apart.require(NEEDY)
    apart.require(ABOUT)


def test_a_training_is_handed_to_the_environment_that_has_what_it_needs(python: Path):
    executed = Executed()
    apart.hand_over(NEEDY, ARGUMENTS, python=python, execute=executed)
    assert executed.calls == [(str(python), [str(python), "-m", "training", *ARGUMENTS])]


def test_nothing_is_handed_over_where_nothing_is_missing_or_nobody_is_there(python: Path):
    executed = Executed()
    apart.hand_over(ABOUT, ARGUMENTS, python=python, execute=executed)
    apart.hand_over(NEEDY, ARGUMENTS, python=python.with_name("none"), execute=executed)
    assert executed.calls == []


def test_an_environment_that_lacks_it_too_does_not_turn_to_itself(python: Path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(python.parents[1]))
    executed = Executed()
    apart.hand_over(NEEDY, ARGUMENTS, python=python, execute=executed)
    assert executed.calls == []


def test_a_run_is_refused_before_it_exists(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(apart, "missing", lambda about: ("keras",))
    settings = Settings(home=tmp_path / "var").resolved()
    with pytest.raises(UsageError, match="workload iris: needs keras"):
        run(Plan.of("iris", settings), settings)
    assert not (tmp_path / "var").exists()


def test_what_needs_ray_is_handed_to_its_environment_or_refused_with_what_to_do(python: Path):
    executed = Executed()
    apart.hand_over_engine("local", ARGUMENTS, python=python, execute=executed)
    assert executed.calls == []
    apart.hand_over_engine("ray", ARGUMENTS, python=python, execute=executed)
    assert executed.calls == [(str(python), [str(python), "-m", "training", *ARGUMENTS])]
    with pytest.raises(UsageError, match="make setup GROUP=ray"):
        apart.hand_over_engine("ray", ARGUMENTS, python=python.with_name("none"), execute=executed)
