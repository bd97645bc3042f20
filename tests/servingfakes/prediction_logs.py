"""Where a real node ships to in a test: how it is told, how it goes away, what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.predictions import Prediction
from tests.servingfakes.file_sink.file_sink import read
from tests.servingfakes.node import ROOT, Node


@dataclass(frozen=True)
class FileLog:
    """A stand-in for the database, in a file."""

    path: Path

    @property
    def environ(self) -> dict[str, str]:
        stand_in = ROOT / "tests" / "servingfakes" / "file_sink"
        return {"BATON_TEST_SINK": str(self.path), "PYTHONPATH": f"{stand_in}:{ROOT}"}

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nobody reaches it within the block."""
        mark = self.path.with_name(f"{self.path.name}.away")
        mark.touch()
        yield
        mark.unlink()

    def records(self) -> Sequence[Prediction]:
        return read(self.path)


def spool_bytes(node: Node) -> int:
    """What a node has still to ship, and what it shipped of segments that are open."""
    return sum(path.stat().st_size for path in (node.home / "spool").glob("*/*.seg"))


def lanes(node: Node) -> list[str]:
    """The lanes in a node's spool."""
    found = (node.home / "spool").glob("*/")
    return sorted(one.name for one in found if one.name != "corrupt" and one.name[0] != ".")


def logged(node: Node, name: str) -> float:
    """A metric of the log as the node shows it, summed over its labels; 0 if it is not there."""
    text = node.ask("GET", "/metrics").body.decode()
    lines = (line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")))
    return sum(float(line.rpartition(" ")[2]) for line in lines)
