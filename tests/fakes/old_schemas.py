"""Tables as earlier code made them, with something in them: what a migration meets.

Written down, not made from today's definitions: those change.
"""

from __future__ import annotations

import sqlalchemy as sa

_LEDGER_1 = """
CREATE TABLE baton_ledger (id VARCHAR(36) NOT NULL PRIMARY KEY, schema_version INTEGER NOT NULL,
    epoch INTEGER NOT NULL, revision BIGINT NOT NULL);
CREATE TABLE baton_entries (revision BIGINT NOT NULL PRIMARY KEY, model TEXT NOT NULL,
    epoch INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, routes TEXT NOT NULL,
    actor TEXT NOT NULL, door TEXT NOT NULL, reason TEXT NOT NULL, report VARCHAR(36),
    at_ms BIGINT NOT NULL, previous_hash VARCHAR(64) NOT NULL, hash VARCHAR(64) NOT NULL,
    snapshot TEXT, UNIQUE (model, epoch, seq));
CREATE TABLE baton_heads (model TEXT NOT NULL PRIMARY KEY, revision BIGINT NOT NULL,
    UNIQUE (revision));
CREATE TABLE baton_reports (id VARCHAR(36) NOT NULL PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE baton_node_status (node TEXT NOT NULL PRIMARY KEY, at_ms BIGINT NOT NULL,
    body TEXT NOT NULL);
INSERT INTO baton_ledger VALUES ('kept', {number}, 1, 0);
INSERT INTO baton_node_status VALUES ('kept', 5, '{{}}');
"""
_LEASES = {
    1: "CREATE TABLE baton_leases (name TEXT NOT NULL PRIMARY KEY, expires_ms BIGINT NOT NULL);",
    2: "CREATE TABLE baton_leases (name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, "
    "turn BIGINT NOT NULL); INSERT INTO baton_leases VALUES ('registrar', 'kept', 7);",
}
_JOBS_1 = """
CREATE TABLE baton_jobs_schema (version {serial} NOT NULL PRIMARY KEY);
CREATE TABLE baton_jobs (n {bigserial} NOT NULL PRIMARY KEY, id VARCHAR(36) NOT NULL,
    kind TEXT NOT NULL, owner TEXT NOT NULL, idempotency TEXT, digest VARCHAR(64) NOT NULL,
    body TEXT NOT NULL, request TEXT NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,
    losses INTEGER NOT NULL, worker TEXT, beats BIGINT NOT NULL, cancelling BOOLEAN NOT NULL,
    step TEXT, progress FLOAT NOT NULL, run_id TEXT, metrics TEXT NOT NULL, log TEXT NOT NULL,
    reason TEXT, result TEXT, model TEXT, version TEXT, made_ms BIGINT NOT NULL,
    started_ms BIGINT, ended_ms BIGINT, UNIQUE (owner, idempotency), UNIQUE (id));
CREATE INDEX baton_jobs_live ON baton_jobs (n) WHERE state IN ('queued', 'running');
CREATE INDEX baton_jobs_of_owner ON baton_jobs (owner, n);
INSERT INTO baton_jobs_schema VALUES (1);
INSERT INTO baton_jobs (id, kind, owner, digest, body, request, state, attempt, losses, beats,
    cancelling, progress, metrics, log, made_ms)
    VALUES ('kept', 'train', 'ada', 'd', '{{}}', '{{}}', 'queued', 0, 0, 0, FALSE, 0, '{{}}', '[]',
        5);
"""


def make_old(url: str, part: str, number: int) -> None:
    """Make the tables of `part` as the code of schema `number` did."""
    engine = sa.create_engine(url)
    on_postgres = engine.dialect.name == "postgresql"
    if part == "ledger":
        text = _LEDGER_1.format(number=number) + _LEASES[number]
    else:
        serial = ("SERIAL", "BIGSERIAL") if on_postgres else ("INTEGER", "INTEGER")
        text = _JOBS_1.format(serial=serial[0], bigserial=serial[1])
    with engine.begin() as connection:
        for statement in filter(str.strip, text.split(";")):
            connection.exec_driver_sql(statement)
    engine.dispose()
