"""Commands that only look: status, history, verify, config. They change nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import click
from rich.table import Table

from registry import bootstrap
from registry.chain import first_break
from registry.console import err, exits, out, print_json
from registry.errors import ChainBroken, UnknownName
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from registry.variables import variable
from registry.views import brief, moment, setting_text, status_row, version_text


@click.command("status")
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@exits
def status_command(model: str | None, as_json: bool) -> None:
    """What the ledger says, what MLflow shows, what each node serves."""
    settings = Settings.read()
    ports = bootstrap.ports(settings)
    heads = {e.model: e for e in ports.ledger.heads() if model in (None, e.model)}
    if model is not None and model not in heads:
        raise UnknownName("model with a Production version", model, sorted(heads))
    rows = {name: status_row(ports, entry) for name, entry in sorted(heads.items())}
    nodes = ports.ledger.statuses()
    if as_json:
        print_json({"models": rows, "nodes": nodes})
        return
    table = Table("model", "serves", "seq", "since", "by", "door", "MLflow shows", "state")
    for name, row in rows.items():
        entry = row["entry"]
        table.add_row(
            name,
            version_text(entry["version"]),
            entry["seq"],
            entry["at"],
            entry["actor"],
            entry["door"],
            row["mlflow"],
            row["state"],
        )
    out.print(table)
    _print_more(rows)
    table = Table("node", "model", "serves", "seq", "state", "heard from")
    for node, body in nodes.items():
        for name, held in body.get("models", {}).items():
            if model in (None, name):
                table.add_row(
                    node,
                    name,
                    version_text(held["version"]),
                    held["seq"],
                    held["refused"] or "serving",
                    moment(body["at_ms"]),
                )
    out.print(table)


def _print_more(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """What is beside what serves, what to do, and who refuses, by model."""
    for name, row in rows.items():
        if beside := row["entry"]["arm"]:
            out.print(f"{name}: beside it {beside['text']}", soft_wrap=True)
        if row["todo"]:
            err.print(f"{name}: {row['state']}: {row['todo']}", soft_wrap=True)
        for node, why in row["refused"].items():
            err.print(f"{name}: refused by {node}: {why}", soft_wrap=True)


@click.command("history")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@exits
def history_command(model: str, as_json: bool) -> None:
    """Every change of a model's Production version, newest first."""
    ports = bootstrap.ports(Settings.read())
    entries = ports.ledger.history(model)
    if not entries:
        raise UnknownName("model with a history", model, [e.model for e in ports.ledger.heads()])
    if as_json:
        print_json({"model": model, "entries": [brief(entry) for entry in entries]})
        return
    table = Table("seq", "what", "version", "when", "by", "door", "why")
    for entry in entries:
        table.add_row(
            str(entry.key),
            entry.kind,
            " + ".join(version_text(route.version) for route in entry.routes) or version_text(None),
            moment(entry.at_ms),
            entry.actor,
            entry.door,
            entry.reason,
        )
    out.print(table)


@click.command("verify")
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
@exits
def verify_command(model: str | None, as_json: bool) -> None:
    """Check that the ledger is what was appended: every hash, every chain, no gap.

    Exit code 5 names the first entry that is not. The hashes printed here, kept elsewhere, show
    later that nothing up to them was rewritten.
    """
    chains = SqlLedger(Settings.read().ledger_url).chains()
    if model is not None and model not in chains.heads and not chains.of(model):
        raise UnknownName("model with a history", model, sorted(chains.heads))
    if (broken := first_break(chains, model)) is not None:
        raise ChainBroken(str(broken))
    rows = {
        name: {
            "entries": len(links),
            "seq": str(links[-1].key),
            "hash": links[-1].stored_hash,
        }
        for name in sorted(chains.heads)
        if model in (None, name) and (links := chains.of(name))
    }
    if as_json:
        print_json({"verified": rows})
        return
    for name, row in rows.items():
        end = f"up to seq {row['seq']}, hash {row['hash']}"
        out.print(f"{name}: {row['entries']} entries as appended, {end}", soft_wrap=True)


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@exits
def config_command(as_json: bool) -> None:
    """Every setting: variable, value here, unit, one line of help. Secrets are hidden."""
    settings = Settings.read()
    rows = [
        {
            "variable": variable(f),
            "value": setting_text(getattr(settings, f.name), secret=f.metadata["secret"]),
            "unit": f.metadata["unit"],
            "help": f.metadata["help"],
        }
        for f in dataclasses.fields(settings)
    ]
    if as_json:
        print_json({"settings": rows})
        return
    table = Table("variable", "value", "unit", "what")
    for row in rows:
        table.add_row(*row.values())
    out.print(table)
