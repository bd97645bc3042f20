"""The table of bad versions: how each folder is made, which gate refuses it, and in which words."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.bundle import Golden
from registry.policy import Policy
from tests.servingfakes import bad_models, models
from tests.servingfakes.versions import folder, mlmodel

GOOD = models.linear(3)
MARKER = "it ran"
_EVIL = "open({!r}, 'w').close()"


@dataclass(frozen=True, kw_only=True)
class Bad:
    """`make` fills a folder that does not exist yet; `reason` is part of what is shown."""

    make: Callable[[Path], object]
    reason: str
    gate: str = "servable"
    policy: Policy = field(default_factory=Policy)
    seconds: float = 60
    memory_mb: int = 4096


def _model(content: bytes, **files: Any) -> Callable[[Path], object]:
    """A version of one model file; keywords are JSON files, `__` is `/`."""
    texts = {f"{name.replace('__', '/')}.json": json.dumps(body) for name, body in files.items()}
    return lambda path: folder(path, content, files=texts)


def _mlmodel(text: str) -> Callable[[Path], object]:
    return lambda path: folder(path, GOOD, files={"MLmodel": text})


def _external(location: str, kind: str = "") -> Callable[[Path], object]:
    """A graph whose numbers are in another file, and that file; `outside` is beside the folder."""

    def make(path: Path) -> None:
        outside = path.parent / "outside.bin"
        outside.write_bytes(bad_models.weights())
        folder(path, bad_models.external(location.format(outside=outside)))
        if kind == "symlink":
            (path / "w.bin").symlink_to(outside)
        elif kind == "hard link":
            os.link(outside, path / "w.bin")
        elif kind == "folder":
            (path / "w").symlink_to(outside.parent, target_is_directory=True)

    return make


def _bundle(model_file: str) -> Callable[[Path], object]:
    """A bundle of ours that names a model file elsewhere, which is there."""

    def make(path: Path) -> None:
        outside = path.parent / "outside.onnx"
        outside.write_bytes(GOOD)
        named = model_file.format(outside=outside)
        own = {"kind": "tabular", "engine": "onnx", "model_file": named}
        folder(path, GOOD, files={"baton/bundle.json": json.dumps(own)})

    return make


def _pipe(path: Path) -> None:
    os.mkfifo(folder(path, GOOD) / "pipe")


def _zip_for_a_model(path: Path) -> None:
    folder(path, b"PK\x03\x04" + bytes(1000))


def _no_model(path: Path) -> None:
    (folder(path, GOOD, files={"MLmodel": mlmodel([])}) / "model.onnx").unlink()


class _Marker:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self._path,))


def write_pickle(path: Path) -> None:
    """A pickle that leaves a marker beside the folder, registered as scikit-learn's."""
    text = "flavors: {sklearn: {pickled_model: model.pkl, serialization_format: cloudpickle}}"
    path.mkdir()
    (path / "MLmodel").write_text(text)
    (path / "model.pkl").write_bytes(pickle.dumps(_Marker(path.parent / MARKER)))


def write_loader(path: Path) -> None:
    """Code that leaves a marker beside the folder, named as what loads the version."""
    path.mkdir()
    (path / "code").mkdir()
    (path / "MLmodel").write_text(
        "flavors: {python_function: {loader_module: evil, code: code, data: model.pkl}}"
    )
    for name in ("code/evil.py", "evil.py", "sitecustomize.py", "onnxruntime.py"):
        (path / name).write_text(_EVIL.format(str(path.parent / MARKER)))


