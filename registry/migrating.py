"""The command that brings our databases up to this code: `python -m registry migrate`."""

from __future__ import annotations

from dataclasses import asdict

import click

from registry.console import exits, out, print_json
from registry.database import Kept, Migrated
from registry.database_urls import without_password
from registry.grants import roles
from registry.jobs_database import KEPT as JOBS
from registry.ledger_database import KEPT as LEDGER
from registry.outcomes_database import KEPT as OUTCOMES
from registry.predictions_database import KEPT as PREDICTIONS
from registry.predictions_database import address, is_kept
from registry.settings import Settings


@click.command("migrate")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
@exits
def migrate_command(as_json: bool) -> None:
    """Bring our databases up to this code's schema, with their grants.

    As the role that owns the tables, before the new code serves: what still runs goes on. Does
    nothing a second time; two at once are one after the other.
    """
    settings = Settings.read()
    done = {}
    all_of_them = [(LEDGER, settings.ledger_url), (JOBS, settings.jobs_url)]
    if is_kept(settings):
        all_of_them += [(PREDICTIONS, address(settings)), (OUTCOMES, address(settings))]
    for kept, url in all_of_them:
        done[kept.schema.part] = migrated = kept.migrate(url)
        if not as_json:
            out.print(_told(kept, url, migrated), soft_wrap=True)
    if as_json:
        print_json({part: asdict(migrated) for part, migrated in done.items()})


def _told(kept: Kept, url: str, migrated: Migrated) -> str:
    """What was done, in one line."""
    where = f"{kept.noun} in {without_password(url)}"
    if migrated.now > kept.schema.newest:
        newest = kept.schema.newest
        return f"{where}: schema {migrated.now} is newer than this code's {newest}: left as it is"
    if migrated.before is None:
        what = f"made, schema {migrated.now}"
    elif migrated.before == migrated.now:
        what = f"has schema {migrated.now} already"
    else:
        what = f"changed from schema {migrated.before} to {migrated.now}"
    if not url.startswith("postgresql"):
        return f"{where}: {what}"
    if migrated.roles:
        return f"{where}: {what}; granted to {', '.join(migrated.roles)}"
    wanted = ", ".join(roles(kept.schema.part))
    return f"{where}: {what}; nothing granted: there are not all of {wanted}"
