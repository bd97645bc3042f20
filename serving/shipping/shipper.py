"""One pass over a spool: each lane's next records to the sink, then what is shipped is removed.

The sink keeps the position of a lane in the transaction that adds its records, so whatever ends
this process (or the sink's answer) in between, each record is there once.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from registry.errors import BatonError
from registry.predictions import Position, Prediction, PredictionSink
from serving import metrics
from serving.spool import folder
from serving.spool.reader import Batch, read
from serving.spool.usage import Usage

_log = logging.getLogger("serving.shipping")
_MOST_RECORDS: Final = 5_000
_MOST_BYTES: Final = 8 * 1024 * 1024
Shipped = tuple[Prediction, Position]


@dataclass
class Shipper:
    """Ships one spool; `step` is called by one thread at a time.

    `sink` opens it, or raises Unreachable, and is asked until it has. `clock` is `time.time`.
    """

    spool: Path
    sink: Callable[[], PredictionSink]
    clock: Callable[[], float] = time.time
    most_records: int = _MOST_RECORDS
    used: int = 0  # bytes of the spool, at the last look
    has_more: bool = False  # whether that look left whole records behind
    _positions: dict[str, Position] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises OSError where the spool cannot be made."""
        self._usage = Usage(self.spool)
        self._identity = folder.identity(self.spool)
        metrics.LOG_SHIPPED_UNTIL.set(self.clock())  # if the sink is away: nobody knows of before

    def step(self) -> int:
        """Ship some of every lane; how many records that were. Raises Unreachable."""
        began, self.has_more = self.clock(), False
        try:
            folder.sweep(self.spool, began)
            lanes = folder.lanes(self.spool)
            for gone in self._until.keys() - {lane.name for lane in lanes}:
                self._forget(gone)
            with _uncollected():
                shipped = sum(self._ship(lane, began) for lane in lanes)
        finally:
            self.used = folder.used_bytes(self.spool)
            self._usage.tell(self.used)
            metrics.LOG_SPOOL_BYTES.set(self.used)
        metrics.LOG_SINK_UP.set(1)
        metrics.LOG_SHIPPED_UNTIL.set(min(self._until.values(), default=began))
        return shipped

    def _ship(self, lane: Path, began: float) -> int:
        is_held = folder.is_held(lane)  # first: what it wrote by then is all of it
        since = self._positions.get(lane.name)
        if since is None:
            since = self.sink().position(self._identity, lane.name)
        batch = read(
            lane, since, is_held=is_held, most_records=self.most_records, most_bytes=_MOST_BYTES
        )
        records = self._decoded(lane, batch)
        if records:
            self._positions.pop(lane.name, None)  # not known until the sink has answered
            self._append(lane, records)
        if batch.is_all:
            self._until[lane.name] = began
        else:
            self.has_more = True
            self._until[lane.name] = _last(records, self._until.get(lane.name, began))
        self._positions[lane.name] = batch.upto
        for number in batch.finished:
            folder.segment(lane, number).unlink(missing_ok=True)
        if batch.is_all and not is_held:
            with contextlib.suppress(OSError):  # somebody put a file there: it stays, and is empty
                lane.rmdir()
        return len(records)

    def _append(self, lane: Path, records: Sequence[Shipped]) -> None:
        try:
            self._to_sink(lane, records)
        except BatonError:
            raise
        except Exception:
            if len(records) == 1:
                raise
            _log.exception("%s: the prediction log refuses a batch; one by one", lane.name)
            self._append_each(lane, records)

    def _append_each(self, lane: Path, records: Sequence[Shipped]) -> None:
        """One that the sink refuses is kept aside; if it takes none, the fault is the sink's."""
        refused: list[Path] = []
        for record in records:
            try:
                self._to_sink(lane, [record])
            except BatonError:
                raise
            except Exception as error:
                identity, position = record[0].prediction_id, record[1]
                _log.error("%s: refused: %s", identity, error)
                told = {"refused": str(error), "prediction": _plain(record[0])}
                # At once: who comes after it moves the position on.
                refused.append(self._keep_aside(lane, position, orjson.dumps(told)))
                if len(refused) == len(records):
                    for path in refused:
                        path.unlink()
                    raise
        metrics.LOG_CORRUPT.inc(len(refused))

    def _to_sink(self, lane: Path, records: Sequence[Shipped]) -> None:
        predictions = [prediction for prediction, _ in records]
        self.sink().append(self._identity, lane.name, predictions, records[-1][1])
        metrics.LOG_SHIPPED.inc(len(predictions))

    def _decoded(self, lane: Path, batch: Batch) -> list[Shipped]:
        records, damaged = list[Shipped](), list(batch.damaged)
        for text, position in batch.records:
            try:
                records.append((_prediction(text), position))
            except (ValueError, TypeError, AttributeError):
                damaged.append((position, text))
        for position, data in damaged:
            _log.error("%s %s: %d bytes are no record", lane.name, position, len(data))
            self._keep_aside(lane, position, data)
        metrics.LOG_CORRUPT.inc(len(damaged))
        return records

    def _keep_aside(self, lane: Path, position: Position, data: bytes) -> Path:
        """Raises OSError: what is nowhere else is not passed over."""
        name = f"{lane.name}-{position.segment}-{position.offset}"
        return folder.keep_aside(self.spool, name, data)

    def _forget(self, lane: str) -> None:
        self._positions.pop(lane, None)
        self._until.pop(lane, None)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Thousands of records are no garbage: looking through them takes longer than reading them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _last(records: Sequence[Shipped], otherwise: float) -> float:
    return records[-1][0].time if records else otherwise


def _prediction(text: bytes) -> Prediction:
    record = orjson.loads(text)
    try:
        return Prediction(**record)
    except TypeError:  # a newer version's names
        return Prediction.of(record)


def _plain(prediction: Prediction) -> dict[str, object]:
    return {name: getattr(prediction, name) for name in prediction.__slots__}
