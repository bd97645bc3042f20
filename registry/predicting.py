"""Commands about the prediction log: `python -m registry predictions list | forget | export`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any

import click
from rich.table import Table

from registry.console import exits, out, print_json
from registry.errors import UnknownName
from registry.predictions import Prediction
from registry.predictions_database import address
from registry.predictions_parquet import export, place
from registry.retention import SECONDS_A_DAY, forget
from registry.settings import Settings
from registry.sql_predictions import SqlPredictions, open_log
from registry.views import moment

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object instead.")


@click.group("predictions")
def predictions_group() -> None:
    """Look at what was predicted, forget what is old, export it.

    \b
    Examples:
      python -m registry predictions list iris --last 50
      python -m registry predictions forget --days 90
      python -m registry predictions forget iris --days 7
      python -m registry predictions export --days 2
    """


@predictions_group.command("list")
@click.argument("model")
@click.option("--last", type=click.IntRange(1, 10_000), default=20, help="So many, newest first.")
@_AS_JSON
@exits
def list_command(model: str, last: int, as_json: bool) -> None:
    """What a model was asked last, every attempt. With --json inputs and outputs too."""
    with _log(Settings.read()) as log:
        found = log.newest(model, most=last)
        if not found and model not in (known := log.models(0.0, time.time() + SECONDS_A_DAY)):
            raise UnknownName("model in the prediction log", model, known)
    if as_json:
        print_json({"model": model, "predictions": [_plain(one) for one in found]})
        return
    table = Table("when", "prediction", "version", "seq", "endpoint", "key", "rows", "status", "ms")
    for one in found:
        table.add_row(
            moment(int(one.time * 1000)),
            one.prediction_id,
            one.version,
            "–" if one.seq is None else f"{one.epoch}.{one.seq}",
            one.endpoint,
            one.key_id,
            str(one.rows),
            f"{one.status} {one.error}".strip(),
            f"{one.latency_ms:.1f}",
        )
    out.print(table)


@predictions_group.command("forget")
@click.argument("model", required=False)
@click.option("--days", type=click.FloatRange(min=0), required=True, help="Keep so many.")
@_AS_JSON
@exits
def forget_command(model: str | None, days: float, as_json: bool) -> None:
    """Delete records older than DAYS, and their feedback: of MODEL, or of all models."""
    settings = Settings.read()
    named, otherwise = ({model: days}, None) if model is not None else ({}, days)
    gone = forget(address(settings), named, otherwise=otherwise, now=time.time())
    if as_json:
        print_json(asdict(gone))
        return
    out.print(
        f"forgotten: {gone.records} records, {gone.days} whole days, {gone.positions} positions, "
        f"{gone.refused} records that were put aside and {gone.outcomes} pieces of feedback",
        soft_wrap=True,
    )


@predictions_group.command("export")
@click.option("--days", type=click.FloatRange(min=0), default=2.0, help="Look back so many.")
@_AS_JSON
@exits
def export_command(days: float, as_json: bool) -> None:
    """Write the hours that are over to BATON_PREDICTIONS_PARQUET, as far as they are not there."""
    settings = Settings.read()
    store, now = place(settings), time.time()
    with _log(settings) as log:
        done = export(log, store, since=now - days * SECONDS_A_DAY, now=now)
    if as_json:
        print_json(asdict(done))
        return
    out.print(f"{store.address}: {done.files} files with {done.records} records", soft_wrap=True)


@contextmanager
def _log(settings: Settings) -> Iterator[SqlPredictions]:
    log = open_log(settings)
    try:
        yield log
    finally:
        log.close()


def _plain(record: Prediction) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}
