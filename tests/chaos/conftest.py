"""Numbers that a test of chaos wants to be seen, behind pytest's own summary."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_SAID = pytest.StashKey[list[str]]()


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Have a line printed when the session ends: the last one is what `make nightly` shows."""
    return request.config.stash.setdefault(_SAID, []).append


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """See `say`."""
    for line in config.stash.get(_SAID, []):
        terminalreporter.write_line(line)
