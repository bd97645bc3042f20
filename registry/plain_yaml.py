"""YAML as an MLmodel file has it: a mapping, not deep, with next to no aliases.

Read by libyaml where PyYAML was built with it: ten times as fast, which counts for a fleet's
thousands of versions. It builds what it reads by recursion on the C stack, so depth is looked at
first, in its events, which need none.
"""

from __future__ import annotations

from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_ALIASES = 16
_MAX_DEPTH = 64


def mapping_of(text: str) -> dict[str, Any]:
    """The mapping that `text` is; raises ValueError for anything else."""
    try:
        _refuse_bomb(text)
        data = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe one
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"expected a mapping, got {type(data).__name__}")  # noqa: TRY004
    return data


def _refuse_bomb(text: str) -> None:
    """Raise ValueError for what unfolds to more than memory or the stack holds."""
    aliases = depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if aliases > _MAX_ALIASES:
            raise ValueError(f"not YAML: more than {_MAX_ALIASES} aliases")
        if depth > _MAX_DEPTH:
            raise ValueError(f"not YAML: more than {_MAX_DEPTH} levels deep")
