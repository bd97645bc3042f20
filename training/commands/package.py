"""Convert a version that somebody else registered: `python -m training package`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from registry.console import exits, out, print_json
from registry.errors import UsageError
from registry.settings import Settings
from training import apart

if TYPE_CHECKING:
    from training.packaging.package import Made

_NEEDS = ("pandas", "sklearn", "skl2onnx")


@click.command("package")
@click.argument("model")
@click.argument("version", type=int)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def package_command(model: str, version: int, as_json: bool) -> None:
    """Convert VERSION of MODEL, of scikit-learn or Keras, to ONNX that answers the same.

    The version stays as it is; what was made is kept as the artifacts of a run, and the tag
    baton.package names it: from then on promotions judge, and nodes serve, that in its place.
    Loading such a version executes code of its files, so that is done in a confined process.

    Exit codes: 2 it does not exist or libraries are missing, 4 MLflow is out of reach, 5 it cannot
    be converted.
    """
    if names := apart.absent(_NEEDS):
        raise UsageError(
            f"{model} v{version}: converting needs {', '.join(names)}, not installed here; "
            "make setup GROUP=training"
        )
    from training.packaging.package import package  # noqa: PLC0415 - pandas would slow down --help

    made = package(Settings.read(), model, version)
    if as_json:
        print_json(made.to_json())
    else:
        _show(made)


def _show(made: Made) -> None:
    """What was made and what it was held against, for people."""
    out.print(f"{made.version}: converted to ONNX, {made.package.address}", soft_wrap=True)
    out.print(
        f"{made.rows} rows agree, the largest difference is {made.largest_error:.1e} "
        f"({made.origin})",
        soft_wrap=True,
    )
    out.print(f"isolation of what loaded it: {made.isolation}", soft_wrap=True)
    for note in made.notes:
        out.print(f"note: {note}", soft_wrap=True)
