"""A trial that runs nothing: what a version does is written in its model file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from registry.bundle import RUNNER, Bundle, Golden, Manifest
from registry.trial import TrialReport


class FakeTrial:
    """The `Trial` port; `meanwhile` is called once in the middle of the next trial."""

    def __init__(self) -> None:
        """Nothing was tried yet."""
        self.tried: list[str] = []
        self.meanwhile: Callable[[], object] | None = None

    def run(
        self,
        root: Path,
        *,
        manifest: Manifest | None = None,
        requests: Sequence[Mapping[str, Any]] = (),
    ) -> TrialReport:
        """See `Trial.run`."""
        bundle = Bundle.open(root, kind=manifest.kind if manifest else None)
        if bundle.engine == RUNNER:
            return TrialReport(ok=False, reason=f"it needs engine {RUNNER!r}")
        content = bundle.model_file.read_text()
        self.tried.append(content)
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            happens()
        if "broken" in content:
            return TrialReport(ok=False, reason="crashed (signal 11): no last words")
        own = bundle.golden is not None
        made = Golden(({"request": {"x": 0.0}, "response": {"y": 1.0}},))
        return TrialReport(
            ok=True,
            engine=bundle.engine,
            kind=bundle.kind,
            golden=bundle.golden or made,
            golden_source="bundle" if own else "synthetic row",
            load_ms=3.0,
            signature=bundle.signature,
        )
