"""A small convolutional network that tells classes of pictures: built, and fitted with care.

Pixels from 0 to 255 go in and probabilities come out: scaling is its first layer and softmax its
last, so that whoever serves it cannot forget them. About 85,000 weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from training import keras_model
from training.images.augment import augment
from training.workload import Array

INPUT = "image"
_WIDTHS = (16, 32, 64, 96)
_DROPOUT = 0.25
_LAST_RATE = 0.02  # of the first one, after the last epoch


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How it is learnt; it ends early when the validation part got no better for `patience`."""

    epochs: int
    batch_size: int
    learning_rate: float
    patience: int


def build(size: int, classes: int) -> Any:
    """uint8 [n, size, size, 3] → probabilities [n, classes]."""
    layers = keras_model.keras().layers
    inputs = layers.Input((size, size, 3), dtype="uint8", name=INPUT)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for width in _WIDTHS:
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)
    # An average tells how hazy it all is, a maximum that there is a lesion at all.
    pooled = [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)]
    x = layers.Dropout(_DROPOUT)(layers.Concatenate()(pooled))
    outputs = layers.Dense(classes, activation="softmax", name="probabilities")(x)
    return keras_model.keras().Model(inputs, outputs)


def fit(
    model: Any,
    learnt: tuple[Array, Array],
    validated: tuple[Array, Array],
    schedule: Schedule,
    *,
    seed: int,
) -> dict[str, list[float]]:
    """Fit `model` on (pictures [n, s, s, 3], labels [n]); its curves, a number an epoch.

    Rare classes count as much as frequent ones. The weights kept are those of the epoch with the
    lowest loss on the validation part.
    """
    keras = keras_model.keras()
    batches = _batches(learnt, schedule.batch_size, seed)
    steps = schedule.epochs * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(schedule.learning_rate, steps, alpha=_LAST_RATE)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    early = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=schedule.patience, restore_best_weights=True
    )
    done = model.fit(
        batches,
        validation_data=validated,
        epochs=schedule.epochs,
        class_weight=class_weights(learnt[1]),
        callbacks=[early],
        shuffle=False,  # `batches` does
        verbose=0,
    )
    return {name: [float(value) for value in values] for name, values in done.history.items()}


def class_weights(labels: Array) -> Mapping[int, float]:
    """By class n / (k · count): every class has the same weight altogether."""
    found, counts = np.unique(labels, return_counts=True)
    weights = len(labels) / (len(found) * counts)
    return {int(label): float(weight) for label, weight in zip(found, weights, strict=True)}


def _batches(learnt: tuple[Array, Array], size: int, seed: int) -> Any:
    """Keras' view of `Batches`."""

    class Dataset(keras_model.keras().utils.PyDataset):  # type: ignore[misc]  # untyped
        """One epoch after the other, in this thread."""

        def __init__(self) -> None:
            super().__init__()
            self._batches = Batches(*learnt, size=size, seed=seed)

        def __len__(self) -> int:
            return len(self._batches)

        def __getitem__(self, index: int) -> tuple[Array, Array]:
            return self._batches[index]

        def on_epoch_end(self) -> None:
            self._batches.next_epoch()

    return Dataset()


class Batches:
    """Shuffled and augmented anew each epoch; the same ones for the same seed."""

    def __init__(self, pictures: Array, labels: Array, *, size: int, seed: int) -> None:
        """`size` pictures a batch, the last one may be smaller."""
        self._pictures, self._labels, self._size = pictures, labels, size
        self._seed, self._epoch = seed, -1
        self.next_epoch()

    def __len__(self) -> int:
        """Batches of an epoch."""
        return math.ceil(len(self._labels) / self._size)

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        """Batch `index` of this epoch, the same however often it is asked for."""
        rows = self._order[index * self._size : (index + 1) * self._size]
        rng = np.random.default_rng((self._seed, self._epoch, index + 1))
        return augment(self._pictures[rows], rng), self._labels[rows]

    def next_epoch(self) -> None:
        """Another order, and other chances."""
        self._epoch += 1
        rng = np.random.default_rng((self._seed, self._epoch))
        self._order = rng.permutation(len(self._labels))
