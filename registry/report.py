"""The promotion report: what was judged, by which rules, and how it ended, pass or fail."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass
from typing import Any

from registry.gates import GateResult, Status

_MARKS = {
    Status.PASSED: "✓ passed",
    Status.FAILED: "✗ failed",
    Status.SKIPPED: "– skipped",
    Status.NOTED: "! noted (report only)",
}


@dataclass(frozen=True, kw_only=True)
class PromotionReport:
    """One judgement of one version.

    `current` is the Production version it was compared with; `gates_digest` the SHA-256 of the
    gates file; `forced` says why a refusal did not count (policy `trust`), else empty.
    """

    model: str
    version: int
    digest: str
    current: int | None
    results: tuple[GateResult, ...]
    gates_digest: str
    actor: str
    door: str
    stage: str
    at_ms: int
    forced: str = ""

    @property
    def passed(self) -> bool:
        """Whether no gate failed, or the policy asks for none."""
        return bool(self.forced) or not self.failures

    @property
    def failures(self) -> tuple[GateResult, ...]:
        """The gates that failed."""
        return tuple(result for result in self.results if result.status is Status.FAILED)

    @property
    def reason(self) -> str:
        """Why it was refused, in one line; empty if it was not."""
        return "; ".join(f"{r.gate}: expected {r.expected}, got {r.got}" for r in self.failures)

    def to_json(self) -> dict[str, Any]:
        """As stored in the ledger, on the run, and printed by `--json`."""
        return {**dataclasses.asdict(self), "passed": self.passed, "reason": self.reason}

    def to_markdown(self) -> str:
        """For people who open the run in MLflow."""
        when = datetime.datetime.fromtimestamp(self.at_ms / 1000, datetime.UTC)
        verdict = "passed" if self.passed else "refused"
        against = f"Production v{self.current}" if self.current else "nothing in Production"
        lines = [
            f"# {self.model} v{self.version} → {self.stage}: {verdict}",
            "",
            f"{when:%Y-%m-%d %H:%M:%S} UTC, by {self.actor} ({self.door}), against {against}.",
            f"Digest `{self.digest[:12]}`, gates `{self.gates_digest[:12]}`.",
            *([f"Gates did not decide: {self.forced}."] if self.forced else []),
            "",
            "| gate | result | expected | got |",
            "|---|---|---|---|",
            *(
                f"| {r.gate} | {_MARKS[r.status]} | {_cell(r.expected)} | {_cell(r.got)} |"
                for r in self.results
            ),
        ]
        return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """`text` as one cell of a markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
