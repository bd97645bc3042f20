"""What a proxy says of the client it speaks for; believed only of proxies that are named.

Forwarded headers of anybody else are taken out before a route can read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

from registry.errors import SettingsError

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_", "HTTP_X_REAL_IP", "HTTP_X_ATTEMPT_OF")
_MOST_KNOWN = 10_000


class Proxies:
    """Who is believed."""

    def __init__(self, trusted: Sequence[str]) -> None:
        """`trusted` are addresses or networks; raises SettingsError for anything else."""
        self._networks = [_network(text) for text in trusted]
        self._known: dict[str, bool] = {}

    def __contains__(self, address: str) -> bool:
        """Whether somebody at this address is one of them."""
        found = self._known.get(address)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._known[address] = self._find(address)
        return found

    def _find(self, address: str) -> bool:
        try:
            peer = ip_address(address)
        except ValueError:  # a Unix socket has none
            return False
        return any(peer in network for network in self._networks)


class Proxied:
    """A WSGI application that knows its proxies: one of them stands before the client."""

    def __init__(self, application: Application, trusted: Sequence[str]) -> None:
        """See `Proxies`."""
        self._proxies = Proxies(trusted)
        self._stripped = application
        self._fixed = ProxyFix(application, x_for=1, x_proto=1, x_host=1, x_prefix=1)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """As the application, with the client's address, scheme, host and path prefix."""
        if environ.get("REMOTE_ADDR", "") in self._proxies:
            return self._fixed(environ, start_response)
        for name in [one for one in environ if one.startswith(_FORWARDED)]:
            del environ[name]
        return self._stripped(environ, start_response)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise SettingsError(f"BATON_TRUSTED_PROXIES: {error}") from error
