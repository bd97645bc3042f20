"""Asks a server's health routes all the while something else is done to it."""

from __future__ import annotations

import http.client
import time

from benchmarks.looking import Looking

PATHS = ("/livez", "/readyz", "/ping", "/v2/health/ready")
_PAUSE_SECONDS = 0.1
_WAIT_SECONDS = 10.0


class Health(Looking):
    """Asks on connections of their own, as a probe does, while its block lasts."""

    def __init__(self, port: int) -> None:
        """Nothing is asked yet."""
        self._port = port
        super().__init__("health")
        self.took: list[float] = []
        self.bad = 0

    def note(self) -> str:
        """How often it asked, and how long the slowest answer took."""
        slowest = max(self.took, default=0.0) * 1000
        return f"health was asked {len(self.took)} times, the slowest answer took {slowest:.0f} ms"

    def look(self) -> None:
        """See `Looking.look`."""
        number = 0
        while not self.stop.wait(_PAUSE_SECONDS):
            begun = time.monotonic()
            self.bad += not self._is_well(PATHS[number % len(PATHS)])
            self.took.append(time.monotonic() - begun)
            number += 1

    def _is_well(self, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_WAIT_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
