"""Versions that are code, on their way into Production: converted first, by either door."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.errors import (
    BundleInvalid,
    GatesRefused,
    LostRace,
    NotPackaged,
    Underway,
    Unreachable,
)
from registry.gates import Status
from registry.ledger import Door
from registry.model_version import ModelVersion
from registry.packager import PACKAGE_TAG, BackgroundPackager, Package, SubprocessPackager
from registry.policy import Adoption, MetricRule, Packaging, Policy
from registry.promotion import promote
from registry.report import PromotionReport
from registry.withdrawal import rollback
from tests.fakes import World

AUTO = Policy(package=Packaging.AUTO)
PATIENCE_SECONDS = 30


def statuses(report: PromotionReport) -> dict[str, Status]:
    return {result.gate: result.status for result in report.results}


def refusal(world: World, version: ModelVersion) -> PromotionReport:
    with pytest.raises(GatesRefused) as refused:
        promote(world.ports, version, actor="ada")
    report: PromotionReport = refused.value.report
    return report


def test_without_the_policy_code_is_refused_as_ever_and_nobody_converts_it(world: World) -> None:
    report = refusal(world, world.bring_code())
    assert "packaged" not in statuses(report)
    assert statuses(report)["servable"] is Status.FAILED
    assert "it needs engine 'runner'" in report.reason
    assert world.made.asked == []


def test_with_it_the_same_version_serves_from_what_it_was_converted_to(world: World) -> None:
    world.policies["iris"] = AUTO
    version = world.bring_code()
    own = Path(version.source, "model.pkl").read_text()
    entry = world.serve(version)
    assert entry.route
    assert (entry.route.version, entry.route.created_ms) == (version.version, version.created_ms)
    assert entry.route.source == str(world.root / "package-1")
    entry.route.manifest.verify(world.root / "package-1")
    assert "model.onnx" in entry.route.manifest.files
    assert world.shown() == ([1], 1), "the version that was asked for is shown, no other"
    assert [v.version for v in world.client.versions("iris")] == [1]
    assert Path(version.source, "model.pkl").read_text() == own
    assert world.tags(version)["baton.digest"] == entry.digest


def test_the_report_says_that_it_was_converted_and_its_runs_metrics_are_judged(
    world: World,
) -> None:
    rule = MetricRule(gate="bound", metric="accuracy", min=0.9)
    world.policies["iris"] = dataclasses.replace(AUTO, rules=(rule,))
    report = promote(world.ports, world.bring_code(), actor="ada").report
    assert statuses(report) | {"signature": Status.SKIPPED} == {
        "complete": Status.PASSED,
        "packaged": Status.PASSED,
        "servable": Status.PASSED,
        "golden": Status.PASSED,
        "signature": Status.SKIPPED,
        "bound:accuracy": Status.PASSED,
    }


def test_what_was_converted_once_is_not_converted_again(world: World) -> None:
    world.policies["iris"] = AUTO
    version = world.bring_code()
    first = world.serve(version)
    again = promote(world.ports, world.client.version("iris", 1), actor="ada").entry
    assert again == world.ledger.head("iris")
    assert again
    assert again.key == first.key
    assert world.made.asked == ["iris v1"]


def test_what_cannot_be_converted_is_refused_with_the_reason_and_production_stays(
    world: World,
) -> None:
    first = world.trained_and_served()
    world.policies["iris"] = AUTO
    world.made.reason = "sklearn.linear_model.TheilSenRegressor: no ONNX for it"
    version = world.bring_code()
    report = refusal(world, version)
    assert statuses(report)["packaged"] is Status.FAILED
    assert "TheilSenRegressor: no ONNX" in world.tags(version)["baton.rejected"]
    assert world.shown() == ([first.version], first.version)


@pytest.mark.parametrize("flavour", ["keras", "tensorflow"])
def test_keras_is_converted_too_whatever_mlflow_calls_it(world: World, flavour: str) -> None:
    world.policies["iris"] = AUTO
    world.serve(world.bring_code(flavour=flavour))
    assert world.made.asked == ["iris v1"]


def test_only_flavours_that_can_be_converted_are(world: World) -> None:
    world.policies["iris"] = AUTO
    report = refusal(world, world.bring_code(flavour="pytorch"))
    assert "packaged" not in statuses(report)
    world.serve(world.train())
    world.serve(world.train(own=False))
    assert world.made.asked == []


def test_what_a_person_converted_serves_without_the_policy(world: World) -> None:
    version = world.bring_code()
    world.made.package(version)
    entry = world.serve(world.client.version("iris", 1))
    assert entry.route
    assert entry.route.source == str(world.root / "package-1")


def harm_tag(world: World, version: ModelVersion) -> None:
    tag = json.loads(world.tags(version)[PACKAGE_TAG])
    world.client.tag(version, {PACKAGE_TAG: json.dumps({**tag, "from": "0" * 64})})


def harm_bytes(world: World, version: ModelVersion) -> None:
    (world.root / "package-1" / "model.onnx").write_text("other weights")


def harm_origin(world: World, version: ModelVersion) -> None:
    """Another version's package, under this one's tag."""
    other = world.bring_code()
    package = world.made.package(other)
    tag = json.loads(world.tags(version)[PACKAGE_TAG])
    lie = {**package.to_json(), "from": tag["from"]}
    world.client.tag(version, {PACKAGE_TAG: json.dumps(lie)})


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (harm_tag, "is of other bytes"),
        (harm_bytes, "expected digest"),
        (harm_origin, "expected digest .* made from"),
    ],
)
def test_a_package_that_is_not_of_these_bytes_is_refused_or_made_again(
    world: World, harm, reason: str
) -> None:
    version = world.bring_code()
    world.made.package(version)
    harm(world, version)
    asked = len(world.made.asked)
    report = refusal(world, world.client.version("iris", 1))
    assert re.search(reason, report.reason)
    world.policies["iris"] = AUTO
    world.serve(world.client.version("iris", 1))
    assert len(world.made.asked) == asked + 1


def test_a_rollback_checks_and_serves_the_converted_bytes(world: World) -> None:
    world.policies["iris"] = AUTO
    first = world.serve(world.bring_code())
    world.trained_and_served()
    back = rollback(world.ports, "iris", actor="ada", to=None)
    assert back.route == first.route
    (world.root / "package-1" / "model.onnx").write_text("other weights")
    world.trained_and_served()
    with pytest.raises(BundleInvalid, match=r"model\.onnx"):
        rollback(world.ports, "iris", actor="ada", to=1)


def test_nothing_is_held_while_it_is_converted(world: World) -> None:
    world.policies["iris"] = AUTO
    other = world.train()
    world.made.meanwhile = lambda: world.serve(other)
    with pytest.raises(LostRace):
        promote(world.ports, world.bring_code(), actor="ada")
    assert world.serving() == other.version


def test_trust_does_not_put_in_what_was_not_converted(world: World) -> None:
    world.policies["iris"] = dataclasses.replace(AUTO, adoption=Adoption.TRUST)
    world.made.reason = "no ONNX for it"
    version, registrar = world.bring_code(), world.registrar()
    world.click(version)
    registrar.step()
    assert world.serving() is None
    assert "no ONNX for it" in world.tags(version)["baton.rejected"]


def test_a_click_on_somebodys_model_adopts_what_it_was_converted_to(world: World) -> None:
    world.trained_and_served()
    world.policies["iris"] = AUTO
    version, registrar = world.bring_code(flavour="keras"), world.registrar()
    world.click(version)
    registrar.step()
    head = world.ledger.head("iris")
    assert head
    assert head.route
    assert (head.route.version, head.door) == (version.version, Door.MLFLOW)
    assert world.shown() == ([version.version], version.version)


class Beside:
    """A world whose packager works on a thread of its own, until it is let go."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.go, self.rung = threading.Event(), threading.Event()
        world.policies["iris"] = AUTO
        world.made.meanwhile = lambda: self.go.wait(PATIENCE_SECONDS)
        world.packager = BackgroundPackager(world.made, self.rung.set)

    def finish(self) -> None:
        """Let the conversion end, and wait until it says so."""
        self.go.set()
        assert self.rung.wait(PATIENCE_SECONDS)
        self.rung.clear()


