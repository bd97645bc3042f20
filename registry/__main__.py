"""Commands about what is in Production: promote, rollback, retire, registrar, mlflow.

Those that only look are in `inspection.py`, shadows and splits in `splitting.py`, backups in
`backup/commands.py`, `migrate` in `migrating.py`, the prediction log's in `predicting.py`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import sys
from functools import partial

import click

from registry import bootstrap, log
from registry.announcing import announced
from registry.backup.commands import backup_command, restore_command
from registry.console import err, exits, out, print_json
from registry.errors import GatesRefused, UnknownName, UsageError
from registry.fence import fenced
from registry.heart import Heart
from registry.inspection import config_command, history_command, status_command, verify_command
from registry.lease import Lease
from registry.listener import Listener
from registry.manners import mind_manners
from registry.migrating import migrate_command
from registry.model_version import Stage
from registry.nudge import Bell, knock
from registry.packager import BackgroundPackager
from registry.predicting import predictions_group
from registry.process import cannot_listen, die_with_parent
from registry.promotion import Ports, promote
from registry.settings import Settings
from registry.splitting import shadow_command, split_command, stop_command
from registry.stop import Stop
from registry.views import print_report
from registry.withdrawal import retire, rollback


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Change and look at what is in Production.

    \b
    Examples:
      python -m registry promote iris            the newest version, through the gates
      python -m registry promote iris 3 --json
      python -m registry rollback iris
      python -m registry retire iris --reason "replaced by lilies"
      python -m registry split iris 4 --percent 10
      python -m registry status
      python -m registry migrate                 before a new release serves
    """
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)


@main.command("promote")
@click.argument("model", required=False)
@click.argument("version", type=int, required=False)
@click.option("--stage", type=click.Choice(["Production", "Staging"]), default="Production")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@exits
def promote_command(model: str | None, version: int | None, stage: str, as_json: bool) -> None:
    """Judge a version and, if its gates pass, make it what serves.

    Without VERSION the newest; without MODEL what was trained last here. Exit code 3: refused.
    """
    settings = Settings.read()
    ports = bootstrap.ports(settings)
    if model is None:
        model, version = _trained_last(settings)
    candidate = ports.client.version(model, version)
    try:
        promoted = promote(ports, candidate, actor=settings.actor, stage=Stage(stage))
    except GatesRefused as error:
        _show_refusal(ports, candidate.name, error, as_json=as_json)
        raise SystemExit(3) from error
    shown = announced(ports, settings, promoted.entry)
    if as_json:
        print_json({"report": promoted.report.to_json(), **shown})
    else:
        print_report(promoted.report)


@main.command("rollback")
@click.argument("model")
@click.option("--to", type=int, help="The version to go back to; it must have served before.")
@click.option("--reason", default="", help="Why, for the history.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a sentence.")
@exits
def rollback_command(model: str, to: int | None, reason: str, as_json: bool) -> None:
    """Go back to the newest earlier version that was never rolled back from.

    No quality gates, only integrity. Exit code 3: there is none, and nothing moved.
    """
    settings = Settings.read()
    ports = bootstrap.ports(settings)
    if model not in ports.client.models():
        raise UnknownName("model", model, ports.client.models())
    entry = rollback(ports, model, actor=settings.actor, to=to, reason=reason)
    shown = announced(ports, settings, entry)
    if as_json:
        print_json(shown)
    else:
        version = entry.route.version if entry.route else None
        out.print(f"{model}: v{version} serves as seq {entry.key} ({entry.reason})")


@main.command("retire")
@click.argument("model")
@click.option("--reason", default="", help="Why, for the history.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a sentence.")
@exits
def retire_command(model: str, reason: str, as_json: bool) -> None:
    """Take Production away: nothing serves until a promotion, a rollback or a click.

    Exit code 3: nothing served, and nothing moved.
    """
    settings = Settings.read()
    ports = bootstrap.ports(settings)
    if ports.ledger.head(model) is None and model not in ports.client.models():
        raise UnknownName("model", model, ports.client.models())
    entry = retire(ports, model, actor=settings.actor, reason=reason)
    shown = announced(ports, settings, entry)
    if as_json:
        print_json(shown)
    else:
        out.print(f"{model}: retired as seq {entry.key} ({entry.reason})")


