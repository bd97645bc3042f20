"""Where a node has what, below its home: names alone, nothing is made or looked at."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - the name below it is made of the home


class Places:
    """The paths that follow from `home`."""

    home: Path

    @property
    def node_dir(self) -> Path:
        """What the node's processes share: page, assignments, sockets."""
        return self.home / "node"

    @property
    def page_path(self) -> Path:
        """The page that all processes of the node map."""
        return self.node_dir / "page"

    @property
    def assignments_path(self) -> Path:
        """What the node serves, for its workers."""
        return self.node_dir / "assignments"

    @property
    def metrics_dir(self) -> Path:
        """Where the node's processes keep their counts while they run: in memory, if possible.

        They are mapped files that grow: on a full disk the next count would end its process.
        """
        if not os.access(_MEMORY, os.W_OK):
            return self.node_dir / "metrics"
        return _MEMORY / f"baton-{hashlib.sha256(str(self.home).encode()).hexdigest()[:16]}"

    @property
    def watcher_socket(self) -> Path:
        """Where this node's watcher hears knocks."""
        return self.home / "node.sock"

    @property
    def registrar_socket(self) -> Path:
        """Where a registrar on this machine hears knocks."""
        return self.home / "registrar.sock"

    @property
    def registrar_heart(self) -> Path:
        """What a registrar on this machine writes while it is well."""
        return self.home / "registrar.heart"

    @property
    def store_dir(self) -> Path:
        """The node store: verified versions, by digest."""
        return self.home / "store"

    @property
    def artifacts_dir(self) -> Path:
        """Where an embedded registry keeps artifacts."""
        return self.home / "artifacts"

    @property
    def spool_dir(self) -> Path:
        """What was predicted and is not in the prediction log yet."""
        return self.home / "spool"

    @property
    def log_key_path(self) -> Path:
        """The key that columns of the prediction log are hashed with."""
        return self.home / "log.key"
