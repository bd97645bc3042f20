"""The runner engine, as a worker sees it: a version that another process of this node runs.

Speaks frames (serving/frames.py) over a Unix socket; nobody listens there before the version is
loaded and warm. Imports no model library, unpickles nothing, and no call outlasts its deadline. The
process itself is serving/runner/.
"""

from __future__ import annotations

import contextlib
import socket
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from registry.bundle import Bundle
from registry.errors import (
    BatonError,
    BundleInvalid,
    ModelFailed,
    NotFinite,
    RunnerAway,
    SignatureMismatch,
    WrongShape,
)
from registry.nudge import reachable
from registry.signature import Tensor
from serving.frames import FrameError, packed, receive, send

_LOOK_SECONDS = 0.01
# What a runner says went wrong, and what it is here; one that is not known is the model's fault.
FAULTS: Final[Mapping[str, type[BatonError]]] = {
    "late": RunnerAway,
    "not finite": NotFinite,
    "shape": WrongShape,
    "fault": ModelFailed,
}


class RunnerEngine:
    """One version's runner, called by several threads; connections are kept and used again."""

    def __init__(self, bundle: Bundle, path: Path, *, seconds: float) -> None:
        """`path` is the runner's socket, `seconds` the longest a call may take, waiting included.

        Raises BundleInvalid for a version that cannot be asked; does not look for the runner.
        """
        self.inputs = inputs_of(bundle)
        self.outputs = outputs_of(bundle)
        self._path = path
        self._seconds = seconds
        self._idle: list[socket.socket] = []
        weakref.finalize(self, _close, self._idle)

    @classmethod
    def load(cls, bundle: Bundle, path: Path, *, seconds: float, patience_seconds: float) -> Self:
        """Wait until the runner has loaded the version, has failed to, or patience ends.

        Does not raise for a runner that is away: a call will, and will not once it is back.
        """
        engine = cls(bundle, path, seconds=seconds)
        deadline = time.monotonic() + patience_seconds
        while time.monotonic() < deadline and not failed(path).exists():
            with contextlib.suppress(RunnerAway):
                engine._idle.append(engine._connect(deadline))
                break
            time.sleep(_LOOK_SECONDS)
        return engine

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Named arrays in, named arrays or lists of records out.

        Raises RunnerAway if no answer came in time, SignatureMismatch for values the model refuses,
        ModelFailed for an error of its own.
        """
        deadline = time.monotonic() + self._seconds
        connection = self._take(deadline)
        try:
            send(connection, packed({"seconds": self._seconds}, inputs), deadline=deadline)
            answer = receive(connection, deadline=deadline)
        except TimeoutError:
            connection.close()
            raise RunnerAway(
                f"the version's runner gave no answer in {self._seconds:g} s"
            ) from None
        except (OSError, FrameError) as error:
            connection.close()
            raise RunnerAway(f"the version's runner broke off: {error}") from error
        if answer is None:
            connection.close()
            raise RunnerAway("the version's runner ended; it is being started again")
        self._idle.append(connection)
        message, outputs = answer
        if "error" in message:
            raise _error(message)
        return outputs

    def _take(self, deadline: float) -> socket.socket:
        """A connection that is open: one that is idle, or a new one."""
        with contextlib.suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if _is_open(connection):
                    return connection
                connection.close()
        return self._connect(deadline)

    def _connect(self, deadline: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            with reachable(self._path) as address:
                connection.connect(address)
        except OSError as error:
            connection.close()
            raise RunnerAway(f"the version's runner is away: {_reason(self._path)}") from error
        return connection


def socket_of(node_dir: Path, digest: str) -> Path:
    """Where the runner of a version listens on this node."""
    return node_dir / "run" / f"{digest[:16]}.sock"


def failed(path: Path) -> Path:
    """The file that says why the runner of this socket could not load its version."""
    return path.with_suffix(".failed")


def inputs_of(bundle: Bundle) -> tuple[Tensor, ...]:
    """What a version's signature says it takes: a column as a tensor of one dimension, a param as
    any object of none.
    """
    signature = bundle.signature
    if signature is None:
        raise BundleInvalid(
            "MLmodel: no signature, so requests cannot be checked: log the model again with "
            "signature=infer_signature(inputs, outputs)"
        )
    if binary := [column.name for column in signature.columns if column.type == "binary"]:
        raise BundleInvalid(f"MLmodel: column {binary[0]!r} is binary, which is not served")
    columns = tuple(Tensor(c.name, c.array([]).dtype.name, (-1,)) for c in signature.columns)
    params = (Tensor(param.name, "object", ()) for param in bundle.params)
    return (*(signature.tensors or columns), *params)


def outputs_of(bundle: Bundle) -> tuple[str, ...]:
    """The names of what comes out, where the signature says them."""
    return tuple(filter(None, bundle.signature.outputs if bundle.signature else ()))


def _reason(path: Path) -> str:
    try:
        return failed(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "it is being started"


def _is_open(connection: socket.socket) -> bool:
    """Whether the other side has neither closed an idle connection nor said anything on it."""
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _error(message: Mapping[str, Any]) -> BatonError:
    """The error a runner's answer stands for."""
    kind, detail = str(message["error"]), str(message.get("detail", ""))
    if kind == "values":
        return SignatureMismatch(
            str(message.get("field", "")), expected="values the model takes", got=detail
        )
    return FAULTS.get(kind, ModelFailed)(detail)


def _close(connections: list[socket.socket]) -> None:
    for connection in connections:
        connection.close()
