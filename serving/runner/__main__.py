"""`python -m serving.runner DIR …`: the process of one version, started by its host.

Gives up network, memory beyond its limit and what the environment might hold; verifies every byte;
loads the version, warms it up, and listens. What takes longer than its time ends this process, by
the kernel's alarm: also where the model's code would let no Python run.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from registry import log
from registry.bundle import Bundle
from registry.errors import BatonError
from registry.isolation import isolate
from registry.manners import mind_manners
from registry.process import die_with_parent
from registry.rowwise import is_row_wise
from serving.engines import Engine
from serving.engines.recorder import Recorder
from serving.engines.runner import failed
from serving.kinds import Limits
from serving.runner.batches import Batches
from serving.runner.listener import Listener
from serving.servable import Servable
from serving.stored import manifest_of, root_of

_log = logging.getLogger("serving.runner")
_FAILED = 5
_BEYOND_REPAIR = 6
_LIMITS = Limits(max_rows=10_000_000, max_horizon=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one version until the host ends; returns only if it cannot be loaded."""
    given = _given(arguments)
    die_with_parent(signal.SIGKILL)
    log.to_json("INFO")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    isolation = isolate(given.memory_mb)
    mind_manners()
    loaded: Future[tuple[Engine, bool]] = Future()
    server = threading.Thread(target=_serve, args=[given, loaded], name="server", daemon=True)
    server.start()
    os.nice(given.niceness)  # on Linux this is the thread's own
    try:
        with _limited(given.load_seconds):
            loaded.set_result(_loaded(given.store, given.digest))
    except MemoryError:
        return _fail(
            given.socket, f"needs more than {given.memory_mb} MiB (BATON_RUNNER_MEMORY_MB)"
        )
    except BatonError as error:
        return _fail(given.socket, str(error))
    except Exception as error:  # noqa: BLE001 - a fault of the version's code
        return _fail(given.socket, f"{type(error).__name__}: {error}")
    _log.info("%s is loaded", given.digest[:12], extra={"isolation": isolation})
    server.join()
    return 0


def _serve(given: argparse.Namespace, loaded: Future[tuple[Engine, bool]]) -> None:
    """Wait for the version, then answer; this thread and those it starts are as nice as workers."""
    model, may_join = loaded.result()
    rows = given.batch_rows if may_join else 1
    batches = Batches(model.run, most_rows=rows, limit=partial(_limited, given.seconds))
    threading.Thread(target=_work, args=[batches], name="model", daemon=True).start()
    listener = Listener(given.socket, batches)
    _log.info("%s is served", given.digest[:12], extra={"most_rows": rows})
    listener.serve()


def _given(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serving.runner", description=__doc__)
    parser.add_argument("store", type=Path, help="the node store")
    parser.add_argument("digest", help="the version")
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument("--memory-mb", type=int, required=True, help="address space, MiB")
    parser.add_argument("--seconds", type=float, required=True, help="longest call")
    parser.add_argument("--load-seconds", type=float, required=True, help="longest load")
    parser.add_argument("--niceness", type=int, required=True, help="while loading")
    parser.add_argument("--batch-rows", type=int, required=True, help="most rows of a joint call")
    return parser.parse_args(arguments)


def _loaded(store: Path, digest: str) -> tuple[Engine, bool]:
    """The version, verified and warm, and whether requests may be joined."""
    made: list[Recorder] = []

    def load(bundle: Bundle) -> Recorder:
        from serving.runner.model import PyfuncModel  # noqa: PLC0415 - within the time for loading

        made.append(Recorder(PyfuncModel.load(bundle)))
        return made[0]

    servable = Servable.load(
        root_of(store, digest),
        manifest_of(store, digest),
        allowed=("runner",),
        limits=_LIMITS,
        runner=load,
    )
    servable.warm()
    [recorder] = made
    with contextlib.suppress(Exception):  # a made-up row may be one that the model refuses
        servable.predict(servable.synthetic())
    model = recorder.engine
    return model, is_row_wise(model.run, recorder.inputs, recorder.asked)


def _work(batches: Batches) -> None:
    """Ask the model; what it does to this thread beyond an error, a new process has to mend.

    That is memory that ran out, which may not come back, and an exit.
    """
    try:
        batches.serve()
    except BaseException as error:  # noqa: BLE001 - this process ends
        _log.error("%s: ending this process, the host starts another", type(error).__name__)
    os._exit(_BEYOND_REPAIR)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Have the kernel end this process if the block takes longer."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _fail(path: Path, reason: str) -> int:
    """Leave the reason where the workers look."""
    failed(path).write_text(reason, encoding="utf-8")
    _log.error("cannot load: %s", reason)
    return _FAILED


if __name__ == "__main__":
    sys.exit(main())
