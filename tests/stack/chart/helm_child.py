"""Helm and Kubernetes' schemas, in their own environment: a child that `variants.py` talks to.

A JSON object a line comes in, one goes out. No cluster is asked by anything here.
"""

from __future__ import annotations

import functools
import json
import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import helm_python as helm
import kubernetes_validate
import yaml
from kubernetes_validate import utils

# A megabyte of definitions a version, read for each object otherwise.
utils.schema_contents = functools.cache(utils.schema_contents)


class _Once(yaml.SafeLoader):
    """YAML in which a key that stands twice is a mistake, not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:  # noqa: FBT002
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        if len(keys) != len({*keys}):
            raise yaml.YAMLError(f"a key stands twice: {sorted(map(str, keys))}{node.start_mark}")
        return super().construct_mapping(node, deep)


def render(chart: str, values: Mapping[str, Any], name: str = "shop") -> dict[str, Any]:
    """The objects of a release and its notes, or why there are none."""
    try:
        with helm.Chart.load(chart) as loaded:
            loaded.validate_schema(dict(values))
            files = loaded.render(dict(values), name=name, namespace="models")
    except helm.HelmError as error:
        return {"error": str(error)}
    notes = [text for path, text in files.items() if path.endswith("NOTES.txt")]
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    objects = [one for text in texts for one in yaml.load_all(text, Loader=_Once) if one]
    return {"objects": objects, "notes": "".join(notes)}


def lint(chart: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What Helm's linter says that is more than an advice."""
    found = helm.lint(chart, dict(values), namespace="models")["messages"]
    return {"found": [f"{one['path']}: {one['error']}" for one in found if one["severity"] > 1]}


def versions() -> dict[str, Any]:
    """Kubernetes versions whose schemas are here."""
    return {"versions": [utils.major_minor(str(one)) for one in utils.all_versions()]}


def validate(objects: Sequence[Mapping[str, Any]], version: str) -> dict[str, Any]:
    """What a version's schemas refuse, and the kinds that they do not know."""
    refused, unknown = [], set()
    for one in objects:
        what = f"{one['kind']}/{one['metadata']['name']}"
        try:
            if (used := kubernetes_validate.validate(one, version, strict=True)) != version:
                raise ValueError(f"schemas of {used} were taken instead of those of {version}")
        except kubernetes_validate.SchemaNotFoundError:
            unknown.add(one["kind"])
        except kubernetes_validate.ValidationError as error:
            path = ".".join(map(str, error.path))
            refused.append(f"{version}: {what}: {path}: {textwrap.shorten(error.message, 300)}")
    return {"refused": refused, "unknown": sorted(unknown)}


_DOES: Mapping[str, Callable[..., dict[str, Any]]] = {
    "render": render,
    "lint": lint,
    "versions": versions,
    "validate": validate,
}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = _DOES[asked.pop("do")](**asked)
    except Exception:  # noqa: BLE001 - the test that asked fails by it, the others go on
        answer = {"failed": traceback.format_exc()}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
