"""One suite over the fake registry and MLflow's own on sqlite: the fake is held to the real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from registry.errors import BundleInvalid, UnknownName
from registry.ledger import Snapshot
from registry.model_version import ModelVersion, Stage
from tests.contract.registries import Backend, InMemory, OnSqlite


@pytest.fixture(params=["in memory", "mlflow on sqlite"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """An empty registry."""
    if request.param == "in memory":
        return InMemory()
    return OnSqlite(request.getfixturevalue("embedded"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The files of a version."""
    root = tmp_path / "source"
    root.joinpath("baton").mkdir(parents=True)
    root.joinpath("MLmodel").write_text("flavors: {}\n")
    root.joinpath("baton", "golden.json").write_text("{}")
    return root


def facts(version: ModelVersion) -> dict[str, Any]:
    """What does not depend on a clock or on ids."""
    return {
        "version": version.version,
        "stage": version.stage,
        "tags": dict(version.tags),
    }


def test_an_empty_registry_has_nothing(backend: Backend) -> None:
    assert backend.client.models() == {}
    assert list(backend.client.recent(10)) == []
    assert list(backend.client.versions("iris")) == []


def test_what_does_not_exist_is_named_with_what_does(backend: Backend, source: Path) -> None:
    backend.register("iris", source)
    with pytest.raises(UnknownName, match=r"unknown model 'irsi'; there is: iris"):
        backend.client.version("irsi")
    backend.register("iris", source)
    with pytest.raises(UnknownName, match=r"unknown version of iris '7'; there is: 2, 1"):
        backend.client.version("iris", 7)


def test_a_registered_version_has_no_stage_and_the_next_number(
    backend: Backend, source: Path
) -> None:
    first, second = backend.register("iris", source), backend.register("iris", source)
    assert [first.version, second.version] == [1, 2]
    assert facts(second) == {"version": 2, "stage": Stage.NONE, "tags": {}}
    assert second.created_ms >= first.created_ms > 0
    assert second.source == str(source)
    assert backend.client.version("iris") == second
    assert list(backend.client.versions("iris")) == [second, first]


def test_several_versions_may_be_in_production_at_once(backend: Backend, source: Path) -> None:
    versions = [backend.register("iris", source) for _ in range(3)]
    for version in versions[:2]:
        backend.client.set_stage(version, Stage.PRODUCTION, archive_others=False)
    shown = backend.client.snapshot("iris")
    assert shown == Snapshot({1: "Production", 2: "Production"}, None)
    assert shown.production == {1, 2}


def test_archiving_the_others_leaves_other_stages_and_models_alone(
    backend: Backend, source: Path
) -> None:
    versions = [backend.register("iris", source) for _ in range(4)]
    other = backend.register("petr4", source)
    backend.client.set_stage(other, Stage.PRODUCTION, archive_others=False)
    backend.client.set_stage(versions[0], Stage.PRODUCTION, archive_others=False)
    backend.client.set_stage(versions[1], Stage.PRODUCTION, archive_others=False)
    backend.client.set_stage(versions[2], Stage.STAGING, archive_others=True)
    backend.client.set_stage(versions[3], Stage.PRODUCTION, archive_others=True)
    assert backend.client.snapshot("iris").stages == {
        1: "Archived",
        2: "Archived",
        3: "Staging",
        4: "Production",
    }
    assert backend.client.snapshot("petr4").stages == {1: "Production"}


def test_a_stage_can_be_set_again_and_taken_away(backend: Backend, source: Path) -> None:
    version = backend.register("iris", source)
    for _ in range(2):
        backend.client.set_stage(version, Stage.PRODUCTION, archive_others=True)
    assert backend.client.version("iris").stage is Stage.PRODUCTION
    backend.client.set_stage(version, Stage.NONE, archive_others=False)
    assert backend.client.snapshot("iris").stages == {}


def test_the_alias_points_to_one_version_or_none(backend: Backend, source: Path) -> None:
    for _ in range(2):
        backend.register("iris", source)
    assert backend.client.models() == {"iris": None}
    for number in (1, 2, 2):
        backend.client.set_alias("iris", number)
        assert backend.client.models() == {"iris": number}
        assert backend.client.snapshot("iris").alias == number
    for _ in range(2):
        backend.client.set_alias("iris", None)
        assert backend.client.snapshot("iris").alias is None


def test_tags_are_added_and_replaced(backend: Backend, source: Path) -> None:
    version = backend.register("iris", source)
    long = "é" * 4000
    backend.client.tag(version, {"baton.rejected": long, "promoted_by": "ada"})
    backend.client.tag(version, {"baton.rejected": None, "never.set": None})
    assert backend.client.version("iris").tags == {"promoted_by": "ada"}
    backend.client.tag(version, {"baton.rejected": long})
    assert backend.client.version("iris").tags["baton.rejected"] == long


def test_a_model_has_tags_of_its_own(backend: Backend) -> None:
    backend.create_model("iris")
    assert backend.client.model_tag("iris", "baton.ledger") is None
    backend.client.tag_model("iris", "baton.ledger", "one")
    assert backend.client.model_tag("iris", "baton.ledger") == "one"


