"""Entries that leave what serves as it is: of a second version beside it, or of its end. Pure.

Such an entry repeats the route that serves. So whoever asks which version came before, since when
one serves, or what it has answered looks past them, to the entry that put it there: `standing`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from registry.errors import UsageError
from registry.ledger import Entry, EntryKind, Role, Route

BESIDE: Final = frozenset({EntryKind.SHADOW, EntryKind.SPLIT, EntryKind.STOP})
# A restored one repeats what served as well, but nothing that was logged is its own.
REPEATS: Final = BESIDE | {EntryKind.RESTORE}
ARM_TAG: Final = "baton.arm"
_HEADER: Final = re.compile(r"header:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 9110, 5.6.2
_SHARED: Final = {Role.SPLIT: "requests", Role.SHADOW: "requests, as copies"}


def standing(history: Sequence[Entry], *, past: frozenset[EntryKind] = REPEATS) -> Sequence[Entry]:
    """From a head (`history`, newest first) back to the entry that put there what serves, the last.

    Where none is left that did, as in a history that somebody cut, the oldest is taken for it.
    """
    repeated = [*takewhile(lambda entry: entry.kind in past, history)]
    return history[: len(repeated) + 1]


def is_over(entry: Entry, now_ms: int) -> bool:
    """Whether the deadline of its arm has passed; without an arm there is none."""
    return entry.arm is not None and now_ms >= entry.arm.until_ms


def described(arm: Route) -> str:
    """As people read it: `split, 10 % of requests by header:X-User-Id, until 2026-01-02 …`."""
    sticky = f" by {arm.sticky}" if arm.sticky else ""
    until = datetime.datetime.fromtimestamp(arm.until_ms / 1000, datetime.UTC)
    share = f"{100 * arm.weight:g} % of {_SHARED[arm.role]}{sticky}"
    return f"{arm.role}, {share}, until {until:%Y-%m-%d %H:%M:%S}Z"


def checked_sticky(sticky: str) -> str:
    """What requests are told apart by, or UsageError."""
    if sticky and not _HEADER.fullmatch(sticky):
        raise UsageError(
            f"--sticky: expected header:NAME with a header's name (letters, digits, hyphens), "
            f"as header:X-User-Id, got {sticky!r}"
        )
    return sticky
