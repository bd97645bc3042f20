"""A servable: one verified version, loaded and warm. Knows no ledger, no HTTP, no other version."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from registry.bundle import Bundle, Golden, Manifest
from registry.errors import BundleInvalid, TrialFailed
from registry.params import Param
from registry.signature import Signature
from serving import engines, kinds
from serving.engines.batching import Batched
from serving.engines.timed import Timed
from serving.golden import worst_error


class Servable:
    """Answers requests with one version. Thread-safe; freed when nobody holds it any more."""

    def __init__(
        self,
        bundle: Bundle,
        kind: kinds.Kind,
        golden: Golden | None,
        engine: Timed,
        *,
        batched: Batched | None = None,
    ) -> None:
        """Use `load`."""
        self.engine = bundle.engine
        self.kind = bundle.kind
        self.schema = bundle.schema
        self.golden = golden
        self._kind, self._timed, self._batched = kind, engine, batched

    @classmethod
    def load(
        cls,
        root: Path,
        manifest: Manifest,
        *,
        allowed: Collection[str],
        limits: kinds.Limits,
        runner: engines.Runner | None = None,
    ) -> Self:
        """Verify `root` against its manifest, then load it.

        Raises BundleInvalid; runs nothing from the files, unless `runner` does. Bands are
        sampled with a seed from the digest, so that every worker and node draws the same ones.
        """
        manifest.verify(root)
        bundle = Bundle.open(root, kind=manifest.kind, golden=manifest.golden)
        seed = int(manifest.digest[:8], 16)
        engine = engines.load(bundle, allowed=allowed, seed=seed, runner=runner)
        batched = engine if isinstance(engine, Batched) else None
        timed = Timed(engine)
        return cls(bundle, kinds.of(bundle, timed, limits), bundle.golden, timed, batched=batched)

    @property
    def is_light(self) -> bool:
        """Whether a small request is little work for this process, and waits for no other.

        A picture of a few kilobytes may have millions of pixels.
        """
        return self.engine != "runner" and self.kind != "image"

    @property
    def is_batched(self) -> bool:
        """Whether requests of several threads share calls of its engine."""
        return self._batched is not None

    def take_led_rows(self) -> int:
        """Rows of the last joint call that this thread led; told once, else 0."""
        return self._batched.take_led_rows() if self._batched else 0

    @property
    def signature(self) -> Signature | None:
        """What it takes, if columns or tensors say it."""
        return self._kind.signature

    @property
    def params(self) -> Sequence[Param]:
        """What may be said beside that."""
        return self._kind.params

    @property
    def history(self) -> Sequence[str]:
        """The columns of rows that a request may bring to be forecast from; empty if it may not."""
        return self._kind.history if isinstance(self._kind, kinds.WindowForecast) else ()

    @property
    def engine_seconds(self) -> float:
        """How long the model itself took for all that this thread asked."""
        return self._timed.seconds

    def predict(self, body: Mapping[str, Any], seen: kinds.Seen | None = None) -> dict[str, Any]:
        """Answer one request; raises RequestError for the client's mistakes, NotFinite.

        `seen` is filled with what was asked, by column.
        """
        return self._kind.predict(body, seen)

    def table(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Answer rows that come as one array for each column of `signature`, as `predict` would.

        Raises BundleInvalid for a model that does not take columns of a table.
        """
        if not isinstance(self._kind, kinds.Tabular) or not self._kind.signature.columns:
            raise BundleInvalid(
                f"expected a model of tables, got one of kind {self.kind} that names no columns"
            )
        return self._kind.table(columns)

    def tensors(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """One of its answers as named arrays, or lists that can become arrays."""
        return self._kind.tensors(answer)

    def known(self, seen: kinds.Seen) -> Mapping[str, Any]:
        """What is known of a series that is forecast, for a request that asked `seen`; else {}."""
        if isinstance(self._kind, kinds.Forecast | kinds.WindowForecast):
            return self._kind.known(seen)
        return {}

    def example(self) -> Mapping[str, Any]:
        """A request that it is known to answer."""
        return self.golden.examples[0]["request"] if self.golden else self.synthetic()

    @cached_property
    def answer_to_example(self) -> Mapping[str, Any]:
        """What it answers to `example`, asked once."""
        return self.predict(self.example())

    def repeat(self, body: Mapping[str, Any]) -> None:
        """Ask the rows of `body` twice over; raises WrongShape if not all are answered."""
        self._kind.repeat(body)

    def prove_row_wise(self, golden: Golden) -> None:
        """Raise TrialFailed if requests would be joined, and a row's answer depends on others."""
        if self._batched is None:
            return
        with self._batched.recording() as asked:
            self.check(golden)
        if not self._batched.is_row_wise(asked, rtol=golden.rtol, atol=golden.atol):
            raise TrialFailed(
                "bundle.json: batching: expected that each row of the golden examples (two at "
                "least) is answered alike alone and among others, which is not so: leave it out"
            )

    def synthetic(self) -> Mapping[str, Any]:
        """A request that fits."""
        return self._kind.synthetic()

    def warm(self) -> float:
        """Answer the golden examples, twice; returns the largest error. Raises TrialFailed."""
        if self.golden is None:
            self.predict(self.example())
            return 0.0
        self.check(self.golden)
        return self.check(self.golden)

    def check(self, golden: Golden) -> float:
        """Hold it against examples; returns the largest |got − expected|, or raises TrialFailed."""
        worst = 0.0
        for number, example in enumerate(golden.examples):
            answer = self.predict(example["request"])
            error = worst_error(example["response"], answer, golden)
            if isinstance(error, str):
                asked = json.dumps(example["request"])[:200]
                raise TrialFailed(f"golden example {number} ({asked}): {error}")
            worst = max(worst, error)
        return worst
