"""How long a node's trials take, seen from outside: the lifetimes of their processes.

Those of the watcher, and of the registrar where it judges. What a version's trial takes is not the
swap's to shorten. A trial that is not seen counts as nothing, which flatters nobody.
"""

from __future__ import annotations

import time

from benchmarks.looking import Looking
from benchmarks.processes import children, command, descendants

_LOOK_SECONDS = 0.004
_TRIAL = "serving.trial"
_ZYGOTE = "registry.zygote"  # its children have its name, and last as long as a trial
_PARENTS = ("serving.node", "registry registrar", _ZYGOTE)


class Trials(Looking):
    """Looks at the processes below watcher and registrar of a server while its block lasts."""

    def __init__(self, server: int) -> None:
        """`server` is the supervisor's pid."""
        self._server = server
        super().__init__("trials")
        self._seen: dict[int, tuple[float, float]] = {}

    @property
    def count(self) -> int:
        """How many trials were seen so far."""
        return len(self._seen)

    def seconds(self, since: float, until: float) -> float:
        """Seconds of trials between two moments of `time.monotonic()`."""
        seen = list(self._seen.values())
        return sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in seen)

    def look(self) -> None:
        """See `Looking.look`."""
        parents = [p for p in descendants(self._server) if any(w in command(p) for w in _PARENTS)]
        is_trial: dict[int, bool] = {}
        while not self.stop.wait(_LOOK_SECONDS):
            now = time.monotonic()
            for pid in {child for parent in parents for child in children(parent)} - set(parents):
                if not is_trial.get(pid):  # right after its fork it still shows its parent's name
                    is_trial[pid] = _TRIAL in command(pid)
                if is_trial[pid]:
                    self._seen[pid] = (self._seen.get(pid, (now, now))[0], now)
