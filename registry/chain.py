"""Whether the ledger is still what was appended: every entry's hash, every chain, every number.

Pure: the ledger hands out `Chains`, `first_break` finds the earliest entry that is not as it was.
It finds what was changed, removed or put in. It cannot find an end that was rewritten with all its
hashes: for that, keep the hash that `verify` prints somewhere else. Called by `verify`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from registry.ledger import Entry, Key


@dataclass(frozen=True)
class Link:
    """An entry beside the hash stored with it; `entry` is None if it cannot be read."""

    revision: int
    model: str
    key: Key
    stored_hash: str
    entry: Entry | None


@dataclass(frozen=True)
class Chains:
    """A whole ledger: every link by revision, each model's head, and the last revision given."""

    links: Sequence[Link]
    heads: Mapping[str, int]
    revision: int

    def of(self, model: str) -> Sequence[Link]:
        """One model's links, oldest first."""
        return [link for link in self.links if link.model == model]


@dataclass(frozen=True)
class Break:
    """An entry that is not as it was appended, and how one can tell."""

    revision: int
    where: str
    problem: str

    def __str__(self) -> str:
        """As people read it."""
        return f"{self.where} (revision {self.revision}): {self.problem}"


def first_break(chains: Chains, model: str | None = None) -> Break | None:
    """The break with the lowest revision, of one model or of the whole ledger."""
    models = {*chains.heads, *(link.model for link in chains.links)} if model is None else {model}
    found = list(_missing(chains)) if model is None else []
    found += [fault for name in sorted(models) for fault in _of_model(chains, name)]
    return min(found, key=lambda fault: fault.revision, default=None)


def _of_model(chains: Chains, model: str) -> Iterator[Break]:
    links, before = chains.of(model), ""
    for link in links:
        where = f"{model} {link.key}"
        if link.entry is None:
            yield Break(link.revision, where, "cannot be read: somebody wrote into it")
        elif link.entry.hash != link.stored_hash:
            yield Break(link.revision, where, "was changed: its contents do not give its hash")
        elif link.entry.previous_hash != before:
            yield Break(link.revision, where, "does not follow the entry before it")
        before = link.stored_hash
    last, head = links[-1].revision if links else 0, chains.heads.get(model, 0)
    if last != head:
        yield Break(max(last, head), model, f"its head is revision {head}, its last entry {last}")


def _missing(chains: Chains) -> Iterator[Break]:
    """Revisions are given in the transaction that appends, so there is one entry for each."""
    there = {link.revision for link in chains.links}
    for revision in range(1, max([chains.revision, *there]) + 1):
        if revision not in there:
            yield Break(revision, "the ledger", "an entry was removed")
        elif revision > chains.revision:
            yield Break(revision, "the ledger", "an entry was put in")
