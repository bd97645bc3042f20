"""The composition root of what follows: settings in, an actor out."""

from __future__ import annotations

from registry import bootstrap
from registry.ledger import Entry
from registry.nudge import knock
from registry.projection import settle
from registry.settings import Settings
from registry.sql_jobs import SqlJobs
from training.following.actor import Following

_SETTLE_SECONDS = 30.0


def following(settings: Settings) -> Following:
    """With the real ledger, registry and queue.

    A new entry is announced on this machine, and drawn in MLflow if no registrar does. Raises
    SettingsError, Unreachable.
    """
    ports = bootstrap.ports(settings)

    def announce(entry: Entry) -> None:
        knock(settings.watcher_socket)
        knock(settings.registrar_socket)
        settle(ports, entry, seconds=_SETTLE_SECONDS)

    return Following(ports, SqlJobs(settings.jobs_url), announce=announce)
