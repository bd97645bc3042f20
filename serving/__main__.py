"""`python -m serving`: one node. Supervises gunicorn, the watcher, the shipper, and others.

Embedded also the registrar; where `BATON_ENGINES` names `runner`, the host of runners. They are
siblings: each is started again when it ends, none outlives this process. Gunicorn serves from the
node's own store before anything else was reached.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.util
import ipaddress
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from registry import log
from registry.errors import BatonError, SettingsError
from registry.monitoring import Monitoring
from registry.process import cannot_listen, die_with_parent
from registry.settings import Settings
from registry.stop import Stop
from serving.keys import KeyFile
from serving.metrics import MULTIPROCESS_VARIABLE

_log = logging.getLogger("serving.supervisor")
_GUNICORN = Path(__file__).resolve().parents[1] / "infra" / "gunicorn.conf.py"
_LOOK_SECONDS = 0.2
_GRACE_SECONDS = 35.0
_QUICK_END_SECONDS = 2.0
_BACKGROUND = 10


@dataclass
class Child:
    """One supervised process."""

    name: str
    command: Sequence[str]
    niceness: int = 0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    delay: float = field(default=0.1)

    def start(self, environ: dict[str, str]) -> None:
        """Start it, to end with this process."""
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603 - our own modules, no shell
            self.command,
            env=environ,
            preexec_fn=partial(self._prepare, os.getpid()),  # noqa: PLW1509 - no threads here
        )

    def _prepare(self, parent: int) -> None:
        die_with_parent(parent=parent)
        os.nice(self.niceness)

    def watch(self, environ: dict[str, str], now: float) -> None:
        """Start it again if it ended; one that ends at once is started ever more slowly."""
        if self.process and self.process.poll() is None:
            if now - self.started_at > _QUICK_END_SECONDS:
                self.delay = 0.1
            return
        if now - self.started_at >= self.delay:
            code = self.process.returncode if self.process else None
            _log.error("%s ended (exit %s); starting it again", self.name, code)
            self.delay = min(self.delay * 2, 5.0)
            self.start(environ)

    def end(self, seconds: float) -> None:
        """Ask it to end, wait, then insist."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGTERM or SIGINT; returns the exit code."""
    given_arguments = sys.argv[1:] if arguments is None else list(arguments)
    if given_arguments[:1] == ["keys"]:
        from serving import keys_command  # noqa: PLC0415 - only this command needs it

        return keys_command.main(given_arguments[1:])
    if given_arguments[:1] == ["feedback"]:
        from serving import feedback_command  # noqa: PLC0415 - as above

        return feedback_command.main(given_arguments[1:])
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__)
    parser.add_argument("--bundle", help="serve the version in this directory, without a registry")
    given = parser.parse_args(given_arguments)
    if given.bundle:
        os.environ["BATON_BUNDLE"] = given.bundle  # for the children too
    try:
        settings = Settings.read()
        log.to_json(settings.log_level)
        host = _address(settings.bind)
        _access(settings, host)
        _models(settings)
        Monitoring.read(settings.monitoring)
        _libraries(settings)
        lock = _only_node(settings)
    except BatonError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    stop = Stop.on(signal.SIGTERM, signal.SIGINT)
    _supervise(settings, stop)
    lock.close()
    return 0


def _supervise(settings: Settings, stop: threading.Event) -> None:
    shutil.rmtree(settings.metrics_dir, ignore_errors=True)
    settings.metrics_dir.mkdir(mode=0o700, parents=True)
    environ = {**os.environ, MULTIPROCESS_VARIABLE: str(settings.metrics_dir)}
    gunicorn, *others = children = _children(settings)
    gunicorn.start(environ)
    _take_up(settings)
    for child in others:
        child.start(environ)
    _log.info("serving on http://%s", settings.bind)
    while not stop.wait(_LOOK_SECONDS):
        for child in children:
            child.watch(environ, time.monotonic())
    for child in children:
        child.end(_GRACE_SECONDS)
    shutil.rmtree(settings.metrics_dir, ignore_errors=True)


