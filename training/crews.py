"""Which crew the option `--engine` means."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from registry.errors import UsageError
from registry.settings import Settings
from training.crew import Crew, Processes

T = TypeVar("T")
R = TypeVar("R")


def crew_of(
    engine: str,
    work: Callable[[T], R],
    settings: Settings,
    *,
    size: int | None,
    processors: int,
) -> Crew[T, R]:
    """Processes here (`size` of them, else as many as `processors`), or those of a Ray cluster.

    Raises UsageError where no cluster is named, Unreachable where it does not answer.
    """
    if engine == "local":
        return Processes(work, size=size or processors)
    if not settings.ray_address:
        raise UsageError(
            "--engine ray: set BATON_RAY_ADDRESS to the cluster's address, as 10.0.0.5:6379; "
            "`local` starts one on this machine, for as long as the command runs"
        )
    from training.ray_crew import RayCrew  # noqa: PLC0415 - imports Ray

    return RayCrew.joined(work, settings, size=size)
