"""The runs of the configured store, found by tags, metrics, parameters and dates.

A filter is MLflow's own (`tags.ticker = 'USD/BRL' and metrics.mae < 0.1`), with one thing more: the
times of a run may be written as dates, where MLflow wants milliseconds since 1970.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from registry.client import reaching
from registry.errors import UnknownName, UsageError
from training.tracking import Tracking

EXAMPLE = "tags.ticker = 'USD/BRL' and metrics.mae < 0.1 and start_time >= '2026-11-01'"
_DAY = datetime.timedelta(days=1)
# What is quoted otherwise is passed over as a whole, so that nothing inside of it is taken.
_TIMES = re.compile(
    r"""(?<![\w.`])(?P<entity>(?:attributes?|attr|run)\.)?(?P<time>start_time|end_time|created)\s*
        (?P<sign><=|>=|!=|<|>|=)\s*(?P<quote>['"])(?P<date>[^'"]*)(?P=quote)
        |'[^']*'|"[^"]*"|`[^`]*`""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """One run: times with the zone of this machine; what only a run of Baton's has may be ""."""

    run_id: str
    name: str
    experiment: str
    status: str
    started: datetime.datetime
    ended: datetime.datetime | None
    workload: str
    series: str
    model: str
    version: int | None
    primary: str
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]

    @classmethod
    def of(cls, run: Any, experiment: str) -> Self:
        """MLflow's entity as ours."""
        tags = run.data.tags
        version = tags.get("model_version", "")
        return cls(
            run_id=run.info.run_id,
            name=run.info.run_name or "",
            experiment=experiment,
            status=run.info.status,
            started=_local(run.info.start_time),
            ended=_local(run.info.end_time) if run.info.end_time else None,
            workload=tags.get("baton.workload", ""),
            series=tags.get("baton.series", tags.get("ticker", "")),
            model=tags.get("baton.model", ""),
            version=int(version) if version.isdecimal() else None,
            primary=tags.get("baton.primary", ""),
            metrics=run.data.metrics,
            params=run.data.params,
            tags={key: value for key, value in tags.items() if not key.startswith("mlflow.")},
        )


def search(
    tracking: Tracking,
    *,
    experiment: str | None = None,
    text: str = "",
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
    limit: int = 20,
) -> list[FoundRun]:
    """The newest `limit` runs of an experiment, or of all, that the filter `text` lets through.

    `since` is inclusive, `until` exclusive. Raises UnknownName listing the experiments there are,
    UsageError for a filter that is none, Unreachable.
    """
    names = _experiments(tracking, experiment)
    asked = [dated(text)] if text.strip() else []
    asked += [f"start_time >= {_milliseconds(since)}"] if since else []
    asked += [f"start_time < {_milliseconds(until)}"] if until else []
    with reaching(tracking.settings.tracking_uri):
        try:
            found = tracking.client.search_runs(
                [*names],
                filter_string=" and ".join(asked),
                max_results=limit,
                order_by=["attributes.start_time DESC"],
            )
        except tracking.mlflow.MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            raise UsageError(f"filter {text!r}: {error.message}; as in: {EXAMPLE}") from error
    return [FoundRun.of(run, names[run.info.experiment_id]) for run in found]


def dated(text: str) -> str:
    """A filter with its dates as MLflow takes them; raises UsageError for one that is none.

    A date alone is its first moment, here; only `=` takes the whole day.
    """
    return _TIMES.sub(_in_milliseconds, text)


def moment(text: str) -> datetime.datetime:
    """A date or time in ISO's form; without a zone it is this machine's. Raises UsageError."""
    try:
        return datetime.datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r}: expected a date as 2026-11-01, or a time as 2026-11-01T14:30"
        ) from error


def day_after(text: str) -> datetime.datetime:
    """The end of the day that a date names; a time is itself. Raises UsageError."""
    return moment(text) + (_DAY if _is_date(text) else datetime.timedelta())


def _in_milliseconds(found: re.Match[str]) -> str:
    """One comparison of a time with a date."""
    if found["time"] is None or found["date"].strip().isdecimal():
        return found[0]
    name = f"{found['entity'] or ''}{found['time']}"
    begins = _milliseconds(moment(found["date"]))
    if found["sign"] == "=" and _is_date(found["date"]):
        return f"{name} >= {begins} and {name} < {_milliseconds(day_after(found['date']))}"
    return f"{name} {found['sign']} {begins}"


def _is_date(text: str) -> bool:
    return len(text.strip()) <= len("2026-11-01")


def _milliseconds(when: datetime.datetime) -> int:
    return int(when.timestamp() * 1000)


def _local(milliseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).astimezone()


def _experiments(tracking: Tracking, name: str | None) -> dict[str, str]:
    """The names of the experiments by their ids: of the one asked for, or of all."""
    known: dict[str, str] = {}
    token = None
    with reaching(tracking.settings.tracking_uri):
        while True:
            page = tracking.client.search_experiments(page_token=token)
            known |= {found.experiment_id: found.name for found in page}
            token = page.token
            if not token:
                break
    if name is None:
        return known
    wanted = {number: found for number, found in known.items() if found == name}
    if not wanted:
        raise UnknownName("experiment", name, sorted(known.values()))
    return wanted
