"""What came true, in memory: held to the port by the suite of the real ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from registry.outcomes import About, Asked, Heard, OfDate, OfPrediction, Outcome, Said, heard
from registry.predictions import Prediction


@dataclass
class MemoryOutcomes:
    """Every revision of everything that was told."""

    kept: dict[About, list[Outcome]] = field(default_factory=dict)
    log: list[Prediction] = field(default_factory=list)

    def asked(self, ids: Collection[str]) -> Mapping[str, Asked]:
        found = [one for one in self.log if one.prediction_id in ids]
        return {one.prediction_id: Asked(one.rows, one.status, one.time) for one in found}

    def tell(self, said: Sequence[Said]) -> Sequence[Heard]:
        became = []
        for one in said:
            history = self.kept.setdefault(one.outcome.about, [])
            became.append(heard(history[-1] if history else None, one))
            if became[-1] in (Heard.NEW, Heard.CORRECTED):
                history.append(one.outcome)
        return became

    def of_predictions(self, ids: Collection[str]) -> Mapping[OfPrediction, Outcome]:
        return {
            about: history[-1]
            for about, history in self.kept.items()
            if isinstance(about, OfPrediction) and about.prediction_id in ids
        }

    def of_dates(self, series: str, dates: Collection[str]) -> Mapping[str, Outcome]:
        found = {date: self.kept.get(OfDate(series, date)) for date in dates}
        return {date: history[-1] for date, history in found.items() if history}

    def history(self, about: About) -> Sequence[Outcome]:
        return [*self.kept.get(about, [])]

    def told(self, since: float, until: float) -> Iterator[OfPrediction]:
        found = [
            (one.told, about.prediction_id, about.row)
            for about, history in self.kept.items()
            for one in history
            if isinstance(about, OfPrediction) and since <= one.told < until
        ]
        return (OfPrediction(identity, row) for _, identity, row in sorted(found))

    def close(self) -> None:
        """Nothing is open."""
