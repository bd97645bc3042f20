"""Every setting, read once and frozen: the only place that reads the environment.

A `.env` file in the working directory is read first; the real environment wins. Each field names
its variable, its unit and one line of help, so that `python -m registry config` and
`docs/settings.md` can be made from this class alone.
"""

from __future__ import annotations

import dataclasses
import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from dotenv import dotenv_values

from registry import database_urls
from registry.errors import SettingsError
from registry.places import Places
from registry.variables import parsed, setting, text_of, variable

PACKAGED_GATES = Path(__file__).with_name("gates.toml")
PACKAGED_MONITORING = Path(__file__).with_name("monitoring.toml")
OFF = "off"  # instead of an address
_CHOICES = {
    "unknown_columns": ("refuse", "ignore"),
    "lane": ("on", "off"),
    "spool_full": ("refuse", "drop"),
    "mlflow_log": ("on", "off"),
}


@dataclass(frozen=True, kw_only=True)
class Settings(Places):
    """All settings of all processes. Build it with `Settings.read()`; tests use keywords."""

    home: Path = setting(
        Path("var"), "path", "Everything embedded lives here: sqlite, files, node store."
    )
    ledger_url: str = setting(
        "",
        "SQLAlchemy URL",
        "The ledger. Default: `ledger.db` beside an embedded registry.",
        secret=True,
    )
    jobs_url: str = setting(
        "",
        "SQLAlchemy URL",
        "The queue of jobs, for servers and workers alike. Default: `jobs.db` in BATON_HOME.",
        secret=True,
    )
    jobs_per_key: int = setting(
        8, "jobs", "Most jobs of one API key that are queued or running; then 429."
    )
    jobs_at_once: int = setting(
        2, "jobs", "Most jobs of one API key that run at once; the others wait."
    )
    data: str = setting(
        "",
        "path",
        "Where jobs find a series of source csv or folder by its name, as `prices.csv` or a "
        "directory `eyes`. Default: jobs read no files.",
    )
    gates: Path = setting(PACKAGED_GATES, "path", "The gates file that judges every version.")
    environment: str = setting("development", "label", "Tag on runs; nothing depends on it.")
    actor: str = setting("", "name", "Who promotes, in the ledger. Default: the login name.")
    bind: str = setting("127.0.0.1:8000", "host:port", "Where the server listens.")
    api_keys: str = setting(
        "",
        "path",
        "The file of API keys. Default: `keys.json` in BATON_HOME; without any key this server "
        "listens on loopback only.",
    )
    workers: int = setting(2, "processes", "Gunicorn workers of this node.")
    threads: int = setting(4, "threads", "Request threads of one worker.")
    lane: str = setting(
        "on",
        "on, off",
        "Whether workers answer predictions before Flask sees them; off runs gunicorn's threads.",
    )
    queue: int = setting(
        64, "requests", "Most predictions that wait for one of a worker's threads; then 503."
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "addresses",
        "Proxies, as addresses or networks, that are believed what they say of a client in "
        "X-Forwarded-For, -Proto, -Host and -Prefix, and of attempts in X-Attempt-Of.",
    )
    models: tuple[str, ...] = setting(
        (),
        "names",
        "Models this node serves, as `iris`, `iris@Staging`, `iris@7` or `iris@alias:champion`. "
        "Default: every model with a Production version.",
    )
    pinned: tuple[str, ...] = setting(
        (), "names", "Models that are always loaded, where BATON_MEMORY_BUDGET_MB is set."
    )
    memory_budget_mb: int = setting(
        0,
        "MiB",
        "Loaded versions of this node together: models are then loaded at their first use, and "
        "leave when others need the room. Default: all are loaded ahead.",
    )
    bundle: str = setting(
        "", "path", "Serve the version in this directory, without any registry or ledger."
    )
    fallback_dir: str = setting(
        "",
        "path",
        "A version on disk that serves, marked degraded, while the store is empty and the ledger "
        "cannot be reached.",
    )
    default_model: str = setting("", "name", "What `POST /predict` means when it names no model.")
    engines: tuple[str, ...] = setting(
        ("onnx", "prophet"), "names", "Engines that may run a version here."
    )
    poll_seconds: float = setting(1.0, "seconds", "How often the ledger and MLflow are looked at.")
    ready_seconds: float = setting(
        60.0, "seconds", "How long a worker may load a new version before it is replaced."
    )
    fetch_seconds: float = setting(600.0, "seconds", "How long fetching one version may take.")
    trial_seconds: float = setting(60.0, "seconds", "How long a version's trial may take.")
    trial_memory_mb: int = setting(4096, "MiB", "Address space a version's trial may use.")
    package_seconds: float = setting(
        300.0, "seconds", "How long converting one version that is code may take."
    )
    package_memory_mb: int = setting(
        8192, "MiB", "Address space in which a version that is code is converted."
    )
    runner_seconds: float = setting(
        10.0, "seconds", "How long one call of a version in a runner may take."
    )
    runner_memory_mb: int = setting(4096, "MiB", "Address space of one version's runner.")
    runner_batch_rows: int = setting(
        1024, "rows", "Most rows of several requests in one call of a runner; 1 joins none."
    )
    keep_versions: int = setting(3, "versions", "Verified versions kept on disk for each model.")
    max_body_bytes: int = setting(16 * 1024 * 1024, "bytes", "Largest request body.")
    max_rows: int = setting(10_000, "rows", "Most rows in one request.")
    unknown_columns: str = setting(
        "refuse", "refuse, ignore", "What to do with a column that the model does not know."
    )
    max_horizon: int = setting(1_000, "steps", "Longest forecast in one request.")
    max_pixels: int = setting(
        25_000_000, "pixels", "Most pixels of the pictures in one request, all together."
    )
    spool_mb: int = setting(
        1024, "MiB", "Most that waits on this node for the prediction log, which cannot be reached."
    )
    spool_full: str = setting(
        "refuse",
        "refuse, drop",
        "What to do with predictions once that much waits: 503, or answer and log nothing.",
    )
    monitoring: Path = setting(
        PACKAGED_MONITORING, "path", "The file that says what is kept of each model's predictions."
    )
    predictions_url: str = setting(
        "",
        "SQLAlchemy URL",
        "The prediction log; `off` is none. Default: `predictions.db` in BATON_HOME.",
        secret=True,
    )
    predictions_parquet: str = setting(
        "",
        "path or URL",
        "Where predictions also go as Parquet, as s3://bucket/path or a directory. Default: none.",
    )
    ray_address: str = setting(
        "",
        "host:port",
        "The Ray cluster of `--engine ray`, as 10.0.0.5:6379; `local` starts one on this machine "
        "while a command runs.",
    )
    rules: str = setting("", "path", "A file that changes thresholds of the monitor's rules.")
    window_seconds: float = setting(300.0, "seconds", "How long a window of the monitor is.")
    monitor_bind: str = setting("127.0.0.1:9108", "host:port", "Where the monitor's metrics are.")
    mlflow_log: str = setting("on", "on, off", "Whether windows and alerts are runs in MLflow.")
    log_level: str = setting("INFO", "level", "DEBUG, INFO, WARNING or ERROR.")
    tracking_uri: str = setting(
        "",
        "URI",
        "MLflow tracking. Default: sqlite under BATON_HOME.",
        env="MLFLOW_TRACKING_URI",
        secret=True,
    )
    registry_uri: str = setting(
        "",
        "URI",
        "MLflow registry. Default: the tracking URI.",
        env="MLFLOW_REGISTRY_URI",
        secret=True,
    )
    tracking_username: str = setting(
        "",
        "name",
        "Who a node is to an MLflow server that serves artifacts.",
        env="MLFLOW_TRACKING_USERNAME",
    )
    tracking_password: str = setting(
        "", "text", "The password to that name.", env="MLFLOW_TRACKING_PASSWORD", secret=True
    )
    s3_endpoint: str = setting(
        "",
        "URL",
        "Where `s3://` artifacts are. Default: boto3's own.",
        env="MLFLOW_S3_ENDPOINT_URL",
    )
    artifacts: str = setting(
        "",
        "path or URL",
        "Where MLflow keeps its artifacts, as s3://bucket/path or a directory: nodes read them "
        "there, not through its server, and backups hold them. Default: `artifacts` in BATON_HOME.",
    )
    backup_auth_url: str = setting(
        "",
        "SQLAlchemy URL",
        "MLflow's database of users, for backups. Default: they hold none.",
        secret=True,
    )
    experiment_name: str = setting(
        "", "name", "Experiment of every workload, not its own.", env="MLFLOW_EXPERIMENT_NAME"
    )
    model_name: str = setting(
        "", "name", "Registered model of every workload, not its own.", env="MLFLOW_MODEL_NAME"
    )

    @classmethod
    def read(
        cls, environ: Mapping[str, str] | None = None, *, dotenv: Path = Path(".env")
    ) -> Settings:
        """Read `dotenv`, then `environ` over it; raise SettingsError for a value that cannot be."""
        file = {k: v for k, v in dotenv_values(dotenv).items() if v is not None}
        layers = (os.environ if environ is None else environ, file)
        given = {
            f.name: parsed(variable(f), text, get_type_hints(cls)[f.name])
            for f in dataclasses.fields(cls)
            if (text := text_of(layers, f)) is not None
        }
        return cls(**given).resolved()

    def resolved(self) -> Settings:
        """Fill what follows from other settings, and refuse what cannot work."""
        for name, known in _CHOICES.items():
            if (got := getattr(self, name)) not in known:
                expected = " or ".join(known)
                raise SettingsError(f"BATON_{name.upper()}: expected {expected}, got {got!r}")
        home = self.home.expanduser().resolve()
        tracking = database_urls.store(self.tracking_uri or f"sqlite:///{home / 'mlflow.db'}")
        registry = database_urls.store(self.registry_uri or tracking)
        ledger = database_urls.driver(self.ledger_url) or database_urls.beside(registry)
        return dataclasses.replace(
            self,
            home=home,
            gates=self.gates.expanduser().resolve(),
            monitoring=self.monitoring.expanduser().resolve(),
            tracking_uri=tracking,
            registry_uri=registry,
            ledger_url=ledger,
            backup_auth_url=database_urls.driver(self.backup_auth_url),
            jobs_url=database_urls.driver(self.jobs_url) or f"sqlite:///{home / 'jobs.db'}",
            predictions_url=database_urls.driver(self.predictions_url)
            or f"sqlite:///{home / 'predictions.db'}",
            actor=self.actor or getpass.getuser(),
        )

    @property
    def keys_path(self) -> Path:
        """The file of API keys."""
        own = self.home / "keys.json"
        return Path(self.api_keys).expanduser().resolve() if self.api_keys else own

    @property
    def is_embedded(self) -> bool:
        """Whether the ledger is a file of this machine: then this node hosts the registrar."""
        return not self.bundle and self.ledger_url.startswith("sqlite")

    @property
    def logs_predictions(self) -> bool:
        """Whether what is predicted here is written down."""
        return self.predictions_url != OFF
