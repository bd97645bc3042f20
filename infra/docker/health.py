"""Whether a container is well: `health.py http://host:port/path`, or `health.py SOCKET`.

A page has to answer 200; at a socket somebody has to listen, who takes the knock as one to look
now. Exit code 0 or 1. Needs only the standard library: it is run every few seconds.
"""

from __future__ import annotations

import http.client
import socket
import sys
from collections.abc import Sequence

_SECONDS = 3.0


def main(arguments: Sequence[str]) -> int:
    """Ask once."""
    [address] = arguments
    try:
        if not address.startswith("http://"):
            _knock(address)
            return 0
        status = _status(address.removeprefix("http://"))
    except OSError as error:
        sys.stderr.write(f"{address}: {error}\n")
        return 1
    sys.stderr.write("" if status == http.client.OK else f"{address}: {status}\n")
    return int(status != http.client.OK)


def _status(address: str) -> int:
    host, _, path = address.partition("/")
    connection = http.client.HTTPConnection(host, timeout=_SECONDS)
    try:
        connection.request("GET", f"/{path}")
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP: {error!r}") from error
    finally:
        connection.close()


def _knock(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(_SECONDS)
        sender.sendto(b"!", path)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
