"""One of two processes that promote at the same moment: `python -m tests.contract.racer`.

Reads orders as JSON lines, one a round: the version to promote. Its judging stops until it is told
to go on, so that both judge against the same head. Who loses promotes once more, while the winner
shows its entry in MLflow; both then see to it that their entry is shown.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from registry.client import MlflowRegistry
from registry.errors import LostRace
from registry.ledger import Draft, Entry
from registry.packager import SubprocessPackager
from registry.policy import GatesFile
from registry.projection import settle
from registry.promotion import Ports, Promoted, promote
from registry.sql_ledger import SqlLedger
from tests.fakes import FakeTrial

SETTLE_SECONDS = 60


class Careless(SqlLedger):
    """A fault planted on purpose: it appends after whatever is the head by now."""

    def append(self, draft: Draft, *, expected: Entry | None, at_ms: int) -> Entry:
        del expected
        while True:
            with suppress(LostRace):
                return super().append(draft, expected=self.head(draft.model), at_ms=at_ms)


def main(ledger_url: str, mlflow_uri: str, model: str, fault: str = "") -> None:
    trial = FakeTrial()
    ports = Ports(
        client=MlflowRegistry(tracking_uri=mlflow_uri, registry_uri=mlflow_uri),
        ledger=Careless(ledger_url) if fault else SqlLedger(ledger_url),
        trial=trial,
        packager=SubprocessPackager(seconds=1),
        gates=GatesFile("g" * 64, {}),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    _say({"ready": True})
    for line in sys.stdin:
        number = int(json.loads(line))
        trial.meanwhile = _wait
        _say(_round(ports, lambda number=number: _promote(ports, model, number)))


def _promote(ports: Ports, model: str, number: int) -> Promoted:
    return promote(ports, ports.client.version(model, number), actor="racer")


def _round(ports: Ports, attempt: Callable[[], Promoted]) -> dict[str, Any]:
    lost = ""
    try:
        entry = attempt().entry
    except LostRace as error:
        lost = str(error)
        entry = attempt().entry
    assert entry is not None
    shown = settle(ports, entry, seconds=SETTLE_SECONDS)
    return {"lost": lost, "seq": entry.key.seq, "shown": shown}


def _wait() -> None:
    """In the middle of judging."""
    _say({"judging": True})
    assert sys.stdin.readline()


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
