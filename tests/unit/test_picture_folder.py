"""Pictures of one's own: a directory a class, and what is wrong named by its path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from registry.errors import DataInvalid, UsageError
from registry.settings import Settings
from tests.servingfakes.pictures import picture, png_of
from training.data.checks import check
from training.data.dataset import LABEL, PICTURE
from training.data.folder import Folder
from training.data.fundus import CAVEAT
from training.images.__main__ import main
from training.images.anatomy import CLASSES
from training.job import Plan
from training.workloads import get

WORKLOAD = get("eye_disease")
FIELDS = WORKLOAD.about.fields


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten pictures of each class."""
    made = tmp_path / "eyes"
    for label in CLASSES:
        (made / label).mkdir(parents=True)
        for n in range(10):
            form, end = ("PNG", "png") if n % 2 else ("JPEG", "jpg")
            (made / label / f"{n}.{end}").write_bytes(picture((n, 9, 9), form=form))
    return made


def test_a_directory_is_a_class_and_rows_are_named_by_path(folder: Path) -> None:
    data = Folder(folder).load("", FIELDS)
    assert (data.name, data.source, data.caveat) == ("eyes", "folder", "")
    assert data.frame[LABEL].value_counts().to_dict() == dict.fromkeys(range(4), 10)
    assert data.frame.loc["glaucoma/3.png", PICTURE] == str(folder / "glaucoma" / "3.png")
    assert data.frame.loc["glaucoma/3.png", LABEL] == CLASSES.index("glaucoma")
    check(data, WORKLOAD.requirements({}))


def test_hidden_files_are_left_out(folder: Path) -> None:
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "normal" / ".thumb").write_bytes(b"x")
    assert len(Folder(folder).load("", FIELDS).frame) == 40


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected a whole picture"),
        (b"no picture", "expected a whole picture"),
        (picture(form="JPEG", size=(90, 90))[:-300], "expected a whole picture"),
        (png_of(50_000, 10), "50000 x 10 pixels; expected at most 20000 a side"),
        (png_of(9_000, 9_000), "9000 x 9000 pixels"),
    ],
    ids=["empty", "text", "cut off", "50,000 wide", "81 million"],
)
def test_what_is_no_picture_is_refused_by_its_path(folder: Path, data: bytes, said: str) -> None:
    (folder / "normal" / "bad.png").write_bytes(data)
    with pytest.raises(DataInvalid, match=rf"normal/bad\.png: {said}"):
        Folder(folder).load("", FIELDS)


def test_a_format_that_serving_does_not_read_is_not_learnt_from(folder: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "normal" / "bad.gif")
    with pytest.raises(DataInvalid, match=r"normal/bad\.gif: expected a whole picture"):
        Folder(folder).load("", FIELDS)


def test_a_class_of_another_name_is_refused(folder: Path) -> None:
    (folder / "normal").rename(folder / "healthy")
    with pytest.raises(DataInvalid, match=r"row healthy/0\.jpg: label: expected one of .*glaucoma"):
        Folder(folder).load("", FIELDS)


def test_a_missing_class_is_refused(folder: Path) -> None:
    for path in (folder / "glaucoma").iterdir():
        path.unlink()
    data = Folder(folder).load("", FIELDS)
    with pytest.raises(DataInvalid, match="label: expected at least 4 different values, got 3"):
        check(data, WORKLOAD.requirements({}))


def test_a_directory_within_a_class_is_refused(folder: Path) -> None:
    (folder / "normal" / "more").mkdir()
    with pytest.raises(DataInvalid, match="normal/more: expected a picture, got no plain file"):
        Folder(folder).load("", FIELDS)


def test_an_empty_directory_and_none_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="no picture; expected a directory of pictures a class"):
        Folder(tmp_path).load("", FIELDS)
    with pytest.raises(UsageError, match="there is no such directory"):
        Folder(tmp_path / "x").check("")


def test_a_directory_alone_means_the_source_folder(folder: Path, tmp_path: Path) -> None:
    plan = Plan.of("eye_disease", Settings(home=tmp_path), file=folder)
    assert (plan.source, plan.series, plan.file) == ("folder", "eyes", str(folder))


def test_drawn_pictures_in_a_folder_go_on_saying_that_they_are_drawn(tmp_path: Path) -> None:
    """By whatever way they are learnt from."""
    folder = tmp_path / "drawn"
    done = CliRunner().invoke(main, [str(folder), "--each", "2", "--size", "32"])
    assert done.exit_code == 0, done.output
    data = Folder(folder).load("", FIELDS)
    assert len(data.frame) == 8
    assert (data.name, data.caveat) == (f"drawn ({CAVEAT})", CAVEAT)
    again = CliRunner().invoke(main, [str(folder)])
    assert again.exit_code == 2
