"""Who may ask: by API key, if this node has any.

Once a worker has seen a key it never answers without one again, whatever becomes of the file. The
file is looked at twice a second, so a revoked key ends within one.
"""

from __future__ import annotations

import logging
import math
import mmap
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from registry.errors import Forbidden, SettingsError, TooManyRequests, Unauthenticated
from serving.keys import Key, KeyFile, Scope, parts_of

Header = Callable[[str], str | None]
_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 0.5
_ROUNDING: Final = 1e-9
_BEARER: Final = "Bearer "
_NOBODY: Final = Key(id="", name="", sha256="0" * 64, scopes=())
# What reads metrics does nothing else here.
_USES: Final = (Scope.PREDICT, Scope.TRAIN, Scope.ADMIN)


class Rates:
    """How far ahead of its rate each key is: one number a key, which all workers of a node share.

    The generic cell rate algorithm: each request moves its key's number on by one interval; beyond
    a second ahead of the clock there is no more. Two workers that write at once may let one
    request too many through.
    """

    def __init__(self, path: Path, *, most_keys: int = 4096) -> None:
        """Make the file if there is none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._most = most_keys
        with path.open("a+b") as file:
            file.truncate(most_keys * 8)
            self._page = mmap.mmap(file.fileno(), most_keys * 8)

    def wait(self, index: int, per_second: float, now: float) -> float:
        """Seconds until this key may ask again; 0 if it may now, which is then counted."""
        at = index % self._most * 8
        interval = 1.0 / per_second
        [ahead] = struct.unpack_from("d", self._page, at)
        if not now < ahead <= now + 2.0 * max(1.0, interval):  # long ago, or of another clock
            ahead = now
        if (early := ahead - now - max(0.0, 1.0 - interval)) > _ROUNDING:
            return float(early)
        struct.pack_into("d", self._page, at, ahead + interval)
        return 0.0


class Access:
    """Admits requests of one worker."""

    def __init__(
        self, file: KeyFile, rates: Rates, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises SettingsError if the file cannot be read: then nobody can be told apart."""
        self._file, self._rates, self._clock = file, rates, clock
        self._keys: Mapping[str, tuple[int, Key]] = {}
        self._seen: tuple[int, int] | None = None
        self._look_at = -math.inf
        self._look(clock(), first=True)

    @property
    def is_open(self) -> bool:
        """Whether anybody may ask: there never was a key."""
        return not self._keys

    def admit(self, header: Header, *scopes: Scope | None) -> Key | None:
        """Let a request through, or raise Unauthenticated, Forbidden or TooManyRequests.

        One of `scopes` is needed; where it is None, any but one for metrics alone will do. Returns
        the key, None where there are none.
        """
        now = self._clock()
        if now >= self._look_at:
            self._look(now)
        if self.is_open:
            return None
        index, key = self._proved(header)
        needed = _USES if None in scopes else scopes
        if not {*needed} & {*key.scopes}:
            wanted, has = " or ".join(map(str, needed)), ", ".join(key.scopes)
            raise Forbidden(f"key {key.id}: expected scope {wanted}, it has {has}")
        if key.per_second and (wait := self._rates.wait(index, key.per_second, now)):
            raise TooManyRequests(
                f"key {key.id}: more than {key.per_second:g} requests a second", seconds=wait
            )
        return key

    def _proved(self, header: Header) -> tuple[int, Key]:
        said = header("Authorization") or ""
        given = said[len(_BEARER) :] if said.startswith(_BEARER) else header("X-API-Key")
        if not given:
            raise Unauthenticated("expected an API key, as Authorization: Bearer baton_…; got none")
        identity, secret = parts_of(given) or ("", "")
        index, key = self._keys.get(identity, (0, _NOBODY))
        if not key.is_proved_by(secret) or key.revoked:
            raise Unauthenticated("this API key is not one of this server's, or was revoked")
        return index, key

    def _look(self, now: float, *, first: bool = False) -> None:
        """Read the file if it changed; what cannot be read changes nothing."""
        self._look_at = now + _LOOK_SECONDS
        try:
            stat = self._file.path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino)
        except OSError:
            return
        if seen == self._seen:
            return
        try:
            keys = self._file.read()
        except SettingsError as error:
            if first:
                raise
            _log.error("the API keys are those of before: %s", error)
            return
        self._seen = seen
        self._keys = {key.id: (index, key) for index, key in enumerate(keys)} or self._keys
