"""Reports on a classifier of pictures, made with one whose answers are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from training import probabilities
from training.images.anatomy import CLASSES
from training.images.network import Batches, class_weights
from training.images.package import _held_to
from training.images.report import Judged, by_mean_colour, write_history
from training.images.saliency import occlusion
from training.images.show import Shown, contact_sheet

CAVEAT = "synthetic, not clinical"
RNG = np.random.default_rng(2)
PICTURES = RNG.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
TRUTH = np.arange(12) % 4


def certain(labels, sure: float = 0.97):
    """Probabilities that say `labels` with this confidence."""
    rest = (1 - sure) / (len(CLASSES) - 1)
    return np.where(np.eye(len(CLASSES), dtype=bool)[labels], sure, rest)


def judged(labels, sure: float = 0.97) -> Judged:
    """A classifier that answers `labels`, or the first of them for anything else it is asked."""

    def predict(batch):
        told = labels if len(batch) == len(labels) else np.full(len(batch), labels[0])
        return certain(told, sure)

    names = [f"{n}.png" for n in range(len(TRUTH))]
    return Judged.of(predict, PICTURES, TRUTH, names=names)


def test_a_classifier_that_is_always_right_has_the_best_of_everything():
    metrics = judged(TRUTH, sure=1.0).metrics()
    assert metrics.pop("ece") == pytest.approx(0)
    assert set(metrics) == {"auc", *(f"recall_{name}" for name in CLASSES)}
    assert set(metrics.values()) == {1.0}


def test_confidence_without_accuracy_is_a_calibration_error():
    """Always 0.97 sure, right in a quarter of the cases."""
    assert judged(np.zeros(12, int)).metrics()["ece"] == pytest.approx(0.97 - 0.25)


def test_the_recall_of_each_class_is_its_own():
    told = TRUTH.copy()
    told[TRUTH == 2] = 3
    metrics = judged(told).metrics()
    assert [metrics[f"recall_{name}"] for name in CLASSES] == [1, 1, 0, 1]


def test_the_area_under_the_curve_counts_pairs():
    truth = np.array([0, 0, 1, 1])
    second = np.array([0.1, 0.4, 0.35, 0.8])
    assert probabilities.auc(truth, np.stack([1 - second, second], 1)) == pytest.approx(0.75)
    assert probabilities.auc(truth, np.full((4, 2), 0.5)) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="at least two classes"):
        probabilities.auc(np.zeros(4, int), np.full((4, 2), 0.5))


def test_a_class_that_does_not_occur_has_no_recall():
    found = probabilities.recalls(np.array([0, 0]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert found[0] == 0.5
    assert np.isnan(found[1])


def test_covering_what_an_answer_rests_on_costs_the_answer():
    """A classifier that looks at one corner alone."""

    def corner(batch):
        bright = batch[:, :8, :8].mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - bright, bright], axis=1)

    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:8, :8] = 255
    heat = occlusion(corner, picture, 1)
    assert heat.shape == (16, 16)
    assert heat[:2, :2].min() > 0.3
    assert np.abs(heat[4:, 4:]).max() == 0


def test_reports_are_written_and_say_what_the_data_is(tmp_path):
    told = TRUTH.copy()
    told[5] = (told[5] + 1) % 4
    judged(told).write(tmp_path, caveat=CAVEAT)
    stored = json.loads((tmp_path / "confusion_matrix.json").read_text())
    assert stored["caveat"] == CAVEAT
    assert stored["labels"] == [*CLASSES]
    assert np.trace(stored["matrix"]) == 11
    assert stored["matrix"][TRUTH[5]][told[5]] == 1
    drawn = {path.name for path in (tmp_path / "plots").iterdir()}
    assert drawn == {"confusion_matrix.png", "wrong.png", "reliability.png", "saliency.png"}


def test_wrong_answers_are_shown_the_surest_first():
    answered = certain(np.zeros(12, int), sure=0.6)
    answered[6] = certain(np.array([1]), sure=0.9)
    names = [str(n) for n in range(12)]
    one = Judged(
        predict=lambda batch: answered, pictures=PICTURES, truth=TRUTH, names=names,
        answered=answered,
    )  # fmt: skip
    worst = one._worst()
    assert worst[0] == 6
    assert sorted(worst) == np.flatnonzero(TRUTH != 0).tolist()
    assert one._shown(6).caption == "6\ndiabetic_retinopathy 0.90\nis glaucoma"


def test_without_a_wrong_answer_the_sheet_is_there_and_without_a_right_one_no_saliency(tmp_path):
    judged(TRUTH).write(tmp_path / "right", caveat="")
    assert (tmp_path / "right" / "plots" / "wrong.png").is_file()
    assert "caveat" not in json.loads((tmp_path / "right" / "confusion_matrix.json").read_text())
    judged((TRUTH + 1) % 4).write(tmp_path / "wrong", caveat="")
    assert not (tmp_path / "wrong" / "plots" / "saliency.png").exists()


def test_a_sheet_grows_with_its_pictures(tmp_path):
    heights = []
    for count in (1, 7):
        path = tmp_path / f"{count}.png"
        contact_sheet([Shown(PICTURES[0], "x")] * count, "t", path)
        heights.append(Image.open(path).height)
    assert heights[1] > 1.5 * heights[0]


def test_curves_are_kept_as_numbers_too(tmp_path):
    history = {name: [3.0, 1.0, 2.0] for name in ("loss", "val_loss", "accuracy", "val_accuracy")}
    write_history(history, tmp_path, caveat=CAVEAT)
    assert json.loads((tmp_path / "history.json").read_text()) == history
    assert (tmp_path / "plots" / "learning.png").is_file()


def test_the_mean_colour_tells_what_differs_in_colour():
    labels = np.arange(40) % 2
    shown = np.where(labels[:, None, None, None] == 1, 200, 50).astype(np.uint8)
    shown = np.broadcast_to(shown, (40, 8, 8, 3)) + RNG.integers(0, 9, (40, 8, 8, 3), np.uint8)
    assert (by_mean_colour(shown[:30], labels[:30], shown[30:]) == labels[30:]).all()


def test_a_batch_is_the_same_however_often_it_is_asked_for_and_another_epoch_is_another():
    batches = Batches(PICTURES, TRUTH, size=5, seed=3)
    assert len(batches) == 3
    first, again = batches[0], batches[0]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert sorted(np.concatenate([batches[n][1] for n in range(3)])) == sorted(TRUTH)
    batches.next_epoch()
    assert not np.array_equal(batches[0][0], first[0])
    same = Batches(PICTURES, TRUTH, size=5, seed=3)
    assert np.array_equal(same[0][0], first[0])


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    weights = class_weights(np.array([0, 0, 0, 1]))
    assert weights == {0: pytest.approx(4 / 6), 1: 2.0}


def test_a_golden_answer_holds_to_a_label_only_where_it_is_clear():
    clear = {"label": "a", "confidence": 0.6, "probabilities": {"a": 0.6, "b": 0.4}}
    close = {"label": "a", "confidence": 0.505, "probabilities": {"a": 0.505, "b": 0.495}}
    assert _held_to({"predictions": [clear]}) == {"predictions": [clear]}
    assert _held_to({"predictions": [close]}) == {
        "predictions": [{"probabilities": close["probabilities"]}]
    }
