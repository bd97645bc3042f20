"""The ledger's heads, as a watcher looks at them: one query, whatever the number of models."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from registry.beside import BESIDE
from registry.errors import SettingsError, Unreachable
from registry.ledger import BEGINNING, Door, EntryKind, Ledger, Position
from serving import metrics
from serving.node.aspired import Aspired

_BY_ITSELF = (Door.REGISTRAR, Door.WATCH)


@dataclass
class LedgerHeads:
    """Heads that moved since the last look; of all models, or only of `expected` ones."""

    ledger: Callable[[], Ledger]
    expected: Collection[str] = ()
    every_model: bool = True
    _position: Position = BEGINNING

    def news(self) -> Iterable[Aspired]:
        """See `Outlook.news`."""
        try:
            heads = self.ledger().heads(since=self._position)
        except (SettingsError, Unreachable):
            metrics.POLL_ERRORS.inc()
            raise
        metrics.LAST_POLL.set_to_current_time()
        for entry in heads:
            self._position = max(self._position, entry.position)
        ours = [entry for entry in heads if self.every_model or entry.model in self.expected]
        for entry in ours:
            metrics.LEDGER_SEQ.labels(entry.model).set(entry.key.seq if entry.route else 0)
            if entry.kind not in BESIDE:
                by_itself = entry.kind is EntryKind.ROLLBACK and entry.door in _BY_ITSELF
                metrics.ROLLED_BACK.labels(entry.model).set(by_itself)
        return [Aspired.of(entry) for entry in ours]
