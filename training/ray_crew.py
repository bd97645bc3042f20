"""A crew of a Ray cluster: a task takes one of its processors, wherever that is.

The cluster's processes get Baton's code from this one: the packages as they are here, uploaded by
Ray once a job. The libraries are theirs: each machine has the environment of `make setup GROUP=ray`
and starts Ray from it. The addresses and keys that this process goes by travel with the tasks, not
with Ray's description of the job, which its dashboard shows.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from registry.errors import Unreachable, UsageError
from registry.settings import Settings
from training.crew import ONE_THREAD, Closing, WorkerLost

T = TypeVar("T")
R = TypeVar("R")

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("registry", "serving", "training")
_CARRIED = ("AWS_", "BATON_", "MLFLOW_")
LOCAL = "local"
_CONNECT_SECONDS = 10


class RayCrew(Closing, Generic[T, R]):
    """Processes of a cluster; this one must not be in another at the same time."""

    def __init__(self, ray: Any, work: Callable[[T], R], *, size: int, code: Path) -> None:
        """Use `joined`."""
        self._ray, self._work, self._code, self.size = ray, work, code, size
        self._environ = {k: v for k, v in os.environ.items() if k.startswith(_CARRIED)}
        # A task that is lost is done again by who handed it out, who knows whose fault it was.
        self._remote = ray.remote(num_cpus=1, max_retries=0)(_do)
        self._out: set[Any] = set()

    @classmethod
    def joined(cls, work: Callable[[T], R], settings: Settings, *, size: int | None) -> Self:
        """Connect to the cluster the settings name; `size` is at most what it has processors.

        Raises Unreachable if it does not answer, and UsageError where its machines could not reach
        what this one keeps in a file.
        """
        import ray  # noqa: PLC0415 - only in an environment of its own

        local = {"num_cpus": size or os.cpu_count()} if settings.ray_address == LOCAL else {}
        if not local:
            knock(settings.ray_address)
        code = _code()
        try:
            ray.init(
                address=settings.ray_address,
                runtime_env={"working_dir": str(code), "env_vars": ONE_THREAD},
                log_to_driver=False,
                logging_level="error",
                **local,
            )
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            shutil.rmtree(code, ignore_errors=True)
            raise Unreachable(f"Ray at {settings.ray_address}: {error}") from error
        nodes = [node for node in ray.nodes() if node["Alive"]]
        try:
            refuse_files(settings, {str(node["NodeManagerHostname"]) for node in nodes})
        except UsageError:
            ray.shutdown()
            shutil.rmtree(code, ignore_errors=True)
            raise
        processors = sum(int(node["Resources"].get("CPU", 0)) for node in nodes)
        return cls(ray, work, size=max(1, min(size or processors, processors)), code=code)

    def submit(self, task: T) -> Any:
        """See `Crew.submit`."""
        ticket = self._remote.remote(self._work, task, self._environ)
        self._out.add(ticket)
        return ticket

    def wait(self, tickets: Sequence[Any]) -> Sequence[Any]:
        """See `Crew.wait`."""
        done, _ = self._ray.wait([*tickets], num_returns=1, fetch_local=False)
        return [*done]

    def result(self, ticket: Any) -> R:
        """See `Crew.result`."""
        self._out.discard(ticket)
        try:
            result: R = self._ray.get(ticket)
        except self._ray.exceptions.RayTaskError:  # a bug of ours, with its traceback
            raise
        except self._ray.exceptions.RayError as error:
            words = str(error).strip().partition("\n")[0]
            raise WorkerLost(f"its process or machine was lost: {words}") from error
        return result

    def close(self, *, at_once: bool) -> None:
        """See `Crew.close`."""
        if at_once:
            for ticket in self._out:
                self._ray.cancel(ticket, force=True)
        self._ray.shutdown()
        shutil.rmtree(self._code, ignore_errors=True)


def knock(address: str) -> None:
    """Raise Unreachable if nobody listens there: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        if not host or not port.isdecimal():
            raise UsageError(f"BATON_RAY_ADDRESS: expected host:port or local, got {address!r}")
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise Unreachable(
            f"Ray at {address}: {error}; is `ray start --head` running there?"
        ) from error


def refuse_files(settings: Settings, hosts: set[str]) -> None:
    """Raise UsageError if what MLflow keeps is a file of this machine, and there are others."""
    here = os.uname().nodename
    for name in ("tracking_uri", "registry_uri"):
        if getattr(settings, name).startswith("sqlite") and hosts - {here}:
            others = ", ".join(sorted(hosts - {here}))
            raise UsageError(
                f"MLFLOW_{name.upper()}: a sqlite file of this machine, which {others} cannot "
                "reach; set it to an MLflow server or a PostgreSQL database"
            )


def _do(work: Callable[[T], R], task: T, environ: Mapping[str, str]) -> R:
    """In a process of the cluster: a task, with the addresses of who handed it out."""
    from training.__main__ import quieten  # noqa: PLC0415 - in the other process

    os.environ.update(environ)
    quieten()
    return work(task)


def _code() -> Path:
    """A copy of our packages, and of nothing that was made beside them."""
    code = Path(tempfile.mkdtemp(prefix="baton-code-"))
    for name in _PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_ROOT / name, code / name, ignore=ignored)
    return code