def _take_up(settings: Settings) -> None:
    """Let the page say what the node served last: workers may be there before the watcher is."""
    # Gunicorn is starting meanwhile: these imports cost it nothing.
    from serving.node.take_up import take_up  # noqa: PLC0415
    from serving.page import Page  # noqa: PLC0415

    with Page(settings.page_path) as page:
        take_up(settings, page)


def _children(settings: Settings) -> list[Child]:
    """Gunicorn first: it answers from the store while the others still start.

    They end in this order too: what the workers wrote down last is shipped once they are gone.
    """
    python = sys.executable
    children = [
        Child("gunicorn", [python, "-m", "gunicorn", "-c", str(_GUNICORN)]),
        Child("watcher", [python, "-m", "serving.node"]),
    ]
    if settings.logs_predictions:
        children.append(Child("shipper", [python, "-m", "serving.shipping"]))
    if "runner" in settings.engines:
        children.append(Child("runners", [python, "-m", "serving.runner.host"]))
    if settings.is_embedded:
        # What it does beside serving (import MLflow, judge) must not take time from requests.
        registrar = [python, "-m", "registry", "registrar"]
        children.append(Child("registrar", registrar, niceness=_BACKGROUND))
    return children


def _access(settings: Settings, host: str) -> None:
    """Refuse to be reached from elsewhere by whoever likes to."""
    if KeyFile(settings.keys_path).read():
        return
    if not _is_loopback(host):
        raise SettingsError(
            f"BATON_BIND: {settings.bind} can be reached from elsewhere and there is no API key in "
            f"{settings.keys_path}: make one with `python -m serving keys add NAME`, or bind "
            "127.0.0.1"
        )
    _log.info("no API keys: everyone on this machine may ask, nobody else can")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(bind: str) -> str:
    """The host; refuses an address that gunicorn would fail to listen on, again and again."""
    host, _, port = bind.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError(f"BATON_BIND: expected host:port, as 127.0.0.1:8000, got {bind!r}")
    if (why := cannot_listen(host.strip("[]"), int(port))) is not None:
        raise SettingsError(f"BATON_BIND: {bind}: cannot listen there: {why}")
    return host.strip("[]")


def _models(settings: Settings) -> None:
    """Refuse settings about models that the watcher would fail on, again and again."""
    from registry.selector import Selector  # noqa: PLC0415 - reads YAML elsewhere, not here

    for text in settings.models:
        Selector.parse(text)
    for name in (settings.bundle, settings.fallback_dir):
        if name and not Path(name).is_dir():
            raise SettingsError(f"{name}: expected the directory of a version, there is none")


def _libraries(settings: Settings) -> None:
    """Refuse what needs MLflow where it is not installed, as in the image of serving."""
    if importlib.util.find_spec("mlflow") is not None:
        return
    from registry.selector import Selector  # noqa: PLC0415 - as above

    needs = {
        "BATON_LEDGER_URL": ""
        if settings.bundle or not settings.is_embedded
        else "an embedded one",
        "BATON_ENGINES": "runner" if "runner" in settings.engines else "",
        "BATON_MODELS": next((s for s in settings.models if Selector.parse(s).is_pinned), ""),
    }
    for name, value in needs.items():
        if value:
            raise SettingsError(
                f"{name}: {value} needs MLflow, which is not installed here; use the image of the "
                "registrar, or make setup GROUP=node"
            )


def _only_node(settings: Settings) -> IO[str]:
    """Hold this node's directory; a second server on it would flip behind the first one's back."""
    settings.node_dir.mkdir(parents=True, exist_ok=True)
    lock = (settings.node_dir / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingsError(
            f"BATON_HOME: another server already runs on {settings.home}; give each its own"
        ) from None
    return lock


if __name__ == "__main__":
    raise SystemExit(main())
