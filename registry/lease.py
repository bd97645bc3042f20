"""The right to write to MLflow on one's own: held by renewing it, lost by silence.

No two clocks are compared, so one that is set back or forward changes nothing: whoever wants the
lease takes it after seeing the same turn for `TTL_SECONDS` of its own monotonic clock, and its
holder stops writing before that long has passed since it last *asked* to renew. See docs/adr/0006.
Called by the registrar, and by commands that draw when no registrar is running.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from registry.errors import LeaseLost, Unreachable
from registry.ledger import Ledger, Turn

_log = logging.getLogger(__name__)
LEASE: Final = "registrar"
TTL_SECONDS: Final = 3.0
_RENEW_SECONDS = 0.75
# A write that began in time may still be on its way; clocks of two machines may run unevenly.
_MARGIN_SECONDS = 0.5


class Lease:
    """One holder's view of the lease. `monotonic` is a clock in seconds that never goes back."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        holder: str = "",
        monotonic: Callable[[], float] = time.monotonic,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        """Not held yet; every holder has a name of its own.

        `answered` is called whenever the ledger has said whose the lease is, held or waited for.
        """
        self.holder = holder or str(uuid.uuid4())
        self._answered = answered
        self._ledger = ledger
        self._monotonic = monotonic
        self._until = float("-inf")
        self._seen: Turn | None = None
        self._seen_at = 0.0

    def acquire(self) -> bool:
        """Take or renew it; False while somebody else holds it."""
        asked = self._monotonic()
        turn = self._ledger.lease(LEASE)
        self._answered()
        if turn and turn.holder != self.holder:
            self._until = float("-inf")
            if turn != self._seen:
                self._seen, self._seen_at = turn, self._monotonic()
                return False
            if asked - self._seen_at < TTL_SECONDS:
                return False
        return self._take(turn, asked)

    def _take(self, turn: Turn | None, asked: float) -> bool:
        """Take it after `turn`, as it was when it was asked for at `asked`."""
        if self._ledger.take_lease(LEASE, holder=self.holder, after=turn) is None:
            return False
        self._until = asked + TTL_SECONDS - _MARGIN_SECONDS
        return True

    def check(self) -> None:
        """Raise LeaseLost if somebody else took it; asks the ledger only if that may be so.

        A holder that was held up, on a machine that is too busy to renew in time, goes on if the
        turn is still its own: then nobody held the lease, and drew, in between.
        """
        asked = self._monotonic()
        if asked < self._until:
            return
        turn = self._ledger.lease(LEASE)
        mine = turn is not None and turn.holder == self.holder
        if not mine or not self._take(turn, asked):
            raise LeaseLost(
                f"{self.holder}: the lease was not renewed in time; whoever holds it goes on"
            )

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew in the background until the block ends, then give it back. Call after acquire."""
        over = threading.Event()

        def renew() -> None:
            while not over.wait(_RENEW_SECONDS):
                try:
                    self.acquire()
                except Unreachable as error:
                    _log.warning("the lease could not be renewed: %s", error)

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=2 * _RENEW_SECONDS)
            self._until = float("-inf")
            with suppress(Unreachable):  # then it ends by silence
                self._ledger.release_lease(LEASE, holder=self.holder)
