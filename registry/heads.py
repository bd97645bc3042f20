"""The ledger's heads as the registrar knows them: each look reads only what moved since the last.

A head is read whole, with its manifest; a thousand of them at every poll would be most of what a
registrar computes. That one was drawn in MLflow since is no move: `drawn` says it.
"""

from __future__ import annotations

from collections.abc import Sequence

from registry.ledger import BEGINNING, Entry, Ledger


class Heads:
    """See the module; raises Unreachable as the ledger does."""

    def __init__(self, ledger: Ledger) -> None:
        """Nothing is read before `look`."""
        self._ledger = ledger
        self._of: dict[str, Entry] = {}
        self._position = BEGINNING

    def look(self) -> Sequence[Entry]:
        """All heads."""
        for entry in self._ledger.heads(since=self._position):
            self._of[entry.model] = entry
            self._position = max(self._position, entry.position)
        return list(self._of.values())

    def pending(self) -> Sequence[Entry]:
        """Those that MLflow did not show when they were last looked at."""
        return [entry for entry in self.look() if entry.snapshot is None]

    def drawn(self, entry: Entry) -> None:
        """MLflow shows it, in the words of the ledger's own row."""
        self._of[entry.model] = entry

    def forget(self) -> None:
        """Read everything again: another database may have been put in this one's place."""
        self._of, self._position = {}, BEGINNING
