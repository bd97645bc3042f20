"""How gunicorn runs the workers. Started by `python -m serving`, which also runs the watcher."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

from registry import log
from registry.settings import Settings
from serving import metrics
from serving.routes.parts import EXTENSION

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

_settings = Settings.read()
log.to_json(_settings.log_level)

wsgi_app = "serving.application:application()"
bind = _settings.bind
workers = _settings.workers
threads = _settings.threads
worker_class = "gthread" if _settings.lane == "off" else "serving.lane.worker.LaneWorker"
preload_app = False  # a loaded model does not survive a fork
max_requests = 0  # a swap frees memory; workers are not recycled for it
timeout = 60
graceful_timeout = 30
keepalive = 75
header_map = "refuse"
forwarded_allow_ips = ""  # whom to believe says BATON_TRUSTED_PROXIES, in the application
control_socket_disable = True
worker_tmp_dir = str(_settings.node_dir)
logconfig_dict: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": _settings.log_level.upper(), "handlers": ["json"]},
    "formatters": {"json": {"()": "registry.log.JsonFormatter"}},
    "handlers": {"json": {"class": "logging.StreamHandler", "formatter": "json"}},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["json"], "propagate": False}},
}


def post_worker_init(worker: Worker) -> None:
    """The worker holds what the node serves: from here on it follows the watcher."""
    # A thread that loads a version hands the interpreter over this often (default 5 ms), and so
    # long may a request wait for it.
    sys.setswitchinterval(0.0005)
    # All that was imported and loaded is here to stay: looking through it takes the collector a
    # tenth of a second, with a request waiting. Versions that leave are freed by their counts.
    gc.collect()
    gc.freeze()
    worker.wsgi.extensions[EXTENSION].manager.follow()


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """A worker ended: its live gauges with it."""
    metrics.process_ended(worker.pid, _settings.metrics_dir)
