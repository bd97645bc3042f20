"""`make bench-watching`: how often, and how soon, a watched version is gone back from.

    python -m benchmarks.watching                     everything, a few minutes
    python -m benchmarks.watching --windows 200 --page page.md

Requests are drawn, with seeds that are fixed; the test is the one that the registrar uses, looked
at after every request. Nothing else runs: these numbers hold on any machine.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import results
from benchmarks.results import Row, Section
from benchmarks.sequences import Setting, Test, chance_of_an_alarm, ours, peeking, windows
from registry.sequential import LEAST_BAD, LEAST_RATIO
from registry.watch import FALSE_ALARMS

_TITLE = "Watching a new version"
_SEED = 7
_KNOWN = (20_000, 5_000, 1_000)
_WATCHED = 10_000
# Errors, slow answers, unsure answers.
_USUAL = (0.05, 0.05, 0.05)
_COMPUTED = (0.001, 0.01, 0.05, 0.2)
_MOST_REQUESTS = 500
_MOST_FALSE = 1.0  # percent
_NOTES = (
    f"""an A/A window: a version that is no worse is watched for {_WATCHED:,} requests, looked at
    after each, for errors, slow and unsure answers at once ({_USUAL[0]:.0%} each, before and
    after); all three share the bound of the test, {FALSE_ALARMS:.1%}, errors have half of it""",
    """the version before is known by that many requests, drawn anew for each window""",
    f"""found: at least {LEAST_BAD} bad requests, and {LEAST_RATIO:g} times the share of before""",
    """least and most are of the windows: the share itself has neither; where a version was never
    found within the window, its length counts""",
    """computed: the chance itself, by the binomial's own sums, over 2,000 requests, of errors alone
    with their half of the bound; what is drawn scatters around such""",
    """peeking: a test of two shares for one look (p below the same bound) taken at every look: what
    the sequential test is for""",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, write the section, show it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.watching",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--windows", type=int, default=1_000, help="of each kind (%(default)s)")
    parser.add_argument("--page", type=Path, default=results.PAGE, help="where the section goes")
    given = parser.parse_args(arguments)
    console, rows = Console(), list[Row]()
    for row in measured(given.windows):
        console.print("  ".join(row.cells()), highlight=False)
        rows.append(row)
    made_by = shlex.join(["python", "-m", "benchmarks.watching", *sys.argv[1:]])
    notes = [" ".join(note.split()) for note in _NOTES]
    section = Section(_TITLE, made_by, rows, notes, packages=("numpy",))
    results.write(section, page=given.page)
    return 0


def measured(number: int) -> Iterator[Row]:
    """All rows, with so many windows for each that is drawn."""
    for known in _KNOWN:
        yield _false(known, number, ours, "A/A windows rolled back")
    yield _false(_KNOWN[0], number, peeking, "the same by peeking", goal=None)
    for known in _KNOWN:
        for after, goal in ((0.10, float(_MOST_REQUESTS)), (0.075, None), (0.50, None)):
            yield _soon(known, number, after, goal)
    for share in _COMPUTED:
        name = f"computed, {share:.1%} of 1,000 known requests bad: false alarms"
        chance = chance_of_an_alarm(1_000, 2_000, share, false_alarms=FALSE_ALARMS / 2)
        yield Row.of(name, [100 * chance], unit="%", goal=100 * FALSE_ALARMS / 2)


def _false(
    known: int, number: int, test: Test, name: str, *, goal: float | None = _MOST_FALSE
) -> Row:
    """How many windows of a version that is no worse are ended."""
    setting = Setting(known=known, watched=_WATCHED, before=_USUAL, after=_USUAL)
    found = windows(setting, number=number, seed=_SEED, test=test)
    share = 100 * sum(one is not None for one in found) / number
    return Row.of(f"{name}, {known:,} known requests", [share], unit="%", goal=goal)


def _soon(known: int, number: int, after: float, goal: float | None) -> Row:
    """After how many requests a version with more errors is left."""
    worse = (after, *_USUAL[1:])
    setting = Setting(known=known, watched=_WATCHED, before=_USUAL, after=worse)
    found = windows(setting, number=number, seed=_SEED)
    counted = [_WATCHED if one is None else one for one in found]
    name = f"errors {_USUAL[0]:.0%} → {after:.1%}, {known:,} known requests: found after"
    return Row.of(name, counted, unit="requests", goal=goal)


if __name__ == "__main__":
    raise SystemExit(main())
