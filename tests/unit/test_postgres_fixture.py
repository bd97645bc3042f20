"""A missing service skips on a laptop and fails in CI."""

from __future__ import annotations

import pytest

from tests.postgres import PostgresMissing


def test_a_missing_server_skips_on_a_laptop() -> None:
    with pytest.raises(pytest.skip.Exception, match="no server here"):
        PostgresMissing("no server here").skip_or_fail({})


def test_a_missing_server_fails_in_ci() -> None:
    with pytest.raises(pytest.fail.Exception, match="CI is set, and no server here"):
        PostgresMissing("no server here").skip_or_fail({"CI": "true"})
