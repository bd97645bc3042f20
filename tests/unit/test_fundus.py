"""Drawn eyes: the same for the same seed, with what they are said to have, and no easy way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from registry.errors import UnknownName, UsageError
from training.data.dataset import LABEL, PICTURE, fingerprint
from training.data.fundus import CAVEAT, Fundus
from training.data.source import source
from training.images.anatomy import CLASSES, Eye, sample
from training.images.camera import CAMERAS
from training.images.report import by_mean_colour
from training.images.retina import draw
from training.workloads import get

ABOUT = get("eye_disease").about
CAMERA, OTHER = CAMERAS


def eyes(label: str, count: int = 60) -> list[Eye]:
    return [sample(np.random.default_rng((5, n)), label) for n in range(count)]


def drawn(folder: Path, *, seed: int = 1, camera: str = CAMERA):
    return Fundus(folder=folder, images=8, size=32, seed=seed).load(camera, ABOUT.fields)


def test_the_same_seed_draws_the_same_picture_and_another_seed_another():
    first, again, other = (
        draw(seed, "glaucoma", size=48, camera=CAMERA)[0] for seed in ((1, 2), (1, 2), (1, 3))
    )
    assert first.dtype == np.uint8
    assert first.shape == (48, 48, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_another_camera_shows_the_same_eye_otherwise():
    (one, eye), (two, same) = (draw((1, 2), "normal", size=48, camera=c) for c in (CAMERA, OTHER))
    assert eye == same
    assert not np.array_equal(one, two)


def test_each_disease_has_its_findings_and_no_other():
    for eye in eyes("normal"):
        assert (eye.grade, eye.veil, eye.lens_blur) == (0, 0, 0)
    for eye in (*eyes("normal"), *eyes("glaucoma"), *eyes("cataract")):
        assert (eye.microaneurysms, eye.haemorrhages, eye.exudates) == ((), (), ())
    assert all(eye.veil > 0 and eye.lens_blur > 0 for eye in eyes("cataract"))
    assert all(eye.veil == 0 for eye in eyes("diabetic_retinopathy"))


def test_lesions_come_by_grade():
    ill = eyes("diabetic_retinopathy")
    assert {eye.grade for eye in ill} == {1, 2, 3}
    assert all(eye.microaneurysms for eye in ill)
    assert not any(eye.haemorrhages for eye in ill if eye.grade == 1)
    assert all(eye.haemorrhages for eye in ill if eye.grade > 1)


def test_cups_are_larger_in_glaucoma_and_some_are_not():
    """A threshold on the truth itself would be wrong now and then: nobody can be right always."""
    healthy = np.array([eye.cup_ratio for eye in eyes("normal", 400)])
    ill = np.array([eye.cup_ratio for eye in eyes("glaucoma", 400)])
    assert ill.mean() > healthy.mean() + 0.2
    assert ill.min() < healthy.max()


def test_the_disc_is_bright_and_the_macula_dark_where_the_truth_says_so():
    size, radius = 96, 96 / 2 * np.mean(CAMERAS[CAMERA].field)
    for n in range(20):
        picture, eye = draw((9, n), "normal", size=size, camera=CAMERA)
        disc, macula = (
            picture[
                round(size / 2 + spot.y * radius) + np.arange(-2, 3)[:, None],
                round(size / 2 + spot.x * radius) + np.arange(-2, 3),
                1,
            ].mean()
            for spot in (eye.disc, eye.macula)
        )
        assert disc > 1.3 * macula


def test_colour_alone_does_not_tell():
    """Better than chance by something, far from good: tint and haze are everybody's."""
    labels = np.arange(240) % len(CLASSES)
    shown = np.stack(
        [draw((3, n), CLASSES[label], size=32, camera=CAMERA)[0] for n, label in enumerate(labels)]
    )
    told = by_mean_colour(shown[:160], labels[:160], shown[160:])
    assert (told == labels[160:]).mean() < 0.6


def test_the_source_draws_as_many_of_each_class_and_says_what_they_are(tmp_path):
    data = drawn(tmp_path / "a")
    assert data.frame[LABEL].tolist() == [0, 1, 2, 3] * 2
    assert all(Path(path).is_file() for path in data.frame[PICTURE])
    assert data.caveat == CAVEAT == "synthetic, not clinical"
    assert all(CAVEAT in text for text in (data.name, data.credit, data.origin))


def test_the_fingerprint_is_of_the_pictures_wherever_they_lie(tmp_path):
    first, elsewhere = drawn(tmp_path / "a"), drawn(tmp_path / "b")
    assert first.fingerprint == elsewhere.fingerprint
    assert drawn(tmp_path / "c", seed=2).fingerprint != first.fingerprint
    assert drawn(tmp_path / "d", camera=OTHER).fingerprint != first.fingerprint
    path = Path(elsewhere.frame[PICTURE].iloc[3])
    path.write_bytes(path.read_bytes() + b"\0")
    assert fingerprint(elsewhere.frame) != first.fingerprint


def test_a_camera_that_there_is_not_is_refused_with_those_that_exist(tmp_path):
    with pytest.raises(UnknownName, match=f"{CAMERA}, {OTHER}"):
        Fundus(folder=tmp_path, images=8, size=32, seed=1).check("kodak")


def test_a_workload_without_pictures_cannot_have_them_drawn():
    with pytest.raises(UsageError, match=r"no parameter 'images'.*use it with eye_disease"):
        source("fundus", params={"n_estimators": 3})
    with pytest.raises(UsageError, match="takes no file"):
        source("fundus", file=Path("x"))
