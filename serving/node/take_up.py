"""Going on with what a node served last. Called by the supervisor, then by the watcher.

Kept apart from both, since it needs little: workers may be there before the watcher is.
"""

from __future__ import annotations

from pathlib import Path

from registry.selector import Selector
from registry.settings import Settings
from serving.assignments import Assignments
from serving.node.directory import Directory
from serving.node.flip import Flipper
from serving.page import Page


def take_up(settings: Settings, page: Page) -> Flipper:
    """Go on with what the node served last, without the models it is no longer meant to serve."""
    flipper = Flipper(
        page, Assignments(settings.assignments_path), ready_seconds=settings.ready_seconds
    )
    for name, held in flipper.models.items():
        if not _is_meant(settings, name, in_ledger=held.key is None or held.key.epoch > 0):
            flipper.forget(name)
    return flipper


def _is_meant(settings: Settings, model: str, *, in_ledger: bool) -> bool:
    """Whether the settings still ask for a model; a fallback stays until an entry replaces it."""
    if settings.bundle:
        return model == Directory(Path(settings.bundle)).model
    selectors = {one.model: one for one in map(Selector.parse, settings.models)}
    if selectors:
        return model in selectors
    return in_ledger or bool(settings.fallback_dir)
