"""The image kind: pictures in, a label with its probability each.

    {"image": "<base64>"}                                    one picture, also as {"b64": "…"}
    {"instances": [{"image": {"b64": "…"}}, {"b64": "…"}]}   several, as TensorFlow Serving has them

MLflow's other envelopes with a column `image` are read too. A picture that came outside of JSON
stands there as bytes. The graph's first output is a probability for each label of
`baton/model_schema.json`; scaling the pixels is the graph's own first step.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from registry.errors import (
    BundleInvalid,
    NoProbabilities,
    RequestTooLarge,
    SignatureMismatch,
    WrongShape,
)
from registry.looks import looks
from registry.params import Given, Param
from registry.signature import Column, Signature, Tensor, describe
from serving.kinds import envelopes
from serving.kinds.finite import refuse_non_finite
from serving.kinds.pictures import Picture, Wanted, blank
from serving.kinds.tabular import Seen

NAME: Final = "image"
B64: Final = "b64"
_FORMS: Final = (NAME, *envelopes.FORMS)
_BARE: Final = ("instances", "inputs")  # where a picture may stand by itself
_EXPECTED: Final = 'a picture in base64, as text or as {"b64": "…"}'
_OUTPUTS: Final = ("label", "confidence", "probabilities")
_LAYOUTS: Final = {"NHWC": False, "NCHW": True}  # whether the channels come first
_DTYPES: Final = ("uint8", "float32")
_CHANNELS: Final = (1, 3)
# Pictures decoded and in the graph at once: memory grows with them, and one core gains little.
_TOGETHER: Final = 8
_SLACK: Final = 1e-3  # of float32, beyond 0 and 1
_SIDE: Final = 64  # of a synthetic picture, where the graph takes any


class ImageEngine(Protocol):
    """What this kind needs of an engine."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Named arrays in, named outputs out."""


