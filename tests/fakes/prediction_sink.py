"""A prediction log in memory, that can be away, and that notices whatever comes twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from registry.errors import Unreachable
from registry.predictions import Position, Prediction


@dataclass
class FakeSink:
    """The port `PredictionSink`.

    `away` raises before anything is done, `answer_lost` after the next batch is in; `refuses` says
    which records it cannot hold, and then takes nothing of their batch.
    """

    away: bool = False
    answer_lost: bool = False
    refuses: Callable[[Prediction], bool] = lambda _: False
    records: list[Prediction] = field(default_factory=list)
    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [one.prediction_id for one in self.records]

    def position(self, spool: str, lane: str) -> Position:
        self._reached()
        return self.positions.get((spool, lane), Position(0, 0))

    def append(self, spool: str, lane: str, records: Sequence[Prediction], upto: Position) -> int:
        self._reached()
        before = self.positions.get((spool, lane), Position(0, 0))
        assert upto > before, f"{lane}: {upto} was here already"
        if refused := [one.prediction_id for one in records if self.refuses(one)]:
            raise ValueError(f"cannot hold {refused[0]}")
        here = set(self.ids)
        twice = [one.prediction_id for one in records if one.prediction_id in here]
        assert twice == [], f"shipped again: {twice}"
        self.records += records
        self.batches.append(len(records))
        self.positions[spool, lane] = upto
        if self.answer_lost:
            self.answer_lost = False
            raise Unreachable("the fake's answer was lost")
        return len(records)

    def _reached(self) -> None:
        if self.away:
            raise Unreachable("the fake is away")
