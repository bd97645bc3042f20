"""One worker over a model with a version beside it, and what it writes down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from registry.errors import NotLogged
from registry.predictions import Prediction
from serving.access import Access, Rates
from serving.answer import Answer, Answerer
from serving.assignments import Arm, Assignment, Assignments
from serving.keys import KeyFile
from serving.logbook import Logbook
from serving.node.flip import Flipper
from serving.page import Page
from serving.protocols.baton import Baton
from serving.servable import Servable
from tests.servingfakes.versions import assignment, with_arm
from tests.servingfakes.workers import FakeLoader, FakeServable, FakeWorker


class FakeSpool:
    """Keeps what is appended; `share` is how full it is."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.share = 0.0

    def append(self, record: bytes, *, within: float = 1.0) -> None:
        if self.share >= within:
            raise NotLogged("no room")
        self.texts.append(record)

    @property
    def records(self) -> list[Prediction]:
        return [Prediction(**orjson.loads(text)) for text in self.texts]


class ByDigest(FakeLoader):
    """Versions that answer as `says` has it, by digest; others with their digest."""

    def __init__(self, **says: Callable[[Any], Any]) -> None:
        super().__init__()
        self.says = says

    def __call__(self, one: Assignment) -> Servable:
        servable: Any = super().__call__(one)
        if one.digest in self.says:
            servable = FakeServable(one.digest, self.says[one.digest])
        return servable  # type: ignore[no-any-return]


class ArmsBench:
    """`iris` v1 (digest `A`) with v2 (`B`) beside it, as told by `flip`."""

    def __init__(self, home: Path, loader: FakeLoader | None = None) -> None:
        self.spool, self.page, self._home = FakeSpool(), Page(home / "page"), home
        self.flipper = Flipper(
            self.page,
            Assignments(home / "assignments"),
            ready_seconds=60,
            sleep=lambda _: self.worker.step(),
        )
        self.worker = FakeWorker(home, loader or ByDigest())
        self.answerer = Answerer(
            self.worker.manager,
            Access(KeyFile(home / "keys.json"), Rates(home / "rates")),
            default_model="",
            max_body_bytes=10_000,
            logbook=Logbook(self.spool),
        )

    def flip(self, seq: int, share: float = 0.0, **more: Any) -> Arm | None:
        """Entry `seq`; with a share, v2 is beside v1."""
        one = assignment("A", seq, version=1)
        if share:
            one = with_arm(one, "B", share, version=2, **more)
        self.flipper.flip(one)
        self.worker.step()
        return one.arm

    def ask(self, body: Any = None, *, version: str | None = None, **headers: str) -> Answer:
        said = {"Content-Type": "application/json"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        text = json.dumps(body or {"instances": [1]}).encode()
        return self.answerer.answer(Baton(), "iris", text, said.get, version=version)

    def close(self) -> None:
        self.worker.close()
        self.page.close()
