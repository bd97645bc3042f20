"""Shapes that no schema here knows: operators' objects, the values themselves, two Ingresses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from registry.settings import Settings
from registry.variables import variable
from tests.stack.chart.variants import Object

ALL_SETTINGS = {variable(field) for field in dataclasses.fields(Settings)}
# What the chart says itself, or what has no meaning in a pod of it.
OWN_SETTINGS = {
    "BATON_ACTOR",
    "BATON_API_KEYS",
    "BATON_BACKUP_AUTH_URL",
    "BATON_BIND",
    "BATON_BUNDLE",
    "BATON_DATA",
    "BATON_FALLBACK_DIR",
    "BATON_GATES",
    "BATON_HOME",
    "BATON_JOBS_URL",
    "BATON_LEDGER_URL",
    "BATON_MODELS",
    "BATON_MONITORING",
    "BATON_MONITOR_BIND",
    "BATON_PACKAGE_MEMORY_MB",
    "BATON_PREDICTIONS_URL",
    "BATON_RAY_ADDRESS",
    "BATON_RULES",
    "BATON_TRIAL_MEMORY_MB",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_S3_ENDPOINT_URL",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
}
_RETRIES = "proxy-next-upstream"
_FREE = {"annotations", "labels"}  # maps whose keys people choose
_OPEN = {"settings", "affinity", "nodeSelector", "podAnnotations", "predictAnnotations"}


def service_monitor(one: Object) -> list[str]:
    """What is wrong with a ServiceMonitor of monitoring.coreos.com/v1."""
    found = _head(one, "monitoring.coreos.com/v1", "ServiceMonitor")
    found += _keys(
        "spec", one["spec"], {"selector", "endpoints"}, {"jobLabel", "namespaceSelector"}
    )
    for end in one["spec"]["endpoints"]:
        found += _keys("endpoint", end, {"port", "path", "interval"}, {"authorization"})
        if given := end.get("authorization"):
            found += _keys("authorization", given, {"type", "credentials"}, set())
            found += _keys("credentials", given["credentials"], {"name", "key"}, set())
    return found


def prometheus_rule(one: Object) -> list[str]:
    """What is wrong with a PrometheusRule of monitoring.coreos.com/v1."""
    found = _head(one, "monitoring.coreos.com/v1", "PrometheusRule")
    found += _keys("spec", one["spec"], {"groups"}, set())
    for group in one["spec"]["groups"]:
        found += _keys("group", group, {"name", "rules"}, {"interval", "limit"})
        for rule in group["rules"]:
            if "record" in rule:
                found += _keys("rule", rule, {"record", "expr"}, {"labels"})
            else:
                more = {"for", "labels", "annotations", "keep_firing_for"}
                found += _keys("rule", rule, {"alert", "expr"}, more)
    return found


def ray_job(one: Object) -> list[str]:
    """What is wrong with a RayJob of ray.io/v1, but for its pods, which have a schema."""
    found = _head(one, "ray.io/v1", "RayJob")
    optional = {
        "shutdownAfterJobFinishes",
        "ttlSecondsAfterFinished",
        "activeDeadlineSeconds",
        "backoffLimit",
        "submissionMode",
        "submitterPodTemplate",
    }
    found += _keys("spec", one["spec"], {"entrypoint", "rayClusterSpec"}, optional)
    cluster = one["spec"]["rayClusterSpec"]
    found += _keys("cluster", cluster, {"headGroupSpec", "workerGroupSpecs", "rayVersion"}, set())
    found += _keys("head", cluster["headGroupSpec"], {"rayStartParams", "template"}, set())
    needed = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
    for group in cluster["workerGroupSpecs"]:
        found += _keys("group", group, needed, set())
        if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
            found.append("group: expected minReplicas ≤ replicas ≤ maxReplicas")
    return found


def paths(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Where every value stands; a map that people fill themselves is one value."""
    for name, value in values.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping) and value and name not in _FREE | _OPEN:
            yield from paths(value, f"{path}.")
        else:
            yield path


def unlike(values: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Values that the schema does not know, and the reverse; where it takes what it does not."""
    return [*_unlike("", values, schema, schema["definitions"])]


def asked_twice(objects: Sequence[Object], *, models: Sequence[str]) -> dict[str, bool]:
    """Whether a request that failed is sent to another node, by method and path."""
    asked = [
        *("POST /predict", "GET /predict/PETR4", "POST /invocations", "POST /v2/models/iris/infer"),
        *(f"POST /models/{model}/predict" for model in models),
        *("POST /predict-custom", "POST /train", "DELETE /jobs/1", "GET /models"),
    ]
    answers = {}
    for one in asked:
        by = {_retries(objects, one.partition(" ")[2], by_parts=how) for how in (True, False)}
        [answers[one]] = by
    return answers


def _retries(objects: Sequence[Object], path: str, *, by_parts: bool) -> bool:
    """By the Ingress whose path is the longest that matches, an exact one first."""
    hits = [
        (rule["pathType"] == "Exact", len(rule["path"]), one)
        for one in objects
        if one["kind"] == "Ingress"
        for rule in one["spec"]["rules"][0]["http"]["paths"]
        if _matches(path, rule, by_parts=by_parts)
    ]
    *_, chosen = max(hits, key=lambda hit: hit[:2])
    return any(_RETRIES in name for name in chosen["metadata"].get("annotations", {}))


def _matches(path: str, rule: Mapping[str, str], *, by_parts: bool) -> bool:
    if rule["pathType"] == "Exact":
        return path == rule["path"]
    if not by_parts:
        return path.startswith(rule["path"])
    wanted = rule["path"].strip("/").split("/") if rule["path"].strip("/") else []
    return path.strip("/").split("/")[: len(wanted)] == wanted


def _unlike(
    path: str, values: Mapping[str, Any], schema: Mapping[str, Any], named: Mapping[str, Any]
) -> Iterator[str]:
    schema = _followed(schema, named)
    if "properties" not in schema:
        return
    if schema.get("additionalProperties") is not False:
        yield f"{path or 'the values'}: takes what it does not know"
    if path != "settings.":
        for name in {*values} ^ ({*schema["properties"]} - {"global"}):
            yield f"{path}{name}: in one of the two only"
    for name, value in values.items():
        if isinstance(value, Mapping) and name in schema["properties"]:
            yield from _unlike(f"{path}{name}.", value, schema["properties"][name], named)


def _followed(schema: Mapping[str, Any], named: Mapping[str, Any]) -> Mapping[str, Any]:
    return named[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _head(one: Object, version: str, kind: str) -> list[str]:
    found = _keys(kind, one, {"apiVersion", "kind", "metadata", "spec"}, set())
    if (one["apiVersion"], one["kind"]) != (version, kind):
        found.append(f"expected {kind} of {version}, got {one['kind']} of {one['apiVersion']}")
    return found


def _keys(what: str, one: Mapping[str, Any], needed: set[str], optional: set[str]) -> list[str]:
    """Keys that are missing, and such as nobody knows."""
    missing = [f"{what}: no {key}" for key in sorted(needed - {*one})]
    return missing + [f"{what}: unknown {key}" for key in sorted({*one} - needed - optional)]
