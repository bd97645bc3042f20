"""What a test does without a service it needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NoReturn

import pytest


class ServiceMissing(Exception):
    """No server can be started on this machine; the message says why."""

    def skip_or_fail(self, environ: Mapping[str, str] = os.environ) -> NoReturn:
        """A missing service skips on a laptop and fails in CI."""
        if environ.get("CI"):
            pytest.fail(f"CI is set, and {self}", pytrace=False)
        pytest.skip(str(self))
