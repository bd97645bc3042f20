"""What can be trained: `python -m training list`."""

from __future__ import annotations

import click
from rich.table import Table

from registry.console import exits, out, print_json


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def list_command(as_json: bool) -> None:
    """List the workloads with their parameters and the series that come with the code."""
    from training.data.sample import Sample  # noqa: PLC0415 - pandas would slow down --help
    from training.workloads import find  # noqa: PLC0415 - as above

    known = {name: workload.about for name, workload in find().items()}
    if as_json:
        described = {
            name: {
                "experiment": about.experiment,
                "model": about.model,
                "kind": about.kind,
                "parameters": {
                    p.name: {"default": p.default, "help": p.help} for p in about.parameters
                },
            }
            for name, about in known.items()
        }
        print_json({"workloads": described, "sample_series": Sample().series})
        return
    for about in known.values():
        table = Table(
            "parameter",
            "default",
            "meaning",
            title=f"{about.name} → {about.model}",
            caption=f"experiment {about.experiment}",
            title_justify="left",
            caption_justify="left",
        )
        for p in about.parameters:
            table.add_row(p.name, str(p.default), p.help)
        out.print(table)
    out.print(f"sample series: {', '.join(Sample().series)}")
