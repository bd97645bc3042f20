"""Promoting a version through its gates, over fakes and a real ledger on sqlite."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

import pytest

from registry.bundle import Golden
from registry.errors import (
    BundleInvalid,
    ForeignLedger,
    GatesRefused,
    LostRace,
    Refused,
)
from registry.gates import Status
from registry.ledger import Door, EntryKind, Key
from registry.model_version import Stage
from registry.policy import MetricRule, Policy
from registry.promotion import LEDGER_TAG, promote
from registry.withdrawal import rollback
from tests.fakes import World

PICKY = Policy(rules=(MetricRule(gate="bound", metric="accuracy", min=0.99),))


def statuses(report: object) -> dict[str, Status]:
    """Gate → status."""
    return {result.gate: result.status for result in report.results}  # type: ignore[attr-defined]


def test_a_first_promotion_becomes_the_head_and_is_drawn(world: World) -> None:
    entry = world.serve(world.train())
    assert (entry.key, entry.kind, entry.door) == (Key(1, 1), EntryKind.PROMOTE, Door.COMMAND)
    assert entry.actor == "ada"
    assert world.serving() == 1
    assert world.shown() == ([1], 1)


def test_a_promoted_version_carries_the_tags_people_look_for(world: World) -> None:
    version = world.trained_and_served()
    tags = world.tags(version)
    assert (tags["promoted_to"], tags["promoted_by"]) == ("Production", "ada")
    promoted_at = datetime.datetime.fromisoformat(tags["promoted_at"])
    assert promoted_at.timestamp() * 1000 >= version.created_ms // 1000 * 1000
    assert tags["baton.gates"] == "passed"
    assert "baton.rejected" not in tags
    assert world.client.model_tag("iris", LEDGER_TAG) == world.ledger.id


def test_the_report_is_on_the_run_as_json_and_markdown(world: World) -> None:
    version = world.trained_and_served()
    files = world.client.reports[f"baton/iris/v{version.version}"]
    assert json.loads(files["report.json"])["passed"] is True
    assert files["report.md"].startswith("# iris v1 → Production: passed")


def test_a_second_promotion_archives_every_other_production_version(world: World) -> None:
    first, second = world.trained_and_served(), world.train()
    world.click(second)
    third = world.train()
    world.serve(third)
    assert world.shown() == ([3], 3)
    assert world.client.version("iris", first.version).stage is Stage.ARCHIVED
    assert world.client.version("iris", second.version).stage is Stage.ARCHIVED


def test_a_first_promotion_skips_comparisons(world: World) -> None:
    rule = MetricRule(gate="not_worse", metric="accuracy", min_ratio=0.9)
    world.policies["iris"] = Policy(rules=(rule,))
    report = promote(world.ports, world.train(), actor="ada").report
    assert statuses(report)["not_worse:accuracy"] is Status.SKIPPED
    assert report.current is None


def test_a_refused_version_changes_nothing_but_its_own_tags(world: World) -> None:
    first, second = world.trained_and_served(), world.train()
    head, shown = world.ledger.head("iris"), world.shown()
    world.policies["iris"] = PICKY
    world.client.writes.clear()
    with pytest.raises(GatesRefused, match=r"iris v2: bound:accuracy: expected .* got 0\.95"):
        promote(world.ports, second, actor="ada")
    assert (world.ledger.head("iris"), world.shown()) == (head, shown)
    assert {write[0] for write in world.client.writes} == {"tag"}
    assert "accuracy" in world.tags(second)["baton.rejected"]
    assert world.tags(second)["baton.gates"] == "refused"
    assert world.tags(first)["baton.gates"] == "passed"
    assert "refused" in world.client.reports["baton/iris/v2"]["report.md"]


def test_a_version_that_passes_later_is_no_longer_tagged_rejected(world: World) -> None:
    version = world.train()
    world.policies["iris"] = PICKY
    with pytest.raises(GatesRefused):
        promote(world.ports, version, actor="ada")
    world.policies.clear()
    world.serve(version)
    assert "baton.rejected" not in world.tags(version)


def test_a_version_that_crashes_in_its_trial_is_refused(world: World) -> None:
    with pytest.raises(GatesRefused, match="servable.*signal 11"):
        promote(world.ports, world.train(content="broken"), actor="ada")
    assert world.serving() is None


@pytest.mark.parametrize("harm", ["gone", "garbled"])
def test_files_that_cannot_be_understood_are_refused_with_the_reason(
    world: World, harm: str
) -> None:
    version = world.train()
    if harm == "gone":
        shutil.rmtree(version.source)
    else:
        Path(version.source, "baton", "bundle.json").write_text("{")
    with pytest.raises(GatesRefused, match="complete"):
        promote(world.ports, version, actor="ada")
    assert world.trial.tried == []


def test_promoting_what_serves_judges_it_again_and_appends_nothing(world: World) -> None:
    version = world.trained_and_served()
    promoted = promote(world.ports, version, actor="bob")
    assert promoted.entry == world.ledger.head("iris")
    assert len(world.ledger.history("iris")) == 1
    assert len(world.trial.tried) == 2


def test_a_head_that_was_demoted_by_hand_is_shown_again_by_promoting_it(world: World) -> None:
    version = world.trained_and_served()
    world.click(version, Stage.ARCHIVED)
    world.registrar().step()
    assert world.shown() == ([], 1)
    assert world.serve(version).key == Key(1, 2)
    assert world.shown() == ([1], 1)


def test_a_head_that_moved_while_judging_wins(world: World) -> None:
    world.trained_and_served()
    second, third = world.train(), world.train()
    world.trial.meanwhile = lambda: world.serve(third)
    with pytest.raises(LostRace):
        promote(world.ports, second, actor="ada")
    assert world.serving() == 3
    assert world.shown() == ([3], 3)


def test_staging_goes_through_the_same_gates_and_moves_no_head(world: World) -> None:
    first, second = world.trained_and_served(), world.train()
    promoted = promote(world.ports, second, actor="ada", stage=Stage.STAGING)
    assert promoted.entry is None
    assert world.client.version("iris", 2).stage is Stage.STAGING
    assert world.tags(second)["promoted_to"] == "Staging"
    assert world.serving() == first.version
    world.policies["iris"] = PICKY
    third = world.train()
    with pytest.raises(GatesRefused):
        promote(world.ports, third, actor="ada", stage=Stage.STAGING)
    assert world.client.version("iris", 3).stage is Stage.NONE


def test_the_version_in_production_is_not_moved_to_staging(world: World) -> None:
    version = world.trained_and_served()
    with pytest.raises(Refused):
        promote(world.ports, version, actor="ada", stage=Stage.STAGING)
    assert world.shown() == ([1], 1)


def test_a_model_of_another_ledger_is_left_alone(world: World) -> None:
    version = world.train()
    world.client.tag_model("iris", LEDGER_TAG, "another")
    world.client.writes.clear()
    with pytest.raises(ForeignLedger, match=r"another.*BATON_LEDGER_URL"):
        promote(world.ports, version, actor="ada")
    with pytest.raises(ForeignLedger):
        rollback(world.ports, "iris", actor="ada", to=None)
    assert world.client.writes == []


def test_a_version_from_elsewhere_is_judged_by_its_runs_metrics_and_gets_golden_examples(
    world: World,
) -> None:
    rule = MetricRule(gate="bound", metric="accuracy", min=0.9)
    world.policies["iris"] = Policy(rules=(rule,))
    entry = world.serve(world.train(own=False))
    assert entry.route.manifest.kind == "tabular"
    assert isinstance(entry.route.manifest.golden, Golden)
    bundled = world.serve(world.train())
    assert bundled.route.manifest.golden is None


def test_the_digest_of_an_entry_is_that_of_the_bytes(world: World) -> None:
    version = world.train()
    entry = world.serve(version)
    entry.route.manifest.verify(Path(version.source))
    Path(version.source, "model.onnx").write_text("other weights")
    with pytest.raises(BundleInvalid, match=r"model\.onnx"):
        entry.route.manifest.verify(Path(version.source))


def test_a_deleted_models_number_that_came_again_is_another_version(world: World) -> None:
    world.trained_and_served()
    world.client.delete_model("iris")
    again = world.train()
    assert again.version == 1
    entry = world.serve(again)
    assert (entry.key.seq, entry.route.created_ms) == (2, again.created_ms)
