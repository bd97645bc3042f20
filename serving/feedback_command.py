"""`python -m serving feedback`: take what came true from a file, as `POST /feedback` does.

python -m serving feedback import actuals.csv
python -m serving feedback import actuals.jsonl --by lab --json
python -m serving feedback import actuals.parquet
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from registry.console import OK, STEP_FAILED, exit_code
from registry.errors import BatonError, UsageError
from registry.feedback import Received, Receiver
from registry.settings import Settings
from registry.sql_outcomes import open_outcomes
from serving.assignments import Assignments

_AT_ONCE: Final = 1000
_SHOWN: Final = 20
_TRUTHS: Final[Mapping[str, bool]] = {"true": True, "false": False, "1": True, "0": False}


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 2 for what cannot be, 4 out of reach, 5 if a piece was refused."""
    parser = argparse.ArgumentParser(
        prog="python -m serving feedback",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    take = verbs.add_parser("import", help="take a file: what was taken before changes nothing")
    take.add_argument("file", type=Path, help="CSV with a header, JSON lines, or Parquet")
    take.add_argument("--by", help="who says so (the login name)")
    take.add_argument("--json", action="store_true", help="for machines")
    given = parser.parse_args(arguments)
    try:
        received = _imported(given.file, by=given.by)
    except BatonError as error:
        if given.json:
            _say(json.dumps({"error": type(error).__name__, "message": str(error)}))
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return exit_code(error)
    _say(json.dumps(received.to_json()) if given.json else _told(received))
    return STEP_FAILED if received.to_json()["refused"] else OK


def _imported(file: Path, *, by: str | None) -> Received:
    """Take a file, so many pieces in a transaction: one that broke off is taken again."""
    settings = Settings.read()
    held = Assignments(settings.assignments_path).models()
    tickers = {name: one.current.ticker for name, one in held.items() if one.current}
    pieces = _pieces(file)
    outcomes = open_outcomes(settings)
    receiver = Receiver(
        outcomes=outcomes, series_of=lambda model: tickers.get(model) or model, now=time.time
    )
    received, done = Received(), 0
    try:
        while page := [*itertools.islice(pieces, _AT_ONCE)]:
            more = receiver.receive(page, by=by or settings.actor)
            received = received.plus(more, offset=done)
            done += len(page)
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{done:,} taken")
    finally:
        outcomes.close()
    return received


def _pieces(file: Path) -> Iterator[Any]:
    """What a file holds, one object a row. Raises UsageError for a file that cannot be read."""
    readers = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise UsageError(f"{file}: expected one of {', '.join(readers)}, got {file.suffix!r}")
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    return reader(file)


def _csv(file: Path) -> Iterator[Any]:
    with file.open(encoding="utf-8-sig", newline="") as text:
        try:
            for row in csv.DictReader(text):
                yield {name: _cell(name, value) for name, value in row.items() if value}
        except (csv.Error, UnicodeDecodeError) as error:
            raise UsageError(f"{file}: not a CSV file in UTF-8: {error}") from error


def _cell(name: str, text: str) -> Any:
    """A cell as JSON would have it; what it cannot be is left for the receiver to refuse."""
    if name == "correct":
        return _TRUTHS.get(text.lower(), text)
    if name not in {"row", "actual"}:
        return text
    try:
        value = int(text) if name == "row" else float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def _json_lines(file: Path) -> Iterator[Any]:
    with file.open(encoding="utf-8") as text:
        try:
            yield from (_line(line) for line in text if line.strip())
        except UnicodeDecodeError as error:
            raise UsageError(f"{file}: not UTF-8: {error}") from error


def _line(line: str) -> Any:
    """What a line says; one that is no JSON is left for the receiver to refuse."""
    try:
        return json.loads(line)
    except ValueError:
        return line


def _parquet(file: Path) -> Iterator[Any]:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - not installed where only serving is
    except ImportError as error:
        raise UsageError(f"{file}: reading Parquet needs pyarrow, which is not here") from error
    try:
        for batch in parquet.ParquetFile(file).iter_batches(_AT_ONCE):
            for row in batch.to_pylist():
                yield {name: _plain(value) for name, value in row.items() if _is_there(value)}
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: not a Parquet file: {error}") from error


def _plain(value: Any) -> Any:
    """Dates and times as ISO text."""
    return value.isoformat() if hasattr(value, "isoformat") else value


def _is_there(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _told(received: Received) -> str:
    body = received.to_json()
    counts = [f"{name} {body[name]:,}" for name in body if name != "notes"]
    notes = [f"row {note.index + 1}: {note.fate}: {note.reason}" for note in received.notes]
    more = [f"… and {len(notes) - _SHOWN} more"] if len(notes) > _SHOWN else []
    return "\n".join([", ".join(counts), *notes[:_SHOWN], *more])


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