def test_a_stage_moves_a_versions_time_and_a_tag_does_not(backend: Backend, source: Path) -> None:
    version = backend.register("iris", source)
    backend.client.tag(version, {"a": "b"})
    backend.client.set_alias("iris", 1)
    assert backend.client.version("iris").updated_ms == version.updated_ms
    while (now := backend.client.version("iris").updated_ms) == version.updated_ms:
        backend.client.set_stage(version, Stage.STAGING, archive_others=False)
    assert now > version.updated_ms


def test_recent_shows_what_changed_last_first(backend: Backend, source: Path) -> None:
    first = backend.register("iris", source)
    backend.register("petr4", source)
    last = backend.register("iris", source)
    while backend.client.version("iris", 1).updated_ms <= last.updated_ms:
        backend.client.set_stage(first, Stage.STAGING, archive_others=False)
    newest = backend.client.recent(1)
    assert [(v.name, v.version, v.stage) for v in newest] == [("iris", 1, Stage.STAGING)]
    assert len(backend.client.recent(10)) == 3


def test_a_deleted_version_is_gone_with_its_alias_and_its_number_is_not_given_again(
    backend: Backend, source: Path
) -> None:
    for _ in range(2):
        gone = backend.register("iris", source)
    backend.client.set_alias("iris", 2)
    backend.delete_version("iris", 2)
    assert backend.client.models() == {"iris": None}
    assert [v.version for v in backend.client.versions("iris")] == [1]
    assert [v.version for v in backend.client.recent(10)] == [1]
    for change in (
        lambda: backend.client.set_stage(gone, Stage.PRODUCTION, archive_others=False),
        lambda: backend.client.set_alias("iris", 2),
        lambda: backend.client.tag(gone, {"a": "b"}),
    ):
        with pytest.raises(UnknownName):
            change()
    assert backend.register("iris", source).version == 3


def test_a_deleted_models_numbers_come_again(backend: Backend, source: Path) -> None:
    backend.create_model("iris")
    backend.client.tag_model("iris", "baton.ledger", "one")
    before = backend.register("iris", source)
    backend.delete_model("iris")
    assert backend.client.models() == {}
    for ask in (
        lambda: backend.client.snapshot("iris"),
        lambda: backend.client.version("iris"),
        lambda: backend.client.set_alias("iris", 1),
        lambda: backend.client.model_tag("iris", "a"),
        lambda: backend.client.tag_model("iris", "a", "b"),
    ):
        with pytest.raises(UnknownName, match="iris"):
            ask()
    after = backend.register("iris", source)
    assert after.version == before.version == 1
    assert backend.client.model_tag("iris", "baton.ledger") is None


def test_a_download_is_the_files_as_registered(
    backend: Backend, source: Path, tmp_path: Path
) -> None:
    version = backend.register("iris", source)
    into = tmp_path / "into"
    into.mkdir()
    backend.client.download(version, into)
    found = {str(p.relative_to(into)): p.read_bytes() for p in into.rglob("*") if p.is_file()}
    assert found == {"MLmodel": b"flavors: {}\n", "baton/golden.json": b"{}"}
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "var") == ["into", "source"]
    assert Path(backend.client.source(version)) == source
    backend.client.fetch(str(source), tmp_path / "again")
    assert {path.name for path in (tmp_path / "again").iterdir()} == {"MLmodel", "baton"}


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_link_among_the_files_is_refused_and_not_followed(
    backend: Backend, source: Path, tmp_path: Path, link: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    getattr(source / "weights", link)(tmp_path / "secret")
    version, into = backend.register("iris", source), tmp_path / "into"
    into.mkdir()
    with pytest.raises(BundleInvalid, match=r"weights: a (hard )?link"):
        backend.client.download(version, into)
    assert list(into.iterdir()) == []


def test_a_version_without_its_files_is_invalid(backend: Backend, tmp_path: Path) -> None:
    version = backend.register("iris", tmp_path / "nowhere")
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(BundleInvalid, match=r"iris v1.*nowhere"):
        backend.client.download(version, into)
    with pytest.raises(BundleInvalid, match=r"no artifact at .*nowhere"):
        backend.client.fetch(str(tmp_path / "nowhere"), into)


def test_metrics_are_those_of_the_versions_run(backend: Backend, source: Path) -> None:
    version = backend.register("iris", source, metrics={"accuracy": 0.95})
    assert backend.client.run_metrics(version) == {"accuracy": 0.95}
    assert backend.client.run_metrics(backend.register("iris", source)) == {}


def test_a_report_is_kept_with_the_run_and_replaced(backend: Backend, source: Path) -> None:
    version = backend.register("iris", source, metrics={})
    for text in ("refused", "passed"):
        files = {"report.json": f'"{text}"', "report.md": text}
        backend.client.log_report(version, files, "baton/iris/v1")
        assert backend.report(version, "baton/iris/v1") == files
    backend.client.log_report(backend.register("iris", source), {"report.md": "x"}, "baton/b")


@pytest.mark.parametrize("name", ["it's", "with space", "päivä", 'a"b', "100%_sure"])
def test_names_that_people_give_do_not_mix(backend: Backend, source: Path, name: str) -> None:
    backend.register("100 and sure", source)
    version = backend.register(name, source)
    assert backend.client.version(name) == version
    assert len(backend.client.versions(name)) == 1
