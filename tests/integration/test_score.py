"""Scoring whole tables: once each, whatever is killed, in a directory and in a real S3."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from registry.errors import UnknownName, UsageError
from registry.ledger import Route
from registry.settings import Settings
from registry.sql_ledger import SqlLedger
from tests.fakes.crew import InlineCrew
from tests.seaweed import BUCKET, WRITER, ObjectStore
from tests.servingfakes import batches, models
from tests.servingfakes.versions import append, folder, mlmodel, route
from training.__main__ import main
from training.scoring.order import Order
from training.scoring.score import SUCCESS, Scored, run_score
from training.scoring.task import score

ROOT = Path(__file__).resolve().parents[2]
SOON_SECONDS = 60
FOUR = mlmodel([{"name": name, "type": "double"} for name in batches.COLUMNS])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "var").resolved()


def version(root: Path, number: int) -> Route:
    """A version whose scores are half of what it is asked; its files differ by their number."""
    made = folder(root, models.classifier(), files={"MLmodel": FOUR, "number": str(number)})
    return route(made, number)


@pytest.fixture
def first(settings: Settings, tmp_path: Path) -> Route:
    """In Production as `iris` v1, and fetched before."""
    made = version(tmp_path / "one", 1)
    promote(settings, made)
    return made


def promote(settings: Settings, to: Route) -> None:
    settings.home.mkdir(exist_ok=True)
    batches.fetched(settings, to)
    ledger = SqlLedger(settings.ledger_url)
    append(ledger, "iris", to)
    ledger.close()


def table(count: int, *, begin: int = 0) -> pa.Table:
    """Rows that can be told apart: from `begin` on."""
    return pa.table({name: np.arange(begin, begin + count) * 1.0 for name in batches.COLUMNS})


def write(path: Path, content: pa.Table, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(content, path, **options)


def run(settings: Settings, to: Route, source: object, target: object, rows: int = 100) -> Scored:
    """As the command does, in this process."""
    return run_score(
        batches.order(to, partition_rows=rows),
        settings,
        source=str(source),
        target=str(target),
        crew=InlineCrew(score),
    )


def scores(output: Path) -> list[float]:
    """What all parts answer, in their order."""
    parts = sorted(output.glob("part-*.parquet"))
    return [row[0] for part in parts for row in pq.read_table(part).column(1).to_pylist()]


def test_files_and_parts_of_large_ones_are_partitions_in_their_order(
    settings: Settings, first: Route, tmp_path: Path
) -> None:
    write(tmp_path / "in" / "a.parquet", table(250), row_group_size=70)
    write(tmp_path / "in" / "deep" / "b.parquet", table(20, begin=250))
    write(tmp_path / "in" / "_hidden.parquet", table(5))
    done = run(settings, first, tmp_path / "in", tmp_path / "out")
    assert (done.rows, len(done.parts), done.failed) == (270, 4, [])
    assert scores(tmp_path / "out") == [n * 0.5 for n in range(270)]
    told = json.loads((tmp_path / "out" / SUCCESS).read_text())
    assert (told["model"], told["version"], told["digest"]) == ("iris", 1, first.digest)
    for name, part in told["parts"].items():
        content = (tmp_path / "out" / name).read_bytes()
        assert part["sha256"] == hashlib.sha256(content).hexdigest()
    assert [p["rows"] for _, p in sorted(told["parts"].items())] == [100, 100, 50, 20]


def test_a_repeated_command_scores_only_what_is_missing_or_changed(
    settings: Settings, first: Route, tmp_path: Path
) -> None:
    for number in range(3):
        write(tmp_path / "in" / f"{number}.parquet", table(10, begin=10 * number))
    run(settings, first, tmp_path / "in", tmp_path / "out")
    assert run(settings, first, tmp_path / "in", tmp_path / "out").kept == 3
    (tmp_path / "out" / "part-00001.parquet").unlink()
    write(tmp_path / "in" / "2.parquet", table(11, begin=100))
    again = run(settings, first, tmp_path / "in", tmp_path / "out")
    assert (again.kept, again.rows) == (1, 31)
    assert scores(tmp_path / "out") == [n * 0.5 for n in (*range(20), *range(100, 111))]


def test_a_bad_row_costs_its_partition_and_is_named(
    settings: Settings, first: Route, tmp_path: Path
) -> None:
    bad = table(10).set_column(1, "c1", pa.array([1.0] * 6 + [None] + [1.0] * 3))
    for number, content in enumerate((table(10), bad, table(10))):
        write(tmp_path / "in" / f"{number}.parquet", content)
    done = run(settings, first, tmp_path / "in", tmp_path / "out")
    [failed] = done.failed
    assert failed.partition.index == 1
    assert "1.parquet: row 7, column c1: expected a finite double, got null" in failed.reason
    assert not (tmp_path / "out" / SUCCESS).exists()
    assert len([*(tmp_path / "out").glob("part-*.parquet")]) == 2
    write(tmp_path / "in" / "1.parquet", table(10))
    repaired = run(settings, first, tmp_path / "in", tmp_path / "out")
    assert (repaired.kept, repaired.failed) == (2, [])
    assert (tmp_path / "out" / SUCCESS).exists()


def test_answers_of_several_versions_are_never_in_one_output(
    settings: Settings, first: Route, tmp_path: Path
) -> None:
    write(tmp_path / "in.parquet", table(10))
    run(settings, first, tmp_path / "in.parquet", tmp_path / "out")
    second = version(tmp_path / "two", 2)
    with pytest.raises(UsageError, match="holds answers of iris v1, and iris v2 would answer now"):
        run(settings, second, tmp_path / "in.parquet", tmp_path / "out")
    with pytest.raises(UsageError, match="was begun with --partition-rows 100"):
        run(settings, first, tmp_path / "in.parquet", tmp_path / "out", rows=7)
    write(tmp_path / "mine" / "mine.parquet", table(1))
    with pytest.raises(UsageError, match="holds mine.parquet, which is nothing that was scored"):
        run(settings, first, tmp_path / "in.parquet", tmp_path / "mine")
    with pytest.raises(UsageError, match="at least one file that ends with .parquet"):
        run(settings, first, tmp_path / "none", tmp_path / "other")


def test_an_output_of_more_partitions_than_there_are_now_is_refused(
    settings: Settings, first: Route, tmp_path: Path
) -> None:
    write(tmp_path / "in.parquet", table(200))
    run(settings, first, tmp_path / "in.parquet", tmp_path / "out")
    write(tmp_path / "in.parquet", table(100))
    with pytest.raises(UsageError, match=r"holds part-00001.parquet, of an input that had more"):
        run(settings, first, tmp_path / "in.parquet", tmp_path / "out")


def test_the_version_is_the_head_or_one_that_was_it(
    settings: Settings, first: Route, tmp_path: Path
) -> None:
    second = version(tmp_path / "two", 2)
    promote(settings, second)
    ledger = SqlLedger(settings.ledger_url)

    def taken(model: str = "iris", number: int | None = None) -> Order:
        return Order.of(model, ledger, version=number, partition_rows=10)

    assert taken().versions[""].digest == second.digest
    assert taken(number=1).versions[""].digest == first.digest
    append(ledger, "plan-a", first)
    append(ledger, "plan-b", second)
    fleet = taken("plan-{series}")
    assert {name: one.version for name, one in fleet.versions.items()} == {"a": 1, "b": 2}
    assert Order.from_text(fleet.to_text()) == fleet
    with pytest.raises(UnknownName, match="version of iris that was in Production '3'; .*: 1, 2"):
        taken(number=3)
    with pytest.raises(UnknownName, match="unknown model in Production 'wine'"):
        taken("wine")
    with pytest.raises(UnknownName, match="unknown models in Production"):
        taken("none-{series}")
    ledger.close()


@pytest.fixture
def command(settings: Settings) -> Iterator[Command]:
    started = Command(settings)
    yield started
    started.stop()


class Command:
    """`python -m training score`, as a process."""

    def __init__(self, settings: Settings) -> None:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "MLFLOW_"))}
        self._environ = {**own, "BATON_HOME": str(settings.home), "PYTHONPATH": str(ROOT)}
        self._running: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "training", "score", "iris", *map(str, arguments), "--json"],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def stop(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


def test_killed_in_the_middle_and_repeated_there_is_exactly_one_output_a_partition(
    settings: Settings, first: Route, command: Command, tmp_path: Path
) -> None:
    write(tmp_path / "in.parquet", table(60_000))
    asked = ["--input", tmp_path / "in.parquet", "--output", tmp_path / "out"]
    asked += ["--partition-rows", 1500, "--workers", 2]
    process = command.start(*asked)
    deadline = time.monotonic() + SOON_SECONDS
    while len([*(tmp_path / "out").glob("part-*")]) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = len([*(tmp_path / "out").glob("part-*")])
    assert 3 <= there < 40, "else it was not killed in the middle"
    assert not (tmp_path / "out" / SUCCESS).exists()
    (tmp_path / "out" / ".part-00039.parquet.1.draft").write_text("begun by who was killed")

    process = command.start(*asked)
    out, said = process.communicate(timeout=SOON_SECONDS)
    assert process.returncode == 0, said
    told = json.loads(out)
    assert 1 <= told["kept"] <= there + 2
    assert (told["partitions"], told["rows"], told["failures"]) == (40, 60_000, {})
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    parts = [f"part-{n:05}.parquet" for n in range(40)]
    assert names == ["_SUCCESS.json", "_baton", *parts]
    assert scores(tmp_path / "out") == [n * 0.5 for n in range(60_000)]


def test_the_command_says_what_is_wrong_by_its_exit_code(
    settings: Settings, first: Route, tmp_path: Path
) -> None:
    write(tmp_path / "in.parquet", table(3).set_column(0, "c0", pa.array([1.0, np.inf, 1.0])))

    def call(model: str, source: str) -> int:
        arguments = ["score", model, "--input", source, "--output", str(tmp_path / "out")]
        environ = {"BATON_HOME": str(settings.home)}
        return CliRunner(env=environ).invoke(main, [*arguments, "--workers=1"]).exit_code

    assert call("iris", str(tmp_path / "in.parquet")) == 5
    assert call("wine", str(tmp_path / "in.parquet")) == 2
    assert call("iris", "ftp://somewhere/in.parquet") == 2


@pytest.fixture
def bucket(seaweed: ObjectStore, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """boto3's client of the session's S3 server, and settings that point there."""
    for name, value in {"AWS_DEFAULT_REGION": "us-east-1", **WRITER}.items():
        monkeypatch.setenv(name, value)
    return seaweed.client(WRITER)


def test_a_prefix_of_s3_is_scored_into_another_once(
    settings: Settings, first: Route, seaweed: ObjectStore, bucket, tmp_path: Path
) -> None:
    import dataclasses  # noqa: PLC0415 - only here

    there = dataclasses.replace(settings, s3_endpoint=seaweed.endpoint)
    for number in range(2):
        write(tmp_path / "one.parquet", table(150, begin=150 * number), row_group_size=40)
        seaweed.put(f"lake/in/{number}.parquet", (tmp_path / "one.parquet").read_bytes())
    source, target = f"s3://{BUCKET}/lake/in", f"s3://{BUCKET}/lake/out"
    done = run(there, first, source, target)
    assert (done.rows, len(done.parts), done.failed) == (300, 4, [])

    def keys() -> dict[str, str]:
        found = bucket.list_objects_v2(Bucket=BUCKET, Prefix="lake/out/")["Contents"]
        return {one["Key"].removeprefix("lake/out/"): one["ETag"] for one in found}

    before = keys()
    parts = [f"part-{n:05}.parquet" for n in range(4)]
    records = [f"_baton/{part}.json" for part in parts]
    assert sorted(before) == sorted(["_SUCCESS.json", "_baton/order.json", *records, *parts])
    for part in parts:
        bucket.download_file(BUCKET, f"lake/out/{part}", str(tmp_path / part))
    assert scores(tmp_path) == [n * 0.5 for n in range(300)]

    bucket.delete_object(Bucket=BUCKET, Key="lake/out/_baton/part-00002.parquet.json")
    again = run(there, first, source, target)
    assert (again.kept, again.rows) == (3, 300)
    assert {k: e for k, e in keys().items() if k in parts} == {k: before[k] for k in parts}
    assert run(there, first, f"{source}/1.parquet", f"{target}-1").rows == 150


def test_an_s3_that_refuses_is_out_of_reach(
    settings: Settings, first: Route, seaweed: ObjectStore, bucket, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    arguments = ["--input", f"s3://{BUCKET}/lake/in", "--output", str(tmp_path / "out")]
    environ = {"BATON_HOME": str(settings.home), "MLFLOW_S3_ENDPOINT_URL": seaweed.endpoint}
    done = CliRunner(env=environ).invoke(main, ["score", "iris", *arguments])
    assert done.exit_code == 4, done.stderr
    assert "look at the bucket and the keys" in done.stderr
