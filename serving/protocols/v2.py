"""The Open Inference Protocol, version 2, over REST: named tensors in, named tensors out.

JSON tensors and the binary tensor extension, as Triton's and KServe's clients send them. A model
with a signature of columns takes a tensor for each column, or all of them side by side in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from registry.errors import MalformedRequest, SignatureMismatch, UnsupportedMediaType
from registry.signature import describe
from serving.problems import Problem
from serving.protocols import Answered, Header
from serving.protocols.tensors import (
    from_binary,
    from_json,
    named,
    texts,
    to_binary,
    v2_type,
)
from serving.servable import Servable
from serving.strict_json import is_json, load_object

JSON_LENGTH: Final = "Inference-Header-Content-Length"
_JSON: Final = {"Content-Type": "application/json"}
_BINARY: Final = "application/octet-stream"
_DUMP: Final = orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True, slots=True)
class Output:
    """One tensor that is asked for."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class V2Question:
    """Tensors by name; `outputs` are those asked for, all of them if none is."""

    tensors: Mapping[str, NDArray[Any]]
    identity: str = ""
    outputs: tuple[Output, ...] = ()
    all_binary: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = field(default=None)

    def body(self, servable: Servable) -> Mapping[str, Any]:
        """The kind's own form of these tensors; parameters that the model has are its params."""
        said = {
            p.name: self.parameters[p.name] for p in servable.params if p.name in self.parameters
        }
        form = self._form(servable)
        return {**form, "params": said} if said else form

    def _form(self, servable: Servable) -> Mapping[str, Any]:
        tensors = self.tensors
        if servable.kind != "image":  # pictures are the only BYTES that are no text
            tensors = {name: texts(name, array) for name, array in tensors.items()}
        if tensors.keys() == {"horizon"}:
            return {"horizon": _only("horizon", tensors["horizon"])}
        columns = [c.name for c in servable.signature.columns] if servable.signature else []
        if columns and len(tensors) == 1:
            [(name, array)] = tensors.items()
            if name not in columns and array.ndim == 2:
                return {"instances": array.tolist()}
        if columns:
            return {"inputs": {name: _column(name, array) for name, array in tensors.items()}}
        return {"inputs": {name: array.tolist() for name, array in tensors.items()}}

    def encode(self, answered: Answered) -> tuple[Mapping[str, str], bytes]:
        """The tensors that were asked for, in JSON or behind it."""
        arrays = named(answered.servable.tensors(answered.result))
        wanted = self.outputs or tuple(Output(name, self.all_binary) for name in arrays)
        tensors, blobs = [], []
        for one in wanted:
            if one.name not in arrays:
                raise SignatureMismatch(
                    "outputs", expected=f"of {', '.join(arrays)}", got=describe(one.name)
                )
            array = arrays[one.name]
            tensor = {
                "name": one.name,
                "datatype": v2_type(array.dtype),
                "shape": list(array.shape),
            }
            if one.binary:
                blob = to_binary(array)
                blobs.append(blob)
                tensors.append({**tensor, "parameters": {"binary_data_size": len(blob)}})
            else:
                tensors.append({**tensor, "data": array.ravel().tolist()})
        text = orjson.dumps(
            {
                "model_name": answered.model,
                "model_version": answered.version,
                "id": self.identity or answered.prediction_id,
                "outputs": tensors,
            },
            option=_DUMP,
        )
        if not blobs:
            return _JSON, text
        return {"Content-Type": _BINARY, JSON_LENGTH: str(len(text))}, b"".join([text, *blobs])


class V2:
    """`POST /v2/models/<name>[/versions/<version>]/infer`."""

    endpoint: Final = "v2"

    def read(self, body: bytes, header: Header) -> V2Question:
        """See `Protocol.read`. JSON without a Content-Type is taken: Triton's client sends none."""
        if encoding := header("Content-Encoding"):
            raise UnsupportedMediaType(f"Content-Encoding: expected none, got {encoding}")
        length = header(JSON_LENGTH)
        content_type = header("Content-Type")
        if content_type and not is_json(content_type) and not length:
            raise UnsupportedMediaType(
                f"Content-Type: expected application/json, or {_BINARY} with {JSON_LENGTH}, "
                f"got {content_type}"
            )
        text, blobs = _split(body, length)
        asked = load_object(text)
        parameters = _object("parameters", asked.get("parameters", {}))
        all_binary = parameters.get("binary_data_output") is True
        return V2Question(
            _inputs(asked.get("inputs"), blobs),
            _text("id", asked.get("id", "")),
            _outputs(asked.get("outputs", []), binary=all_binary),
            all_binary,
            parameters,
        )

    def refuse(self, problem: Problem) -> tuple[int, Mapping[str, str], bytes]:
        """A text under `error`."""
        body = orjson.dumps({"error": problem.detail})
        return problem.status.value, {**problem.headers, **_JSON}, body


