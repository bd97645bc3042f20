"""Prometheus, Alertmanager and the prober: real ones, by the committed configuration.

Only addresses and intervals are others: a test has no names of services, and little time.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.node import free_port
from tests.missing import ServiceMissing
from tests.stack.rules import PROMETHEUS, environment, loaded

_PATIENCE_SECONDS = 60
_HARMLESS = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Watching:
    """One of these servers, asked over HTTP."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, path: str, **given: str) -> Any:
        """What it says, of JSON."""
        query = f"?{urllib.parse.urlencode(given)}" if given else ""
        with _HARMLESS.open(f"http://{self.address}{path}{query}", timeout=10) as answer:
            return json.loads(answer.read())

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """What Prometheus says to an expression now: labels and value of each series."""
        found = self.ask("/api/v1/query", query=expr)["data"]
        assert found["resultType"] == "vector", expr
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    def until(self, done: Callable[[], Any], what: str) -> Any:
        """Wait for something to become true; returns it."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := done():
                return found
            time.sleep(0.1)
        said = self.log.read_text(errors="replace")[-3000:]
        raise AssertionError(f"{what}: not within {_PATIENCE_SECONDS} s\n{said}")


@contextmanager
def prometheus(root: Path, config: Mapping[str, Any], *, port: int = 0) -> Iterator[Watching]:
    """A Prometheus with this configuration, at this port or any; its data lie below `root`."""
    file = _written(root / "prometheus.yml", config)
    flags = [
        f"--config.file={file}",
        f"--storage.tsdb.path={root / 'tsdb'}",
        # An alert of its first seconds goes nowhere: it knows no Alertmanager yet.
        "--rules.alert.resend-delay=1s",
        "--log.level=warn",
    ]
    log = root / "prometheus.log"
    with _running(("prometheus",), log, flags, "/-/ready", port=port) as server:
        yield server


@contextmanager
def alertmanager(root: Path, config: Mapping[str, Any]) -> Iterator[Watching]:
    """An Alertmanager by itself, without a cluster."""
    file = _written(root / "alertmanager.yml", config)
    flags = [
        f"--config.file={file}",
        f"--storage.path={root / 'alerts'}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    programs = ("alertmanager", "prometheus-alertmanager")
    with _running(programs, root / "alertmanager.log", flags, "/-/ready") as server:
        yield server


@contextmanager
def blackbox(root: Path) -> Iterator[Watching]:
    """The prober, by the committed file of how it asks."""
    programs = ("blackbox_exporter", "prometheus-blackbox-exporter")
    flags = [f"--config.file={PROMETHEUS / 'blackbox.yml'}", "--log.level=warn"]
    with _running(programs, root / "blackbox.log", flags, "/-/healthy") as server:
        yield server


def committed(
    root: Path, addresses: Mapping[str, str], *, key: str = "", hold: str | None = None
) -> dict[str, Any]:
    """The committed configuration of Prometheus: each second, and at these addresses.

    `addresses` replaces what the file says, as `serving-a:8000`; targets that are not in it are
    left out. `hold` is for how long every alert waits; None is as committed.
    """
    config: dict[str, Any] = loaded(PROMETHEUS / "prometheus.yml")
    config["global"] = dict.fromkeys(config["global"], "1s")
    config["rule_files"] = [str(root / "rules" / "*.yml")]
    shutil.copytree(PROMETHEUS / "rules", root / "rules")
    if hold is not None:
        _hold(root / "rules", hold)
    for group in config["alerting"]["alertmanagers"][0]["static_configs"]:
        group["targets"] = [addresses[one] for one in group["targets"] if one in addresses]
    for job in config["scrape_configs"]:
        if "authorization" in job:
            file = root / "metrics_key"
            file.write_text(key, encoding="utf-8")
            job["authorization"]["credentials_file"] = str(file)
        for group in job["static_configs"]:
            group["targets"] = [addresses[one] for one in group["targets"] if one in addresses]
        for rule in job.get("relabel_configs", ()):
            if rule.get("replacement") in addresses:
                rule["replacement"] = addresses[rule["replacement"]]
    return config


def _hold(folder: Path, seconds: str) -> None:
    for path in folder.iterdir():
        content = loaded(path)
        for group in content["groups"]:
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = seconds
        _written(path, content)


def _written(path: Path, content: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(content)), encoding="utf-8")
    return path


@contextmanager
def _running(
    programs: tuple[str, ...], log: Path, flags: list[str], ready: str, *, port: int = 0
) -> Iterator[Watching]:
    found = next(filter(None, map(shutil.which, programs)), None)
    if found is None:
        ServiceMissing(f"no {programs[0]} is installed").skip_or_fail()
    port = port or free_port()
    command = [found, *flags, f"--web.listen-address=127.0.0.1:{port}"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command, stdout=out, stderr=out, cwd=log.parent, env=environment()
        ) as process,
    ):
        server = Watching(port, process, log)
        try:
            server.until(lambda: _answers(f"http://{server.address}{ready}"), f"{found} is ready")
            yield server
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        with _HARMLESS.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
