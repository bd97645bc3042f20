"""A closed loop of requests by wrk: each connection sends its next once it has its answer."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.node import CommandFailed
from benchmarks.processes import cpu_seconds, descendants

_SCRIPT = Path(__file__).with_name("post.lua")
_PATIENCE_SECONDS = 30  # what a peer may take for one answer
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
_LOPSIDED = 0.3
_TRIES = 3
_WARM_SECONDS = (1, 2, 4, 8, 16)
_ANSWERS_EACH = 4
_MOST_SECONDS = 10
_MOST_DRAIN_SECONDS = 3.0
_ANSWERS = r"(\d+) requests in"


@dataclass(frozen=True)
class Said:
    """What wrk printed."""

    requests: int
    per_second: float
    p99_ms: float


@dataclass(frozen=True)
class Load:
    """What one load saw; `cpu_ms` of the server's processes a request.

    `shares` of that CPU by process, the busiest first; `busiest` are the two processes that had the
    most. `tries` is how often it was begun until two of them had a fair share.
    """

    per_second: float
    p99_ms: float
    cpu_ms: float
    shares: tuple[float, ...]
    busiest: tuple[int, ...]
    tries: int = 1

    @property
    def is_lopsided(self) -> bool:
        """Whether one of two workers got nearly everything: connections are opened once."""
        return len(self.shares) < 2 or self.shares[1] / sum(self.shares[:2]) < _LOPSIDED


def is_there() -> bool:
    """Whether this machine has wrk."""
    return shutil.which("wrk") is not None


def load(url: str, pid: int, bodies: Path, *, connections: int, seconds: int) -> Load:
    """Send the lines of `bodies` to the server whose processes are `pid` and all below it.

    One that hits a single worker is repeated, three times at most. Raises CommandFailed if any
    answer was not 2xx.
    """
    tries = 1
    found = _once(url, pid, bodies, connections, seconds)
    while connections > 1 and found.is_lopsided and tries < _TRIES:
        tries += 1
        found = _once(url, pid, bodies, connections, seconds)
    return replace(found, tries=tries)


def rate(url: str, bodies: Path, *, connections: int, seconds: int) -> float:
    """Requests a second, and nothing about the server. Raises CommandFailed as `load` does."""
    said = read(_wrk(url, bodies, connections, seconds))
    _let_drain(connections, said.per_second)
    return said.per_second


def warm(url: str, bodies: Path, *, connections: int) -> int:
    """Send, each time for longer, until there are as many answers as connections.

    A worker's first answer may take long. Returns the seconds that a load should last at least, for
    a few answers over each connection; raises CommandFailed if there never are enough.
    """
    for seconds in _WARM_SECONDS:
        answers = int(_found(_ANSWERS, _wrk(url, bodies, connections, seconds))[1])
        _let_drain(connections, max(answers, 1) / seconds)
        if answers >= connections:
            return min(_MOST_SECONDS, math.ceil(_ANSWERS_EACH * connections * seconds / answers))
    raise CommandFailed(f"{url}: fewer than {connections} answers within {_WARM_SECONDS[-1]} s")


def read(text: str) -> Said:
    """Read what wrk printed; raises CommandFailed if answers were missing or not 2xx."""
    if "Non-2xx" in text or "Socket errors" in text:
        raise CommandFailed(f"wrk saw answers that are none: {text}")
    requests = int(_found(_ANSWERS, text)[1])
    if not requests:
        raise CommandFailed(f"wrk saw no answer: {text}")
    p99 = _found(r"99%\s+([\d.]+)(us|ms|s|m)\b", text)
    rate = float(_found(r"Requests/sec:\s+([\d.]+)", text)[1])
    return Said(requests, rate, float(p99[1]) * _MILLISECONDS[p99[2]])


def _once(url: str, pid: int, bodies: Path, connections: int, seconds: int) -> Load:
    pids = [pid, *descendants(pid)]
    before = {one: cpu_seconds(one) for one in pids}
    said = read(_wrk(url, bodies, connections, seconds))
    spent = {one: cpu_seconds(one) - before[one] for one in pids if Path(f"/proc/{one}").exists()}
    _let_drain(connections, said.per_second)
    busiest = sorted(spent, key=lambda one: spent[one], reverse=True)[:2]
    total = sum(spent.values()) or float("nan")
    return Load(
        said.per_second,
        said.p99_ms,
        total / said.requests * 1000,
        tuple(spent[one] / total for one in busiest),
        tuple(busiest),
    )


def _wrk(url: str, bodies: Path, connections: int, seconds: int) -> str:
    """What it prints."""
    done = subprocess.run(
        [  # noqa: S607 - wherever this machine has it
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            f"--timeout={_PATIENCE_SECONDS}s",
            "--latency",
            "-s",
            str(_SCRIPT),
            url,
            "--",
            str(bodies),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandFailed(f"wrk {url}: exit {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def _let_drain(connections: int, per_second: float) -> None:
    """Let the server finish what wrk did not wait for: that would slow the next load."""
    time.sleep(min(_MOST_DRAIN_SECONDS, connections / per_second))


def _found(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text)
    if not found:
        raise CommandFailed(f"wrk did not say {pattern}: {text}")
    return found