for apart in (
    shadow_command,
    split_command,
    stop_command,
    status_command,
    history_command,
    verify_command,
    config_command,
    migrate_command,
    backup_command,
    restore_command,
    predictions_group,
):
    main.add_command(apart)


@main.command("registrar")
@exits
def registrar_command() -> None:
    """Run the registrar: project entries onto MLflow, adopt changes made by hand there.

    One of several works, the others wait for its lease. `python -m registry.heart` is its health
    check; SIGTERM ends it, and gives the lease back, when what it is doing is done.
    """
    from registry.registrar import Registrar  # noqa: PLC0415 - only this command needs it
    from registry.sentry import Sentry  # noqa: PLC0415 - as above
    from registry.sql_prediction_counts import prediction_counts  # noqa: PLC0415 - as above

    die_with_parent()
    settings = Settings.read()
    log.to_json(settings.log_level)
    stop = Stop.on(signal.SIGTERM)
    bell = Bell(settings.registrar_socket)
    ports = bootstrap.ports(settings)
    ring = partial(knock, settings.registrar_socket)
    packager = BackgroundPackager(ports.packager, ring)
    ports = dataclasses.replace(ports, packager=packager)
    heart = Heart(settings.registrar_heart)
    lease = Lease(ports.ledger, answered=heart.beat)
    counts = prediction_counts(settings)
    registrar = Registrar(
        fenced(ports, lease),
        announce=lambda: knock(settings.watcher_socket),
        sentry=Sentry(counts, ledger=ports.ledger, gates=ports.gates, knock=ring)
        if counts
        else None,
    )
    listener = Listener(settings.ledger_url, ring)
    listener.start()
    registrar.run(lease, bell, stop, poll_seconds=settings.poll_seconds)
    heart.stop()
    listener.close()
    if counts:
        counts.close()
    bell.close()


@main.command("mlflow")
@click.option("--port", type=int, default=5000, show_default=True)
@exits
def mlflow_command(port: int) -> None:
    """Run MLflow's own server and UI on the same registry, on this machine only."""
    settings = Settings.read()
    if not settings.tracking_uri.startswith("sqlite"):
        raise UsageError(f"the registry has a server of its own: {settings.tracking_uri}")
    if (why := cannot_listen("127.0.0.1", port)) is not None:
        raise UsageError(f"port {port}: {why}; name another with PORT=…")
    settings.artifacts_dir.mkdir(parents=True, exist_ok=True)
    address = f"http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning"
    out.print(f"MLflow: {address} (Ctrl-C ends it)", soft_wrap=True)
    out.print("Stages: Model registry → a version, with 'New model registry UI' turned off")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    stores = ["--backend-store-uri", settings.tracking_uri, "--no-serve-artifacts"]
    roots = ["--default-artifact-root", str(settings.artifacts_dir), "--workers", "1"]
    mind_manners()
    # Its job runners take gigabytes and are for features that a registry does not need.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    os.execv(sys.executable, [*command, *stores, *roots, "--port", str(port)])  # noqa: S606


def _trained_last(settings: Settings) -> tuple[str, int]:
    """What `training run` left a note of."""
    try:
        note = json.loads((settings.home / "last_trained.json").read_text(encoding="utf-8"))
        return str(note["model"]), int(note["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "nothing was trained here yet: name a model, or run `make train`"
        ) from error


def _show_refusal(ports: Ports, model: str, error: GatesRefused, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"error": "GatesRefused", "message": str(error), "report": error.report.to_json()}
        )
        return
    print_report(error.report)
    head = ports.ledger.head(model)
    route = head.route if head else None
    stays = f"v{route.version} stays in Production" if route else "nothing is in Production"
    err.print(f"refused: {stays}", style="red")


if __name__ == "__main__":
    main(prog_name="python -m registry")
