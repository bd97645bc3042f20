"""`RESULTS.md`: one section a measurement, each replaced only by whoever measures it again."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_name("RESULTS.md")
_INTRODUCTION = """# Numbers

Machines are shared and noisy: the median is what counts, least and most show the spread; only
ratios within one run carry over to another machine. Each section is written by the command it
names, and has the commit it was measured at.
"""


@dataclass(frozen=True)
class Row:
    """One measured thing: median, least and most of the repeats, in `unit`; the goal if any.

    The goal is the most there may be, or with `at_least` the least; it is for the median, or with
    `at_worst` for the most.
    """

    name: str
    median: float
    least: float
    most: float
    unit: str = "ms"
    goal: float | None = None
    at_worst: bool = False
    at_least: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        values: Sequence[float],
        *,
        unit: str = "ms",
        goal: float | None,
        at_worst: bool = False,
        at_least: bool = False,
    ) -> Row:
        """The row of some repeats."""
        middle = statistics.median(values)
        return cls(name, middle, min(values), max(values), unit, goal, at_worst, at_least)

    @property
    def verdict(self) -> str:
        """Whether the goal was met; empty without one."""
        if self.goal is None:
            return ""
        value = self.most if self.at_worst else self.median
        held = value >= self.goal if self.at_least else value <= self.goal
        return "met" if held else "**missed**"

    def cells(self) -> tuple[str, ...]:
        """As shown in a table."""
        unit = f" {self.unit}" if self.unit else ""
        goal = "" if self.goal is None else f"{'≥' if self.at_least else '≤'} {self.goal:g}{unit}"
        values = (f"{_digits(value)}{unit}" for value in (self.median, self.least, self.most))
        return (self.name, *values, goal, self.verdict)


def _digits(value: float) -> str:
    """Four of them, or all of a large number."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


COLUMNS = ("", "median", "least", "most", "goal", " ")


@dataclass(frozen=True)
class Section:
    """What one command measured: rows, what has to be known to read them, and the raw histories.

    `raw` are pairs of a path and the SHA-256 of what it held.
    """

    title: str
    made_by: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    raw: Sequence[tuple[Path, str]] = ()
    packages: Sequence[str] = ("numpy", "onnxruntime", "flask", "gunicorn")

    def text(self) -> str:
        """As markdown, without its heading."""
        lines = [
            f"By `{self.made_by}`, {stamp(self.packages)}.",
            "",
            "| | median | least | most | goal | |",
            "|---|---|---|---|---|---|",
            *(f"| {' | '.join(row.cells())} |" for row in self.rows),
            "",
            *(f"- {note}" for note in self.notes),
            *(f"- raw: `{_shown(path)}`, sha256 `{digest}`" for path, digest in self.raw),
        ]
        return "\n".join(lines).rstrip() + "\n"


def write(section: Section, *, page: Path = PAGE) -> None:
    """Replace this section of the page, or append it; every other one stays as it is."""
    put(section.title, section.text(), page=page)


def table(section: Section) -> Table:
    """The section as a terminal shows it."""
    shown = Table(*COLUMNS, title=section.title)
    for row in section.rows:
        shown.add_row(*(cell.replace("**", "") for cell in row.cells()))
    return shown


def put(title: str, text: str, *, page: Path = PAGE) -> None:
    """Replace the section under one heading."""
    sections = read(page)
    sections[title] = text
    body = "\n".join(f"## {name}\n\n{what.strip()}\n" for name, what in sections.items())
    page.write_text(f"{_INTRODUCTION}\n{body}", encoding="utf-8")


def read(page: Path = PAGE) -> dict[str, str]:
    """The sections of the page by title, in their order."""
    if not page.exists():
        return {}
    _, *parts = re.split(r"^## (.*)\n", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def stamp(packages: Sequence[str] = ()) -> str:
    """When, at which commit, on what."""
    commit = _git("describe", "--always")
    # The numbers themselves change the page: that is no other code.
    if _git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{_shown(PAGE)}"):
        commit += "-dirty"
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    machine = [f"{os.cpu_count()} cores", f"Python {platform.python_version()}", *versions]
    today = datetime.datetime.now(datetime.UTC)
    return f"{today:%Y-%m-%d}, commit {commit or 'unknown'}, {', '.join(machine)}"


def _git(*words: str) -> str:
    """What git prints; nothing where there is none."""
    command = ["git", *words]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()


def _shown(path: Path) -> str:
    """A path as one reads it from the project's folder."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
