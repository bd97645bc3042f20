"""Score partitions until standard input ends: `python -m serving.batch DIRECTORY`.

DIRECTORY holds the versions (versions.py). A line on standard input is an order:

    {"input": "in.parquet", "start": 0, "rows": 1000, "output": "out.parquet"}

and is answered by one line on standard output: `{"ok": true, "rows": 1000, "written": 1000}`, for
tables with `engine_seconds` too, or `{"ok": false, "reason": …}` with nothing left at `output`. The
first line, before any order, says how many versions there are.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from registry.errors import BatonError
from registry.manners import mind_manners
from registry.process import die_with_parent
from serving.batch.partition import Partition, score
from serving.batch.versions import Versions


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer orders until there are no more; 0."""
    parser = argparse.ArgumentParser(
        prog="python -m serving.batch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, help="versions.json and the versions' files")
    given = parser.parse_args(arguments)
    die_with_parent(signal.SIGKILL)
    mind_manners()
    # Whatever a library prints goes to standard error: the lines on standard output are answers.
    with os.fdopen(os.dup(1), "wb", buffering=0) as answers:
        os.dup2(2, 1)
        versions = Versions(given.directory)
        answers.write(_line({"ok": True, "models": len(versions.names)}))
        for line in sys.stdin.buffer:
            answers.write(_line(_answered(versions, orjson.loads(line))))
    return 0


def _answered(versions: Versions, order: Mapping[str, Any]) -> dict[str, Any]:
    """Score one partition; whatever is wrong with it is its own answer."""
    output = Path(order["output"])
    partition = Partition(Path(order["input"]), start=order["start"], rows=order["rows"])
    try:
        return {"ok": True, **score(versions, partition, output)}
    except BatonError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - of this partition: the others are still to come
        reason = f"{type(error).__name__}: {error}"
    output.unlink(missing_ok=True)
    return {"ok": False, "reason": reason}


def _line(answer: Mapping[str, Any]) -> bytes:
    return orjson.dumps(answer) + b"\n"


if __name__ == "__main__":
    raise SystemExit(main())
