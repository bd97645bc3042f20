"""A proxy is believed what it says of the client; anybody else is not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from registry.errors import SettingsError
from serving.routes.proxies import Proxied

SAID = {
    "X-Forwarded-For": "10.9.9.9, 203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "models.example",
    "X-Forwarded-Prefix": "/ml",
    "X-Real-Ip": "203.0.113.8",
    "Forwarded": "for=203.0.113.9",
    "X-Attempt-Of": "a1",
}


def seen(peer: str, trusted: tuple[str, ...]) -> dict[str, Any]:
    """The environment that reaches the application."""
    found: dict[str, Any] = {}

    def application(environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
        found.update(environ)
        return []

    environ = EnvironBuilder(headers=SAID, environ_base={"REMOTE_ADDR": peer}).get_environ()
    Proxied(application, trusted)(environ, lambda *_: None)
    return found


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("192.0.2.1", ("192.0.2.1",)),
        ("192.0.2.77", ("10.0.0.0/8", "192.0.2.0/24")),
        ("::1", ("::1",)),
    ],
)
def test_a_named_proxy_speaks_for_the_client_next_to_it(
    peer: str, trusted: tuple[str, ...]
) -> None:
    environ = seen(peer, trusted)
    assert environ["REMOTE_ADDR"] == "203.0.113.7", "not what the client says of itself"
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTP_HOST"] == "models.example"
    assert environ["SCRIPT_NAME"] == "/ml"
    assert environ["HTTP_X_ATTEMPT_OF"] == "a1"


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [("192.0.2.1", ()), ("192.0.2.1", ("192.0.2.2", "10.0.0.0/8")), ("", ("0.0.0.0/0",))],
)
def test_what_anybody_else_forwards_is_gone(peer: str, trusted: tuple[str, ...]) -> None:
    environ = seen(peer, trusted)
    assert environ["REMOTE_ADDR"] == peer
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["SCRIPT_NAME"] == ""
    said = ("FORWARDED", "REAL_IP", "ATTEMPT_OF")
    assert not [name for name in environ if any(part in name for part in said)]


def test_a_proxy_that_is_no_address_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsError, match="BATON_TRUSTED_PROXIES: 'proxy.example'"):
        Proxied(lambda *_: [], ("proxy.example",))
