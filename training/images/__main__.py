"""python -m training.images FOLDER: drawn pictures to look at, to ask a server, to train on."""

from __future__ import annotations

from pathlib import Path

import click

from registry.console import err, exits
from registry.errors import UsageError
from training.data.folder import CAVEAT_FILE
from training.data.fundus import CAVEAT
from training.images.anatomy import CLASSES
from training.images.camera import CAMERAS
from training.images.pictures import encode
from training.images.retina import draw


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--each", default=10, show_default=True, type=click.IntRange(min=1))
@click.option("--size", default=128, show_default=True, type=click.IntRange(32, 2048))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0))
@click.option("--camera", default=next(iter(CAMERAS)), type=click.Choice([*CAMERAS]))
@exits
def main(*, folder: Path, each: int, size: int, seed: int, camera: str) -> None:
    """Write EACH pictures of each class into FOLDER/<class>/. Synthetic, not clinical.

    \b
    Examples:
      python -m training.images pictures
      python -m training.images drifted --camera other_camera --each 100
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: expected a new or empty directory, there is something in it")
    for number in range(each * len(CLASSES)):
        label = CLASSES[number % len(CLASSES)]
        picture, _ = draw((seed, number), label, size=size, camera=camera)
        path = folder / label / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(picture))
    (folder / CAVEAT_FILE).write_text(CAVEAT + "\n", encoding="utf-8")
    err.print(f"{each} pictures of each of {len(CLASSES)} classes in {folder}: {CAVEAT}")


if __name__ == "__main__":
    main()