@pytest.fixture
def beside(world: World) -> Iterator[Beside]:
    made = Beside(world)
    yield made
    made.go.set()


def test_a_registrar_goes_on_with_other_models_while_one_is_converted(beside: Beside) -> None:
    world = beside.world
    version, registrar = world.bring_code(), world.registrar()
    world.click(version)
    for _ in range(3):
        registrar.step()
    assert world.serving() is None
    assert world.shown() == ([1], None), "the click stays as it is until it is judged"
    world.click(world.train("petr4"))
    registrar.step()
    assert world.serving("petr4") == 1
    beside.finish()
    registrar.step()
    assert world.serving() == 1
    assert world.shown() == ([1], 1)
    assert world.made.asked == ["iris v1"]


def test_a_conversion_that_fails_beside_is_a_refused_click(beside: Beside) -> None:
    world = beside.world
    world.made.reason = "no ONNX for it"
    version, registrar = world.bring_code(), world.registrar()
    world.click(version)
    registrar.step()
    beside.finish()
    registrar.step()
    assert world.shown() == ([], None)
    assert "no ONNX for it" in world.tags(version)["baton.rejected"]


def test_a_new_wish_is_not_answered_by_the_failure_of_an_old_one(beside: Beside) -> None:
    world = beside.world
    world.made.reason = "no ONNX for it"
    version, packager = world.bring_code(), world.packager
    with pytest.raises(Underway):
        packager.package(version)
    beside.finish()
    world.made.reason = ""
    later = dataclasses.replace(version, updated_ms=version.updated_ms + 1)
    with pytest.raises(Underway):
        packager.package(later)
    beside.finish()
    assert packager.package(later).address == str(world.root / "package-2")


