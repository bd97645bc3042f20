"""One version of one registered model, as MLflow has it at rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """MLflow's stages, with its spelling."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """What MLflow says of a version. `created_ms` tells two models of one name apart."""

    name: str
    version: int
    stage: Stage
    created_ms: int
    updated_ms: int
    source: str
    run_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """As people write it: `iris v3`."""
        return f"{self.name} v{self.version}"
