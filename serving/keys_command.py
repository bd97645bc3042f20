"""`python -m serving keys`: make, show and end API keys of this node.

python -m serving keys add shop --scope predict --per-second 50
python -m serving keys list
python -m serving keys revoke 1f0c3a5b7d9e
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from registry.errors import UsageError
from registry.settings import Settings
from serving.keys import Key, KeyFile, Scope


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 2 for what cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m serving keys",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    add = verbs.add_parser("add", help="make a key, and print it: nobody can print it again")
    add.add_argument("name", help="who has it")
    add.add_argument(
        "--scope", action="append", choices=list(Scope), help="what it may do (predict); repeatable"
    )
    add.add_argument("--per-second", type=float, default=0.0, help="requests let through (all)")
    listing = verbs.add_parser("list", help="show all keys, without their secrets")
    listing.add_argument("--json", action="store_true", help="for machines")
    revoke = verbs.add_parser("revoke", help="end a key: servers know within a second")
    revoke.add_argument("id", help="the key's id, as `list` shows it")
    given = parser.parse_args(arguments)
    try:
        file = KeyFile(Settings.read().keys_path)
        if given.verb == "add":
            if not 0 <= given.per_second < float("inf"):
                parser.error(f"--per-second: expected 0 or more, got {given.per_second}")
            scopes = [Scope(one) for one in given.scope or [Scope.PREDICT]]
            _say(file.add(given.name, scopes, per_second=given.per_second))
        elif given.verb == "revoke":
            _say(f"{file.revoke(given.id).id} is revoked")
        else:
            _list(file, as_json=given.json)
    except UsageError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    return 0


def _list(file: KeyFile, *, as_json: bool) -> None:
    keys = file.read()
    if as_json:
        _say(json.dumps([_shown(key) for key in keys]))
        return
    for key in keys:
        made = "an unknown day" if key.made is None else key.created
        state = f"revoked {key.revoked}" if key.revoked else f"since {made}"
        rate = f" {key.per_second:g}/s" if key.per_second else ""
        _say(f"{key.id}  {key.name}  {','.join(key.scopes)}{rate}  {state}")


def _shown(key: Key) -> dict[str, object]:
    """A key without its secret's digest."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "per_second": key.per_second or None,
        "created": key.created or None,
        "revoked": key.revoked or None,
    }


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
