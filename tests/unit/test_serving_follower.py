"""Models that do not follow the ledger: what a selector means, and what the node does with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.errors import SettingsError, Unreachable
from registry.ledger import Key
from registry.model_version import Stage
from registry.selector import Selector
from serving.assignments import Assignment, Held
from serving.node.aspired import Aspired
from serving.node.follower import Follower
from tests.fakes.world import World


@pytest.mark.parametrize("text", ["iris@Staging", "iris@7", "iris@alias:champion", "iris", "a b@7"])
def test_a_selector_is_written_as_it_was_read(text: str) -> None:
    selector = Selector.parse(text)
    assert str(selector) == text
    assert selector.is_pinned == ("@" in text)


@pytest.mark.parametrize(
    "text", ["iris@", "@7", "iris@staging", "iris@None", "iris@alias:", "a@7b"]
)
def test_what_is_no_selector_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(SettingsError, match="BATON_MODELS: .*expected name, name@7"):
        Selector.parse(text)


class Node:
    """A follower over a registry in memory; what it brings is what the node holds."""

    def __init__(self, root: Path, *selectors: str) -> None:
        self.world = World(root)
        self.holding: dict[str, Held] = {}
        self.follower = Follower(
            client=lambda: self.world.client,
            selectors=[Selector.parse(text) for text in selectors],
            scratch=root / "followed",
            held=lambda model: self.holding.get(model, Held(index=0)),
            poll_seconds=1.0,
        )

    def news(self) -> list[Aspired]:
        """Look once, and have the node serve what came."""
        self.follower.look()
        news = list(self.follower.news())
        for one in news:
            self.holding[one.model] = Held(index=0, current=one.assignment)
        return news


def brought(one: Aspired) -> tuple[int, Key, list[str]]:
    assert one.route
    return one.route.version, one.key, sorted(p.name for p in Path(one.route.source).iterdir())


def test_a_stage_is_followed_in_an_order_of_the_nodes_own(tmp_path: Path) -> None:
    node = Node(tmp_path, "iris@Staging")
    one, two = node.world.train(), node.world.train()
    assert node.news() == []
    node.world.click(one, Stage.STAGING)
    [first] = node.news()
    assert brought(first) == (1, Key(0, 1), ["MLmodel", "baton", "model.onnx"])
    assert node.news() == []
    node.world.click(two, Stage.STAGING)
    [second] = node.news()
    assert (brought(second)[:2], second.digest != first.digest) == ((2, Key(0, 2)), True)
    node.world.click(two, Stage.NONE)
    assert brought(node.news()[0])[:2] == (1, Key(0, 3))
    node.world.click(one, Stage.NONE)
    assert node.news() == [], "what serves goes on serving"


def test_a_number_pins_and_an_alias_is_followed(tmp_path: Path) -> None:
    node = Node(tmp_path, "iris@2", "wine@alias:champion")
    for _ in range(3):
        node.world.train("iris")
        node.world.train("wine")
    node.world.client._models["wine"].aliases["champion"] = 3
    assert [brought(one)[:2] for one in node.news()] == [(2, Key(0, 1)), (3, Key(0, 1))]
    node.world.client._models["wine"].aliases["champion"] = 1
    assert [(one.model, *brought(one)[:2]) for one in node.news()] == [("wine", 1, Key(0, 2))]


def test_what_the_node_serves_already_is_no_news_to_it(tmp_path: Path) -> None:
    """A node that starts again looks at the version once, and holds it to be the same."""
    node = Node(tmp_path, "iris@1")
    node.world.train()
    [first] = node.news()
    node.follower._brought.clear()
    [again] = node.news()
    assert again.assignment == first.assignment


def test_a_version_that_was_deleted_and_made_again_is_another_one(tmp_path: Path) -> None:
    node = Node(tmp_path, "iris@1")
    node.world.train()
    [first] = node.news()
    node.world.client.delete_model("iris")
    assert node.news() == []
    node.world.train()
    [second] = node.news()
    assert (second.digest != first.digest, second.key) == (True, Key(0, 2))


def test_a_node_that_served_the_ledgers_version_begins_an_order_of_its_own(tmp_path: Path) -> None:
    node = Node(tmp_path, "iris@1")
    current = Assignment(model="iris", version=9, digest="d", key=Key(1, 40), since_ms=1)
    node.holding["iris"] = Held(index=0, current=current)
    node.world.train()
    assert node.news()[0].key == Key(0, 1)


def test_files_that_are_not_those_that_were_judged_are_not_served(tmp_path: Path) -> None:
    node = Node(tmp_path, "iris@1")
    version = node.world.train()
    node.world.client.tag(version, {"baton.digest": "0" * 64})
    assert node.news() == []


def test_a_registry_that_is_away_is_asked_again(tmp_path: Path) -> None:
    node = Node(tmp_path, "iris@1")
    node.world.train()
    node.world.client.fail_next("version", Unreachable("away"))
    assert node.news() == []
    assert len(node.news()) == 1


def test_the_scratch_copy_goes_once_the_node_serves_the_version(tmp_path: Path) -> None:
    node = Node(tmp_path, "iris@1")
    node.world.train()
    node.news()
    assert any((tmp_path / "followed").rglob("model.onnx"))
    node.news()
    assert not any((tmp_path / "followed").rglob("model.onnx"))
