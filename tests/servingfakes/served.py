"""A node's files as a watcher would have left them: what each model serves, without a watcher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from serving.assignments import Assignments, Held
from serving.page import Page
from tests.servingfakes.versions import assignment, store


def serve(home: Path, folders: Mapping[str, Path]) -> dict[str, str]:
    """Have a node below `home` serve these versions as seq 1; returns their digests."""
    digests = {name: store(home / "store", path) for name, path in folders.items()}
    assignments = Assignments(home / "node" / "assignments")
    with Page(home / "node" / "page") as page:
        for index, (name, digest) in enumerate(digests.items()):
            current = assignment(digest, 1, model=name)
            assignments.write(name, Held(index=index, current=current))
            page.flip(index, current.key)
            page.announce(index)
    return digests
