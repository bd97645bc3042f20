"""Tensors of the Open Inference Protocol: their data types, and their bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from registry.errors import MalformedRequest, SignatureMismatch
from registry.signature import describe

Array = NDArray[Any]
_BYTES: Final = "BYTES"
_TYPES: Final[Mapping[str, Any]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"UINT{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
}
_NAMES: Final = {dtype: name for name, dtype in _TYPES.items()}
_TAKEN: Final[Mapping[str, frozenset[type]]] = {
    "b": frozenset({bool}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "f": frozenset({int, float}),
    "O": frozenset({str}),
}
_MOST_DIMENSIONS: Final = 32
_MOST_ELEMENTS: Final = 2**31


def v2_type(dtype: np.dtype[Any]) -> str:
    """The protocol's name of a NumPy type; texts and dates are BYTES."""
    return _NAMES.get(dtype.newbyteorder("="), _BYTES)


def named(tensors: Mapping[str, Any]) -> dict[str, Array]:
    """An answer's tensors as arrays the protocol has types for."""
    arrays = {}
    for name, value in tensors.items():
        array = np.asarray(value)
        arrays[name] = array if array.dtype in _NAMES else np.asarray(value, dtype=object)
    return arrays


def from_json(name: str, datatype: str, shape: Sequence[int], data: Any) -> Array:
    """`data`, flat or nested, as an array of `shape`."""
    dtype = _dtype(name, datatype)
    count = _count(name, shape)
    if not isinstance(data, list):
        raise MalformedRequest(f"{name}.data: expected a list, got {describe(data)}")
    flat = _flat(data)
    if len(flat) != count:
        raise SignatureMismatch(
            f"{name}.data", expected=f"{count} values as shape says", got=f"{len(flat)} values"
        )
    taken = _TAKEN[dtype.kind]
    for value in flat:
        if type(value) not in taken:
            raise SignatureMismatch(f"{name}.data", expected=datatype, got=describe(value))
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype=dtype)
    except OverflowError as error:
        raise SignatureMismatch(f"{name}.data", expected=datatype, got=str(error)) from error
    return _finite(name, array).reshape(shape)


def from_binary(name: str, datatype: str, shape: Sequence[int], data: memoryview) -> Array:
    """Little-endian `data` in row-major order as an array of `shape`; BYTES stay bytes."""
    dtype = _dtype(name, datatype)
    count = _count(name, shape)
    if datatype == _BYTES:
        return _objects(_split(name, data, count), shape)
    if len(data) != count * dtype.itemsize:
        raise SignatureMismatch(
            name, expected=f"{count * dtype.itemsize} bytes as shape says", got=f"{len(data)}"
        )
    array = np.frombuffer(data, dtype=dtype.newbyteorder("<"))
    if dtype.kind == "b" and (np.frombuffer(data, dtype=np.uint8) > 1).any():
        raise SignatureMismatch(name, expected="bytes of 0 or 1", got="another byte")
    return _finite(name, array).reshape(shape)


def texts(name: str, array: Array) -> Array:
    """`array` with texts for the bytes in it."""
    if array.dtype.kind != "O":
        return array
    try:
        told = [v.decode() if isinstance(v, bytes) else v for v in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise SignatureMismatch(name, expected="texts in UTF-8", got=str(error)) from error
    return _objects(told, array.shape)


def to_binary(array: Array) -> bytes:
    """An array's bytes as the protocol sends them."""
    if array.dtype.kind != "O":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    encoded = [str(value).encode() for value in array.ravel().tolist()]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def _split(name: str, data: memoryview, count: int) -> list[bytes]:
    """Texts or pictures, each behind its length in four bytes."""
    found: list[bytes] = []
    while len(data):
        if len(data) < 4 or len(data) < 4 + (size := struct.unpack_from("<I", data)[0]):
            raise SignatureMismatch(
                name, expected="texts behind their lengths", got="too few bytes"
            )
        found.append(bytes(data[4 : 4 + size]))
        data = data[4 + size :]
    if len(found) != count:
        raise SignatureMismatch(
            name, expected=f"{count} texts as shape says", got=f"{len(found)} texts"
        )
    return found


def _objects(values: Sequence[Any], shape: Sequence[int]) -> Array:
    return np.array(values, dtype=object).reshape(shape)


def _dtype(name: str, datatype: str) -> np.dtype[Any]:
    if datatype == _BYTES:
        return np.dtype(object)
    if datatype not in _TYPES:
        known = ", ".join((*_TYPES, _BYTES))
        raise SignatureMismatch(f"{name}.datatype", expected=f"one of {known}", got=datatype)
    dtype: np.dtype[Any] = _TYPES[datatype]
    return dtype


def _count(name: str, shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    if len(shape) > _MOST_DIMENSIONS or count > _MOST_ELEMENTS:
        raise SignatureMismatch(f"{name}.shape", expected="fewer elements", got=str(list(shape)))
    return count


def _flat(data: list[Any]) -> list[Any]:
    while data and any(isinstance(item, list) for item in data):
        data = [inner for item in data for inner in (item if isinstance(item, list) else [item])]
    return data


def _finite(name: str, array: Array) -> Array:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise SignatureMismatch(name, expected="finite numbers", got="NaN or Infinity")
    return array