def metadata(model: str, version: str, servable: Servable) -> dict[str, Any]:
    """What the protocol tells of a model: its tensors, of which the outputs are an answer's."""
    answer = named(servable.tensors(servable.answer_to_example))
    return {
        "name": model,
        "versions": [version],
        "platform": f"{servable.engine}_{servable.kind}",
        "inputs": _declared(servable),
        "outputs": [
            {"name": name, "datatype": v2_type(array.dtype), "shape": [-1, *array.shape[1:]]}
            for name, array in answer.items()
        ],
    }


def _declared(servable: Servable) -> list[dict[str, Any]]:
    signature = servable.signature
    if signature is None:
        return []
    columns = [
        {"name": c.name, "datatype": v2_type(c.dtype), "shape": [-1]} for c in signature.columns
    ]
    tensors = [
        {"name": t.name, "datatype": v2_type(np.dtype(t.dtype)), "shape": list(t.shape)}
        for t in signature.tensors
    ]
    return columns + tensors


def _split(body: bytes, length: str | None) -> tuple[bytes, memoryview]:
    """The JSON, and the tensors behind it."""
    if length is None:
        return body, memoryview(b"")
    if not length.isascii() or not length.isdigit() or int(length) > len(body):
        raise MalformedRequest(
            f"{JSON_LENGTH}: expected at most the body's {len(body)} bytes, got {length}"
        )
    return body[: int(length)], memoryview(body)[int(length) :]


def _inputs(listed: Any, blobs: memoryview) -> dict[str, NDArray[Any]]:
    if not isinstance(listed, list) or not listed:
        raise MalformedRequest(f"inputs: expected a list of tensors, got {describe(listed)}")
    tensors: dict[str, NDArray[Any]] = {}
    for number, one in enumerate(listed):
        where = f"inputs[{number}]"
        tensor = _object(where, one)
        name = _text(f"{where}.name", tensor.get("name"))
        if name in tensors:
            raise MalformedRequest(f"{where}.name: {name!r} comes twice")
        shape = _shape(name, tensor.get("shape"))
        datatype = _text(f"{name}.datatype", tensor.get("datatype"))
        size = _object(f"{name}.parameters", tensor.get("parameters", {})).get("binary_data_size")
        if size is None:
            tensors[name] = from_json(name, datatype, shape, tensor.get("data"))
            continue
        if type(size) is not int or not 0 <= size <= len(blobs):
            raise MalformedRequest(
                f"{name}.parameters.binary_data_size: expected at most the {len(blobs)} bytes that "
                f"are left, got {describe(size)}"
            )
        tensors[name] = from_binary(name, datatype, shape, blobs[:size])
        blobs = blobs[size:]
    if len(blobs):
        raise MalformedRequest(f"body: {len(blobs)} bytes behind the last tensor")
    return tensors


def _outputs(listed: Any, *, binary: bool) -> tuple[Output, ...]:
    if not isinstance(listed, list):
        raise MalformedRequest(f"outputs: expected a list, got {describe(listed)}")
    outputs = []
    for number, one in enumerate(listed):
        where = f"outputs[{number}]"
        output = _object(where, one)
        parameters = _object(f"{where}.parameters", output.get("parameters", {}))
        if "classification" in parameters:
            raise MalformedRequest(f"{where}: classification is an extension that is not here")
        own = parameters.get("binary_data", binary)
        outputs.append(Output(_text(f"{where}.name", output.get("name")), own is True))
    return tuple(outputs)


def _shape(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(size) is int and size >= 0 for size in value):
        raise MalformedRequest(f"{name}.shape: expected whole numbers, got {describe(value)}")
    return tuple(value)


def _object(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MalformedRequest(f"{where}: expected an object, got {describe(value)}")
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise MalformedRequest(f"{where}: expected a text, got {describe(value)}")
    return value


def _only(name: str, array: NDArray[Any]) -> Any:
    if array.size != 1:
        raise SignatureMismatch(name, expected="one number", got=f"shape {list(array.shape)}")
    return array.ravel().tolist()[0]


def _column(name: str, array: NDArray[Any]) -> Sequence[Any]:
    """A column of shape [n] or [n, 1]."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise SignatureMismatch(
            name, expected="shape [-1] or [-1, 1]", got=f"shape {list(array.shape)}"
        )
    return array.tolist()  # type: ignore[no-any-return]
