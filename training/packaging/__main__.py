"""`python -m training.packaging FLAVOUR …`: load somebody's version and convert it, confined.

Started by `sandbox.py`. Everything is given up before anything heavy is imported, and long before
anything of the version is read. What is wrong with the version becomes the answer's reason.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from registry.errors import BatonError
from registry.isolation import isolate
from registry.manners import mind_manners
from registry.process import die_with_parent
from training.packaging.confinement import become_first, confine
from training.packaging.sandbox import ANSWER, GRAPH, ROOT

_MIB = 1024 * 1024
_CODE = ("registry", "training")


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert one version; 0 when an answer was written, whatever it says."""
    given = _given(arguments)
    die_with_parent(signal.SIGKILL)
    isolation = _isolate(given)
    mind_manners()
    answer = {"isolation": isolation, **_answer(given)}
    (given.room / "out" / ANSWER).write_text(json.dumps(answer), encoding="utf-8")
    return 0


def _given(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.packaging", description=__doc__)
    parser.add_argument("flavour", choices=("sklearn", "keras", "tensorflow"))
    parser.add_argument("--version", type=Path, required=True, help="the version's files")
    parser.add_argument("--room", type=Path, required=True, help="where to write")
    parser.add_argument("--memory-mb", type=int, required=True, help="address space, MiB")
    return parser.parse_args(arguments)


def _isolate(given: argparse.Namespace) -> str:
    """Give everything up; says what of it was to be had."""
    network = isolate(given.memory_mb)
    largest = given.memory_mb * _MIB
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing more is an error with a reason
    done = [] if network == "none" else [network]
    if become_first():
        done.append("process namespace")
    done += confine(
        readable=[given.version, *(ROOT / name for name in _CODE)], listed=[ROOT], room=given.room
    )
    return ", ".join(done) or "none"


def _answer(given: argparse.Namespace) -> Mapping[str, Any]:
    from training.packaging.convert import convert  # noqa: PLC0415 - heavy

    graph = given.room / "out" / GRAPH
    try:
        return {"ok": True, **convert(given.flavour, given.version, graph)}
    except BatonError as error:
        return _failed(str(error))
    except MemoryError:
        return _failed(f"it needs more than {given.memory_mb} MiB (BATON_PACKAGE_MEMORY_MB)")
    except ModuleNotFoundError as error:
        return _failed(f"it needs the module {error.name!r}, which is not installed here")
    except Exception as error:  # noqa: BLE001 - a fault of the version, seen first here
        return _failed(f"{type(error).__name__}: {error}")


def _failed(reason: str) -> Mapping[str, Any]:
    return {"ok": False, "reason": " ".join(reason.split())[:2000]}


if __name__ == "__main__":
    raise SystemExit(main())
