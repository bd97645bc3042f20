"""The trial: load a version once, in a process that is thrown away afterwards.

`python -m serving.trial DIR --json` for people; judge and nodes hand in an order and read a report
(registry/trial.py). Memory is limited and the network is taken away before anything is loaded.
Whatever the version does here happens to this process only.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import signal
import statistics
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from registry.bundle import Bundle, Golden, Manifest
from registry.errors import BatonError, BundleInvalid
from registry.isolation import isolate
from registry.manners import mind_manners
from registry.process import die_with_parent
from registry.settings import Settings
from serving.engines import Engine
from serving.kinds import Limits
from serving.servable import Servable

_LATENCY_ROUNDS = 5
# A hold-out is one request here, however long it is.
_LIMITS = Limits(max_rows=10_000_000, max_horizon=1_000_000, max_pixels=1_000_000_000)
# What a version from elsewhere answered here is held against later, on other machines.
_RTOL = _ATOL = 1e-5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one trial; 0 when a report was written, whatever it says."""
    parser = argparse.ArgumentParser(prog="python -m serving.trial", description=__doc__)
    parser.add_argument("directory", type=Path, help="the version's files")
    parser.add_argument("--json", action="store_true", help="print the report to standard output")
    parser.add_argument("--order", type=Path, help="file with manifest, requests and limits")
    parser.add_argument("--report", type=Path, help="file to write the report to")
    given = parser.parse_args(arguments)
    die_with_parent(signal.SIGKILL)
    order = _order(given.order)
    isolation = isolate(int(order["memory_mb"]))
    report = {"isolation": isolation, **_report(given.directory, order)}
    text = orjson.dumps(report, option=orjson.OPT_SERIALIZE_NUMPY)
    if given.report:
        given.report.write_bytes(text)
    if given.json or not given.report:
        sys.stdout.write(text.decode() + "\n")
    return 0


def _order(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        settings = Settings.read()
        return {"engines": settings.engines, "memory_mb": settings.trial_memory_mb}
    return dict(json.loads(path.read_bytes()))


def _report(root: Path, order: Mapping[str, Any]) -> dict[str, Any]:
    """Try the version; what is wrong with it becomes the report's reason."""
    try:
        return {"ok": True, **_tried(root, order)}
    except BatonError as error:
        return {"ok": False, "reason": str(error)}
    except MemoryError:
        return {"ok": False, "reason": f"needs more than {order['memory_mb']} MiB"}
    except Exception as error:  # noqa: BLE001 - a fault of the version's files, seen first here
        return {"ok": False, "reason": f"{type(error).__name__}: {error}"}


def _tried(root: Path, order: Mapping[str, Any]) -> dict[str, Any]:
    stored = order.get("manifest")
    manifest = Manifest.from_json(stored) if stored else Manifest.of(root)
    _import_engine(root, order["engines"])
    before_mb = _status_mb("VmRSS")
    begun = time.perf_counter()
    servable = Servable.load(
        root, manifest, allowed=order["engines"], limits=_LIMITS, runner=_in_here
    )
    load_ms = (time.perf_counter() - begun) * 1000
    golden, source = _golden(servable, root)
    worst = servable.check(golden)
    servable.repeat(golden.examples[0]["request"])
    servable.prove_row_wise(golden)
    signature = servable.signature
    return {
        "engine": servable.engine,
        "kind": servable.kind,
        "load_ms": load_ms,
        "golden": golden.to_json(),
        "golden_source": source,
        "worst_error": worst,
        "latency_ms": _latency_ms(servable, golden),
        # The most this process ever had; `ru_maxrss` counts who started it too.
        "memory_mb": _status_mb("VmHWM"),
        "resident_mb": max(0.0, _status_mb("VmRSS") - before_mb),
        "signature": signature.to_json() if signature else None,
        "answers": [servable.predict(request) for request in order.get("requests", ())],
    }


def _import_engine(root: Path, allowed: Collection[str]) -> None:
    """What an engine itself takes is no part of what a version adds."""
    with contextlib.suppress(BundleInvalid):
        engine = Bundle.open(root).engine
        if engine in allowed:
            importlib.import_module(f"serving.engines.{engine}")


def _in_here(bundle: Bundle) -> Engine:
    """A version that is code needs no process of its own here: this one is thrown away."""
    mind_manners()
    from serving.runner.model import PyfuncModel  # noqa: PLC0415 - imports MLflow

    return PyfuncModel.load(bundle)


def _golden(servable: Servable, root: Path) -> tuple[Golden, str]:
    """The version's own golden examples, or its answer to an example, and where that is from."""
    if servable.golden is not None:
        return servable.golden, "bundle"
    example = root / "serving_input_example.json"
    request, source = servable.synthetic(), "synthetic row"
    if example.is_file():
        request, source = json.loads(example.read_bytes()), "input example"
    answer = orjson.dumps(servable.predict(request), option=orjson.OPT_SERIALIZE_NUMPY)
    made = Golden(({"request": request, "response": json.loads(answer)},), _RTOL, _ATOL)
    return made, source


def _latency_ms(servable: Servable, golden: Golden) -> float:
    """Median time of one golden request."""
    request = golden.examples[0]["request"]
    times = []
    for _ in range(_LATENCY_ROUNDS):
        begun = time.perf_counter()
        servable.predict(request)
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


def _status_mb(name: str) -> float:
    """One of the kernel's figures about this process, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith(name))
    return int(kibibytes) / 1024


if __name__ == "__main__":
    raise SystemExit(main())
