"""Nightly jobs: each leaves one line in the results, and its output in a file."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from benchmarks import results
from benchmarks.nightly import JOBS, TITLE, Job, record, run


def test_a_job_that_held_and_one_that_did_not_leave_their_lines(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    results.put("Other", "stays", page=page)
    console = Console(quiet=True)
    good = run(Job("good", "says something", "platform"), console, logs=tmp_path)
    bad = run(Job("bad", "is no module", "no_such_module"), console, logs=tmp_path)
    assert (good.code, bad.code) == (0, 1)
    record([good, bad], page=page)
    record([good], page=page)
    text = results.read(page)[TITLE]
    assert text.count("| good | says something | held |") == 1
    assert text.count("| bad | is no module | **exit 1** |") == 1
    assert "no_such_module" in (tmp_path / "bad.log").read_text()
    assert results.read(page)["Other"].strip() == "stays"


def test_every_job_has_a_name_of_its_own() -> None:
    assert len({job.name for job in JOBS}) == len(JOBS)