class Image:
    """One model of pictures."""

    def __init__(
        self,
        engine: ImageEngine,
        *,
        schema: Mapping[str, Any],
        max_rows: int,
        max_pixels: int,
        ignore_unknown: bool = False,
    ) -> None:
        """`schema` has `labels`, and `layout` where the graph's shape does not tell.

        `max_pixels` counts all pictures of a request. Raises BundleInvalid if `schema` and graph
        are no classifier of pictures.
        """
        self._engine = engine
        self._labels = _labels(schema)
        self._wanted = _wanted(engine.inputs, schema.get("layout"))
        self._max_rows, self._max_pixels = max_rows, max_pixels
        self._ignore_unknown = ignore_unknown
        if self._wanted.pixels > max_pixels:
            raise BundleInvalid(
                f"it sees pictures of {self._wanted.width} x {self._wanted.height} pixels; "
                f"BATON_MAX_PIXELS allows {max_pixels} here"
            )
        alone = engine.inputs[0].shape[0] == 1 or not self._wanted.is_fixed
        self._together = 1 if alone else _TOGETHER
        self.params: Sequence[Param] = ()
        self.signature = Signature((Column(NAME, "binary"),), outputs=_OUTPUTS)

    def predict(self, body: Mapping[str, Any], seen: Seen | None = None) -> dict[str, Any]:
        """Answer `body` with one prediction a picture; see the module for its forms."""
        pictures = self._pictures(body)
        told: list[dict[str, Any]] = []
        answer = self._answer(pictures, None if seen is None else told)
        if seen is not None:
            seen.update((name, [one[name] for one in told]) for name in told[0])
        return answer

    def tensors(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """Labels and confidences; probabilities in the order of the labels."""
        rows = answer["predictions"]
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in _OUTPUTS}
        columns["probabilities"] = [list(each.values()) for each in columns["probabilities"]]
        return columns

    def repeat(self, body: Mapping[str, Any]) -> None:
        """Ask every picture twice in one request: one alone hides a graph that answers one."""
        self._answer(self._pictures(body) * 2)

    def synthetic(self) -> Mapping[str, Any]:
        """One gray picture."""
        width, height = (
            side if side > 0 else _SIDE for side in (self._wanted.width, self._wanted.height)
        )
        return {NAME: base64.b64encode(blank(width, height)).decode()}

    def _pictures(self, body: Mapping[str, Any]) -> list[Picture]:
        """What `body` holds, none of it decoded; refused if decoding it would be too much."""
        pictures, pixels = [], 0
        for field, cell in self._cells(body):
            picture = Picture(field, _bytes(field, cell))
            pixels += max(picture.pixels, self._wanted.pixels)
            if pixels > self._max_pixels:
                raise RequestTooLarge(
                    f"{field}: {picture.width} x {picture.height} pixels; all pictures of a "
                    f"request together have at most {self._max_pixels}, and count with no less "
                    "than the model sees of them: send smaller ones, or several requests"
                )
            pictures.append(picture)
        return pictures

    def _cells(self, body: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        """Each picture as it came, with the name of where it stood."""
        form = envelopes.form(body, _FORMS)
        Given((), ()).arrays(body.get("params"))  # none
        if form == NAME:
            return [(NAME, body[NAME])]
        value = body[form]
        if isinstance(value, list) and form in _BARE:
            value = [{NAME: item} if _is_cell(item) else item for item in value]
        names, columns, rows = envelopes.table(form, value, (NAME,))
        if rows == 0:
            raise SignatureMismatch(form, expected="at least one picture", got="none")
        if rows > self._max_rows:
            raise RequestTooLarge(
                f"{form}: {rows} pictures, at most {self._max_rows} in one request: send several"
            )
        unknown = [name for name in names if name != NAME]
        if NAME not in names or (unknown and not self._ignore_unknown):
            got = f"column {unknown[0]!r}" if unknown else "nothing"
            raise SignatureMismatch(form, expected=f"a column {NAME!r}", got=got)
        cells = columns[list(names).index(NAME)]
        return [(f"{NAME}[{number}]", cell) for number, cell in enumerate(cells)]

    def _answer(
        self, pictures: Sequence[Picture], told: list[dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        """One prediction each, and what is remembered of it; few are held decoded at a time."""
        parts = range(0, len(pictures), self._together)
        asked = [self._probabilities(pictures[at : at + self._together], told) for at in parts]
        return {"predictions": [self._told(row) for part in asked for row in part.tolist()]}

    def _probabilities(
        self, pictures: Sequence[Picture], told: list[dict[str, Any]] | None
    ) -> NDArray[Any]:
        """[pictures, labels]."""
        arrays = [picture.array(self._wanted) for picture in pictures]
        if told is not None:
            first = self._wanted.channels_first
            rows = (array.transpose(1, 2, 0) if first else array for array in arrays)
            told.extend(
                {**one.told(), **looks(row)} for one, row in zip(pictures, rows, strict=True)
            )
        batch = np.stack(arrays)
        output = self._engine.outputs[0]
        values = np.asarray(self._engine.run({self._engine.inputs[0].name: batch})[output])
        shape = (len(pictures), len(self._labels))
        if values.shape != shape or values.dtype.kind != "f":
            got = f"{values.dtype}{list(values.shape)}"
            raise WrongShape(
                f"output {output!r}: expected a probability each, float{list(shape)}, got {got}"
            )
        refuse_non_finite(output, values)
        if values.min() < -_SLACK or values.max() > 1 + _SLACK:
            raise NoProbabilities(
                f"output {output!r}: expected probabilities, got {values.min():.3g} to "
                f"{values.max():.3g}: the graph has to end with softmax or sigmoid"
            )
        return values.clip(0, 1)

    def _told(self, probabilities: Sequence[float]) -> dict[str, Any]:
        named = dict(zip(self._labels, probabilities, strict=True))
        label = max(named, key=named.__getitem__)
        return {"label": label, "confidence": named[label], "probabilities": named}


def _labels(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes, in the order of the graph's output."""
    labels = schema.get("labels")
    texts = isinstance(labels, list) and all(isinstance(one, str) and one for one in labels)
    if not labels or not texts or len(set(labels)) != len(labels):
        raise BundleInvalid(
            f"baton/model_schema.json: labels: expected a list of distinct names, one a class, got "
            f"{describe(labels)}"
        )
    return tuple(labels)


def _wanted(inputs: Sequence[Tensor], layout: Any) -> Wanted:
    """What the graph's one input asks of a picture."""
    tensors = ", ".join(f"{tensor.name}: {tensor}" for tensor in inputs)
    shape = inputs[0].shape if len(inputs) == 1 else ()
    if len(shape) != 4 or shape[0] not in (-1, 1) or inputs[0].dtype not in _DTYPES:
        raise BundleInvalid(
            f"the graph's inputs: expected one of [-1, height, width, channels], uint8 or float32, "
            f"got {tensors}"
        )
    first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
    if layout is None and first != last:
        layout = "NCHW" if first else "NHWC"
    known = isinstance(layout, str) and layout in _LAYOUTS
    if not known or not (first if _LAYOUTS[layout] else last):
        raise BundleInvalid(
            f"the graph's input {tensors}: which dimension are its 1 or 3 channels? Say layout "
            f"NHWC or NCHW in baton/model_schema.json; there is {describe(layout)}"
        )
    _, *sides = shape
    channels = sides.pop(0 if _LAYOUTS[layout] else 2)
    return Wanted(
        height=sides[0],
        width=sides[1],
        channels=channels,
        channels_first=_LAYOUTS[layout],
        dtype=inputs[0].dtype,
    )


def _is_cell(item: Any) -> bool:
    """Whether this is a picture by itself, and no row with a column of pictures."""
    return isinstance(item, (str, bytes)) or (isinstance(item, dict) and item.keys() == {B64})


def _bytes(field: str, cell: Any) -> bytes:
    """A picture's bytes, as they came or out of their base64."""
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, dict) and cell.keys() == {B64}:
        field, cell = f"{field}.{B64}", cell[B64]
    if not isinstance(cell, str):
        raise SignatureMismatch(field, expected=_EXPECTED, got=describe(cell))
    try:
        return base64.b64decode(cell, validate=True)
    except ValueError as error:
        got = "a data URL: send what is behind its comma" if cell[:5] == "data:" else str(error)
        raise SignatureMismatch(field, expected=_EXPECTED, got=got) from error