def test_a_bug_beside_is_a_reason_like_any_other(beside: Beside) -> None:
    world = beside.world
    version = world.bring_code()

    def fail() -> None:
        raise RuntimeError("never thought of")

    world.made.meanwhile = fail
    with pytest.raises(Underway):
        world.packager.package(version)
    assert beside.rung.wait(PATIENCE_SECONDS)
    with pytest.raises(NotPackaged, match="RuntimeError: never thought of"):
        world.packager.package(version)


STAND_IN = "tests.servingfakes.stand_in_training"


@pytest.mark.parametrize(
    ("model", "error", "reason"),
    [
        ("refuses", NotPackaged, "no ONNX for it"),
        ("unreachable", Unreachable, "nobody answers"),
        ("crashes", NotPackaged, "ended with 1: .*out of ideas.*make setup GROUP=training"),
        ("says_nothing", NotPackaged, "ended with 0: no last words"),
        ("hangs", NotPackaged, "not converted within 1 s"),
    ],
)
def test_how_the_command_ends_is_how_the_conversion_ends(
    world: World, model: str, error: type[Exception], reason: str
) -> None:
    version = world.bring_code(model)
    seconds = 1 if model == "hangs" else PATIENCE_SECONDS
    with pytest.raises(error, match=reason):
        SubprocessPackager(seconds=seconds, module=STAND_IN).package(version)


def test_the_command_says_where_the_package_is(world: World) -> None:
    version = world.bring_code("converts")
    made = SubprocessPackager(seconds=PATIENCE_SECONDS, module=STAND_IN).package(version)
    assert made == Package("file:///there", "d" * 64, "f" * 64)


def test_where_training_is_not_installed_the_refusal_says_so(world: World) -> None:
    version = world.bring_code()
    with pytest.raises(NotPackaged, match=r"No module named.*make setup GROUP=training"):
        SubprocessPackager(seconds=PATIENCE_SECONDS, module="no_such_training").package(version)