_ALIASES = "\n".join(
    ["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))]
)
_LOAD = "ONNX Runtime cannot load it"
_OUTSIDE = "named as the model file, but there is no such file inside"
_WRONG = Golden(({"request": {"instances": [[2]]}, "response": {"predictions": [[7]]}},))
_OWN = {"kind": "tabular", "engine": "onnx", "model_file": "model.onnx"}
_NEW_COLUMN = [{"name": name, "type": "double", "required": True} for name in ("x", "z")]

BAD: Mapping[str, Bad] = {
    "truncated ONNX": Bad(make=_model(GOOD[: len(GOOD) // 2]), reason=_LOAD),
    "empty ONNX": Bad(make=_model(b""), reason=_LOAD),
    "garbage ONNX": Bad(make=_model(b"\x00garbage\xff" * 99), reason=_LOAD),
    "unknown opset": Bad(make=_model(bad_models.unknown_opset()), reason="Opset 999"),
    "infinite output": Bad(make=_model(models.not_a_number()), reason="NaN or Infinity"),
    "NaN output": Bad(
        make=_model(models.not_a_number(), serving_input_example={"inputs": [[0]]}),
        reason="NaN or Infinity",
    ),
    "wrong shape: one row for all": Bad(
        make=_model(bad_models.one_row_for_all()), reason="expected 2 rows as asked, got 1"
    ),
    "wrong shape: two rows for each": Bad(
        make=_model(bad_models.every_row_twice()), reason="expected 1 rows as asked, got 2"
    ),
    "wrong shape: one number": Bad(
        make=_model(bad_models.one_number()), reason="expected 2 rows as asked, got 1"
    ),
    "crash on load": Bad(make=_model(bad_models.crashes_on_load()), reason="crashed (signal 8)"),
    "hang on load": Bad(make=_model(bad_models.hangs_on_load()), reason="hung", seconds=3),
    "30 s a prediction": Bad(make=_model(models.endless(10**8)), reason="hung", seconds=3),
    "20 GB on load": Bad(
        make=_model(bad_models.huge(20)), reason="Failed to allocate memory", memory_mb=2048
    ),
    "external data by ..": Bad(make=_external("../outside.bin"), reason="escapes model directory"),
    "external data by an absolute name": Bad(
        make=_external("{outside}"), reason="Absolute path not allowed"
    ),
    "external data that is missing": Bad(
        make=_external("w.bin"), reason="data path does not exist"
    ),
    "external data through a symlink": Bad(
        make=_external("w.bin", "symlink"), gate="complete", reason="w.bin: a link"
    ),
    "external data through a linked folder": Bad(
        make=_external("w/outside.bin", "folder"), gate="complete", reason="w: a link"
    ),
    "external data through a hard link": Bad(
        make=_external("w.bin", "hard link"), gate="complete", reason="w.bin: a hard link (2 names)"
    ),
    "a model file named by ..": Bad(
        make=_bundle("../outside.onnx"), gate="complete", reason=_OUTSIDE
    ),
    "a model file of an absolute name": Bad(
        make=_bundle("{outside}"), gate="complete", reason=_OUTSIDE
    ),
    "MLmodel naming a model file by ..": Bad(
        make=_mlmodel("flavors: {onnx: {data: ../../outside.onnx}}"),
        gate="complete",
        reason=_OUTSIDE,
    ),
    "a pipe in the artifact": Bad(make=_pipe, gate="complete", reason="pipe: a link or special"),
    "a zip for a model": Bad(make=_zip_for_a_model, reason=_LOAD),
    "MLmodel that unfolds to 9^11 texts": Bad(
        make=_mlmodel(f"{_ALIASES}\nflavors: {{onnx: {{data: *a11}}}}"),
        gate="complete",
        reason="more than 16 aliases",
    ),
    "missing artifact": Bad(make=lambda path: None, gate="complete", reason="no artifact at"),
    "missing model file": Bad(make=_no_model, gate="complete", reason=_OUTSIDE),
    "a pickle that writes a marker": Bad(make=write_pickle, reason="it needs engine 'runner'"),
    "MLmodel naming its own loader module": Bad(
        make=write_loader, reason="it needs engine 'runner'"
    ),
    "signature incompatible with the current one": Bad(
        make=lambda path: folder(
            path, models.linear(3, columns=2), files={"MLmodel": mlmodel(_NEW_COLUMN)}
        ),
        gate="signature",
        reason="column 'z' is newly required",
    ),
    "golden examples answered wrongly": Bad(
        make=_model(GOOD, baton__bundle=_OWN, baton__golden=_WRONG.to_json()),
        reason="golden example 0",
    ),
    "slower than its max_latency_ms": Bad(
        make=_model(models.endless(200_000), serving_input_example={"inputs": [[0]]}),
        gate="latency",
        policy=Policy(max_latency_ms=1),
        reason="expected a golden request answered in ≤ 1 ms, got",
    ),
}
