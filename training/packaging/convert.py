"""Load a version, convert it, and hold the graph against the model, row by row.

Runs in the confined process only: loading executes what the version's files say. Called by
`__main__.py`.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from registry.bundle import Bundle, Golden
from registry.errors import NotPackaged
from registry.metadata import read_yaml
from registry.signature import Array, Signature
from training import onnx_model
from training.batching import measure
from training.packaging.rows import Rows, rows_for

_GOLDEN_ROWS = 8
_PROBABILITIES = onnx_model.OUTPUTS[1]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What the model answers to rows: each output an array of [n, …], the prediction first.

    `unsure` are rows on which rounding decides, bool [n]; `labels` the classes, if it knows any.
    """

    outputs: Mapping[str, Array]
    unsure: Array
    labels: Sequence[Any] = ()


class Converter(Protocol):
    """A loaded model of one library."""

    @property
    def rtol(self) -> float:
        """How closely the graph has to follow it."""

    def signature(self) -> Signature:
        """What it takes, where the version does not say it."""

    def answer(self, rows: Rows) -> Answered:
        """What it answers."""

    def export(self, path: Path, rows: Rows, answered: Answered) -> None:
        """Write the graph, with its outputs named and shaped as those of `answered`."""

    def feed(self, rows: Rows, path: Path) -> Mapping[str, Array]:
        """The rows as the graph takes them."""


@dataclass(frozen=True)
class Parity:
    """How far the graph was from the model at most, and how far it may be: relative to a value."""

    worst: float
    rtol: float
    atol: float = field(default=0.0)


def convert(flavour: str, version: Path, path: Path) -> dict[str, Any]:
    """Write the graph to `path`; returns what belongs into the bundle, as plain values.

    Raises NotPackaged naming what cannot be converted or where the graph answers otherwise.
    """
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        converter = _load(flavour, version)
    declared = Signature.from_mlmodel(read_yaml(version / "MLmodel"))
    signature = declared or converter.signature()
    rows = _answerable(converter, rows_for(signature, version))
    answered = converter.answer(rows)
    converter.export(path, rows, answered)
    parity = check(path, converter.feed(rows, path), answered, rtol=converter.rtol)
    golden = _golden(rows, answered, parity)
    feed = converter.feed(rows, path)
    batching = {} if Bundle.open(version).params else _batching(path, feed, parity)
    return {
        "rows": len(rows),
        "origin": rows.origin,
        "parity": dataclasses.asdict(parity),
        "golden": golden.to_json(),
        "outputs": [
            {"name": name, "type": one.dtype.name if one.dtype != object else "string"}
            for name, one in answered.outputs.items()
        ],
        "labels": [*map(str, answered.labels)],
        "batching": batching,
        "notes": _notes(heard, version),
    }


def check(path: Path, feed: Mapping[str, Array], answered: Answered, *, rtol: float) -> Parity:
    """Hold the graph against what the model answered.

    A number may be off by `rtol` of its value and of the spread of all values (their standard
    deviation; 1 for probabilities); texts and whole numbers not at all, but for rows that are
    unsure.
    Raises NotPackaged, naming the first row and output that differ.
    """
    try:
        got = onnx_model.asked(path)(feed)
    except Exception as error:  # ONNX Runtime has a class an error code and no common base
        text = str(error).replace(str(path), path.name)
        unknown = re.search(r"No Op registered for (\w+)", text)
        raise NotPackaged(
            f"{unknown[1]}: ONNX does not have this operator"
            if unknown
            else f"ONNX Runtime cannot run what came of it: {text}"
        ) from error
    worst, atol = 0.0, 0.0
    for name, expected in answered.outputs.items():
        mine = np.asarray(got[name])
        if mine.shape != expected.shape:
            raise NotPackaged(
                f"its graph answers {name} of shape {[*mine.shape]}, the model {[*expected.shape]}"
            )
        if expected.dtype.kind == "f":
            spread = 1.0 if name == _PROBABILITIES else float(np.std(expected))
            apart = _by_row(np.abs(mine.astype(np.float64) - expected))
            allowed = rtol * (np.abs(_by_row(expected)) + max(spread, rtol))
            differs = ~(apart <= allowed).all(axis=1)
            worst, atol = max(worst, float(apart.max(initial=0.0))), max(atol, rtol * spread)
        else:
            differs = _by_row(mine != expected).any(axis=1) & ~answered.unsure
        _refuse(name, np.flatnonzero(differs), expected, mine)
    return Parity(worst, rtol, max(atol, rtol * rtol))


