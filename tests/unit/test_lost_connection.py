"""A connection lost as it is given back: SQLAlchemy passes the driver's own error on as it is."""

from __future__ import annotations

import psycopg2
import psycopg2.errors
import pytest

from registry.errors import Unreachable
from registry.sql_ledger import reaching


@pytest.mark.parametrize(
    "error",
    [psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.AdminShutdown],
)
def test_it_is_told_as_every_other_loss(error: type[Exception]):
    with (
        pytest.raises(Unreachable, match="ledger: server closed it; check BATON_LEDGER_URL"),
        reaching(),
    ):
        raise error("server\nclosed it")


def test_what_is_no_loss_stays_what_it_is():
    with pytest.raises(psycopg2.DataError), reaching():
        raise psycopg2.DataError("too long")
