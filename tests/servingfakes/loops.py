"""An event loop for what reads its loop when it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


def on_a_loop(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Play a scene on a loop of its own."""
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        runner.run(scene())