def _by_row(values: Array) -> Array:
    """`values` [n, …] as [n, k]."""
    return np.asarray(values).reshape(len(values), -1)


def _refuse(name: str, rows: Array, expected: Array, got: Array) -> None:
    """Raise NotPackaged for the first of `rows`, if there is one."""
    if rows.size:
        row = int(rows[0])
        raise NotPackaged(
            f"its graph answers otherwise than the model: {name} of row {row}: expected "
            f"{_told(expected[row])}, got {_told(got[row])} ({rows.size} of {len(expected)} "
            "rows differ)"
        )


def _load(flavour: str, version: Path) -> Converter:
    """The model, unpickled or not: from here on code of the version may have run."""
    if flavour == "sklearn":
        from training.packaging.sklearn_model import load  # noqa: PLC0415 - heavy

        return load(version)
    from training.packaging.keras_version import load as load_keras  # noqa: PLC0415 - heavier

    return load_keras(flavour, version)


def _answerable(converter: Converter, rows: Rows) -> Rows:
    """Those rows that the model answers with finite numbers: made-up ones may be beyond it."""
    try:
        answered = converter.answer(rows)
    except NotPackaged:
        raise
    except Exception as error:
        raise NotPackaged(
            f"the model does not answer {rows.origin}: {type(error).__name__}: {error}. Register "
            "it with an input_example (and a signature) that it answers"
        ) from error
    finite = np.ones(len(rows), dtype=bool)
    for one in answered.outputs.values():
        if one.dtype.kind == "f":
            finite &= np.isfinite(one).reshape(len(one), -1).all(axis=1)
    if finite.sum() < max(1, len(rows) // 2):
        raise NotPackaged(
            f"the model answers NaN or infinity to {(~finite).sum()} of {len(rows)} rows"
        )
    return rows.take(np.flatnonzero(finite))


def _golden(rows: Rows, answered: Answered, parity: Parity) -> Golden:
    """One row, then some, with the model's own answers; none whose answer rounding decides."""
    sure = np.flatnonzero(~answered.unsure)[:_GOLDEN_ROWS]
    if not sure.size:
        raise NotPackaged("on every row its classes are equally probable: nothing can be compared")
    examples = []
    for which in (sure[:1], sure):
        some = rows.take(which)
        outputs = {name: one[which].tolist() for name, one in answered.outputs.items()}
        first, *others = outputs
        response = {"predictions": outputs[first]}
        if others:
            response["outputs"] = {name: outputs[name] for name in others}
        examples.append({"request": some.request(), "response": response})
    return Golden(tuple(examples), rtol=2 * parity.rtol, atol=2 * parity.atol)


def _batching(path: Path, feed: Mapping[str, Array], parity: Parity) -> dict[str, Any]:
    """What joint calls would gain, as for every version that is trained here."""
    return measure(onnx_model.asked(path), feed, rtol=parity.rtol, atol=parity.atol).to_json()


def _notes(heard: Sequence[warnings.WarningMessage], version: Path) -> list[str]:
    """What the library had to say when it loaded: versions that differ, most of all."""
    said = {" ".join(str(one.message).split())[:300] for one in heard
            if "Inconsistent" in one.category.__name__}  # fmt: skip
    if not (version / "serving_input_example.json").is_file():
        said.add("registered without an input example: held against made-up rows only")
    return sorted(said)


def _told(value: Any) -> str:
    text = np.array2string(np.asarray(value), precision=8, threshold=8)
    return text if len(text) < 120 else text[:117] + "..."
