"""Commands about a second version beside the one that serves: shadow, split, stop."""

from __future__ import annotations

import click

from registry import bootstrap
from registry.announcing import announced
from registry.arms import Plan, begin, stop
from registry.console import err, exits, out, print_json
from registry.errors import GatesRefused, UnknownName
from registry.ledger import Role
from registry.settings import Settings
from registry.views import print_report

_PERCENT = click.option("--percent", type=float, required=True, help="Of requests: above 0 to 100.")
_HOURS = click.option(
    "--hours", type=float, default=24.0, show_default=True, help="Until it ends by itself."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")


@click.command("shadow")
@click.argument("model")
@click.argument("version", type=int)
@_PERCENT
@_HOURS
@_JSON
@exits
def shadow_command(
    model: str, version: int, *, percent: float, hours: float, as_json: bool
) -> None:
    """Let VERSION see copies of requests; its answers are compared, and sent to nobody.

    It must load and answer; its other gates are told, and do not decide. Exit code 3: refused.

    \b
    Examples:
      python -m registry shadow iris 3 --percent 20
      python -m registry shadow iris 3 --percent 100 --hours 1
    """
    _begin(model, version, Plan(role=Role.SHADOW, percent=percent, hours=hours), as_json=as_json)


@click.command("split")
@click.argument("model")
@click.argument("version", type=int)
@_PERCENT
@_HOURS
@click.option(
    "--sticky",
    default="",
    help="header:NAME: requests with the same value there get the same version.",
)
@_JSON
@exits
def split_command(
    model: str, version: int, *, percent: float, hours: float, sticky: str, as_json: bool
) -> None:
    """Let VERSION answer a share of requests beside the one that serves.

    It answers people: it passes its gates as for a promotion. Exit code 3: refused.

    \b
    Examples:
      python -m registry split iris 3 --percent 10
      python -m registry split iris 3 --percent 10 --sticky header:X-User-Id --hours 72
    """
    plan = Plan(role=Role.SPLIT, percent=percent, hours=hours, sticky=sticky)
    _begin(model, version, plan, as_json=as_json)


@click.command("stop")
@click.argument("model")
@click.option("--reason", default="", help="Why, for the history.")
@_JSON
@exits
def stop_command(model: str, *, reason: str, as_json: bool) -> None:
    """End the shadow or split of MODEL; the version that serves answers everything again.

    Exit code 3: there was none, and nothing moved.
    """
    settings = Settings.read()
    ports = bootstrap.ports(settings)
    if model not in ports.client.models():
        raise UnknownName("model", model, ports.client.models())
    entry = stop(ports, model, actor=settings.actor, reason=reason)
    shown = announced(ports, settings, entry)
    if as_json:
        print_json(shown)
    else:
        version = entry.route.version if entry.route else None
        out.print(f"{model}: v{version} serves alone, as seq {entry.key} ({entry.reason})")


def _begin(model: str, version: int, plan: Plan, *, as_json: bool) -> None:
    settings = Settings.read()
    ports = bootstrap.ports(settings)
    candidate = ports.client.version(model, version)
    try:
        begun = begin(ports, candidate, plan, actor=settings.actor)
    except GatesRefused as error:
        if as_json:
            body = {"error": "GatesRefused", "message": str(error)}
            print_json({**body, "report": error.report.to_json()})
        else:
            print_report(error.report)
            err.print("refused: what serves goes on alone", style="red")
        raise SystemExit(3) from error
    shown = announced(ports, settings, begun.entry)
    if as_json:
        print_json({"report": begun.report.to_json(), **shown})
    else:
        print_report(begun.report)
        out.print(f"{model}: {begun.entry.reason}, as seq {begun.entry.key}", soft_wrap=True)
