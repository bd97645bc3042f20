"""A version of a network on pictures: MLflow's Keras model, the graph that serves, and examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from registry.bundle import FOLDER, Golden
from registry.looks import looks
from training import keras_model, onnx_model
from training.data.dataset import LABEL, PICTURE
from training.images import pictures
from training.images.anatomy import CLASSES
from training.tracking import save_model
from training.workload import Answer, Array, Material, Packaged, Request

Ask = Callable[[Sequence[Request]], Sequence[Answer]]
_GOLDEN_TOLERANCE = 1e-4
_TIMED_ROWS = 64
_SURE = 0.02  # a label is only held to where the second likeliest is so much behind


def package(model: Any, material: Material, folder: Path, *, ask: Ask) -> Packaged:
    """Write all of it into `folder`; `ask` answers requests as the Keras model does.

    Raises StepFailed if the graph answers otherwise on any held-out picture.
    """
    held_out = pictures.read(material.holdout[PICTURE].tolist(), model.input_shape[1])
    answers = keras_model.predict(model, held_out)
    save_model(
        "keras",
        model,
        folder,
        run_id=material.run_id,
        example=held_out[:1],
        answer=answers[:1],
        requirements=keras_model.requirements(),
    )
    graph = folder / FOLDER / "model.onnx"
    keras_model.convert(model, graph)
    _parity(graph, held_out, answers, material.artifacts)
    requests = _golden_requests(material)
    examples = [
        {"request": asked, "response": _held_to(answer)}
        for asked, answer in zip(requests, ask(requests), strict=True)
    ]
    return Packaged(
        engine="onnx",
        model_file=f"{FOLDER}/model.onnx",
        schema={
            "inputs": [{"name": "image", "type": "picture", "required": True}],
            "outputs": [
                {"name": "label", "type": "string"},
                {"name": "confidence", "type": "float"},
                {"name": "probabilities", "type": "float", "shape": [-1, len(CLASSES)]},
            ],
            "labels": [*CLASSES],
            "example": requests[0],
            **({"caveat": material.caveat} if material.caveat else {}),
        },
        golden=Golden(tuple(examples), rtol=_GOLDEN_TOLERANCE, atol=_GOLDEN_TOLERANCE),
        feed={onnx_model.input_names(graph)[0]: held_out[:_TIMED_ROWS]},
        logged=_looks(material.train[PICTURE].tolist(), model.input_shape[1]),
    )


def _looks(paths: Sequence[str], size: int) -> dict[str, Array]:
    """Those of what was learnt from, as the network saw it: [n] each."""
    found = [looks(pictures.read([path], size)[0]) for path in paths]
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def _parity(graph: Path, held_out: Array, answers: Array, artifacts: Path) -> None:
    """Prove it, and show the graph and the proof with the run."""
    worst = keras_model.check_parity(graph, held_out, answers)
    copy = artifacts / "onnx_model" / "eye_disease.onnx"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(graph.read_bytes())
    proof = {"rows": len(held_out), "probabilities_max_difference": worst}
    copy.with_name("parity.json").write_text(json.dumps(proof) + "\n", encoding="utf-8")


def _golden_requests(material: Material) -> list[Request]:
    """A held-out picture of each class, one by one."""
    firsts = material.holdout.drop_duplicates(LABEL)
    return [{"image": pictures.as_text(path)} for path in firsts[PICTURE]]


def _held_to(answer: Answer) -> Answer:
    """The answer, without its label where another machine's rounding could make it another."""
    [told] = answer["predictions"]
    _, second = sorted(told["probabilities"].values())[-2:][::-1]
    if told["confidence"] - second >= _SURE:
        return answer
    return {"predictions": [{"probabilities": told["probabilities"]}]}
