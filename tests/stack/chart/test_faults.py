"""Every checker of the chart finds the fault it is there for, planted into what is rendered."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.chart import CHART
from tests.stack.chart import shapes
from tests.stack.chart.conftest import RULE_FILE
from tests.stack.chart.rules import RULES
from tests.stack.chart.variants import MINIMAL, VARIANTS, Helm, Object

Plant = Callable[[list[Object]], Any]


def found(objects: list[Object], kind: str, ending: str = "serving") -> Object:
    """The first object of a kind whose name ends so."""
    return next(o for o in objects if o["kind"] == kind and o["metadata"]["name"].endswith(ending))


def pod(objects: list[Object], ending: str = "serving") -> Object:
    """The pod of a workload."""
    kinds = {"Deployment", "StatefulSet", "Job"}
    return next(
        o["spec"]["template"]["spec"]
        for o in objects
        if o["kind"] in kinds and o["metadata"]["name"].endswith(ending)
    )


def container(objects: list[Object], ending: str = "serving") -> Object:
    """The container of a workload."""
    return pod(objects, ending)["containers"][0]


def variable(name: str, **what: Any) -> Plant:
    """One more variable in the serving container."""
    return lambda objects: container(objects)["env"].append({"name": name, **what})


PLANTED: dict[str, tuple[str, Plant]] = {
    "root": ("confined", lambda o: pod(o, "worker")["securityContext"].update(runAsUser=0)),
    "perhaps root": ("confined", lambda o: pod(o)["securityContext"].pop("runAsNonRoot")),
    "root after all": (
        "confined",
        lambda o: container(o, "migrate")["securityContext"].update(runAsUser=0),
    ),
    "no seccomp": ("confined", lambda o: pod(o)["securityContext"].pop("seccompProfile")),
    "a root to write to": (
        "confined",
        lambda o: container(o)["securityContext"].update(readOnlyRootFilesystem=False),
    ),
    "more rights": (
        "confined",
        lambda o: container(o)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    ),
    "a token": ("confined", lambda o: pod(o).pop("automountServiceAccountToken")),
    "variables of Services": ("confined", lambda o: pod(o).update(enableServiceLinks=True)),
    "the host's network": ("confined", lambda o: pod(o).update(hostNetwork=True)),
    "the host's disk": (
        "confined",
        lambda o: pod(o)["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    ),
    "no limit": ("limited", lambda o: container(o, "registrar")["resources"]["limits"].clear()),
    "no request": ("limited", lambda o: container(o)["resources"]["requests"].pop("cpu")),
    "a folder without end": (
        "limited",
        lambda o: pod(o)["volumes"].append({"name": "x", "emptyDir": {}}),
    ),
    "a Secret": (
        "kept_secret",
        lambda o: o.append({"kind": "Secret", "metadata": {"name": "s"}, "data": {}}),
    ),
    "a password in an address": (
        "kept_secret",
        variable("MLFLOW_TRACKING_URI", value="https://a:b@mlflow"),
    ),
    "a key in clear": ("kept_secret", variable("AWS_SECRET_ACCESS_KEY", value="hush")),
    "a ledger in clear": ("kept_secret", variable("BATON_LEDGER_URL", value="postgresql://db/x")),
    "an unknown setting": ("known_settings", variable("BATON_WORKER", value="2")),
    "a file of what is no secret": ("known_settings", variable("BATON_WORKERS_FILE", value="/x")),
    "a setting twice": ("known_settings", variable("BATON_HOME", value="/var/lib/baton")),
    "a mount of nothing": (
        "mounted",
        lambda o: container(o)["volumeMounts"].append({"name": "x", "mountPath": "/x"}),
    ),
    "a volume for nobody": (
        "mounted",
        lambda o: pod(o)["volumes"].append({"name": "x", "emptyDir": {"sizeLimit": "1Mi"}}),
    ),
    "a path in the image": ("mounted", variable("BATON_FALLBACK_DIR", value="/srv/fallback")),
    "a secret's file that is not there": (
        "mounted",
        variable("BATON_LEDGER_URL_FILE", value="/run/secrets/baton/other"),
    ),
    "a Service of nobody": (
        "joined",
        lambda o: found(o, "Service")["spec"]["selector"].update({"app": "other"}),
    ),
    "a Service of all": (
        "joined",
        lambda o: found(o, "Service")["spec"]["selector"].pop("app.kubernetes.io/component"),
    ),
    "a selector that is not its pods'": (
        "joined",
        lambda o: found(o, "Deployment", "worker")["spec"]["selector"]["matchLabels"].update(a="b"),
    ),
    "an autoscaler of nothing": (
        "joined",
        lambda o: found(o, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(
            kind="Deployment"
        ),
    ),
    "a budget of nothing": (
        "joined",
        lambda o: found(o, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].update(a="b"),
    ),
    "a monitor of both Services": (
        "joined",
        lambda o: found(o, "ServiceMonitor")["spec"]["selector"]["matchLabels"].pop(
            "app.kubernetes.io/component"
        ),
    ),
    "an account that is not there": (
        "joined",
        lambda o: pod(o).update(serviceAccountName="somebody"),
    ),
    "an Ingress to nowhere": (
        "joined",
        lambda o: found(o, "Ingress", "everything")["spec"]["rules"][0]["http"]["paths"][0][
            "backend"
        ]["service"].update(name="other"),
    ),
    "the same name twice": ("joined", lambda o: o.append(copy.deepcopy(found(o, "Service")))),
    "a probe of another port": (
        "reachable",
        lambda o: container(o)["readinessProbe"]["httpGet"].update(port="metrics"),
    ),
    "a Service to another port": (
        "reachable",
        lambda o: found(o, "Service")["spec"]["ports"][0].update(targetPort="web"),
    ),
    "a Service to a port of other pods": (
        "reachable",
        lambda o: found(o, "Service")["spec"]["ports"][0].update(targetPort="metrics"),
    ),
    "a monitor of another port": (
        "reachable",
        lambda o: found(o, "ServiceMonitor")["spec"]["endpoints"][0].update(port="metrics"),
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(rendered: dict[str, list[Object]], fault: str) -> None:
    rule, plant = PLANTED[fault]
    objects = copy.deepcopy(rendered["everything"])
    assert RULES[rule](objects) == []
    plant(objects)
    assert RULES[rule](objects) != []


def test_every_rule_has_a_fault_of_its_own() -> None:
    assert {rule for rule, _ in PLANTED.values()} == {*RULES}


@pytest.mark.parametrize(
    "plant",
    [
        lambda o: found(o, "StatefulSet")["spec"].update(replicas="three"),
        lambda o: found(o, "StatefulSet")["spec"].update(strategy={}),
        lambda o: container(o)["readinessProbe"].update(httpGet={"path": "/readyz"}),
        lambda o: found(o, "Ingress", "everything").update(apiVersion="networking.k8s.io/v1beta9"),
    ],
    ids=["a wrong type", "an unknown field", "a missing field", "an unknown version"],
)
def test_kubernetes_schemas_find_a_planted_fault(
    helm: Helm, rendered: dict[str, list[Object]], plant: Plant
) -> None:
    objects = copy.deepcopy(rendered["everything"])
    plant(objects)
    refused, unknown = helm.validate(objects, helm.versions()[-1])
    assert refused or "Ingress" in unknown


def test_helms_linter_finds_a_planted_fault(helm: Helm, chart: Path, tmp_path: Path) -> None:
    broken = tmp_path / "baton"
    for path in chart.rglob("*"):
        if path.is_file():
            target = broken / path.relative_to(chart)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    with (broken / "templates" / "service.yaml").open("a", encoding="utf-8") as file:
        file.write("\n{{ .Values.nothing.of.this }}\n")
    assert helm.lint(broken, MINIMAL) != []


@pytest.mark.parametrize(
    ("check", "kind", "plant"),
    [
        (shapes.service_monitor, "ServiceMonitor", lambda s: s["endpoints"][0].pop("port")),
        (shapes.service_monitor, "ServiceMonitor", lambda s: s.update(joblabel="job")),
        (
            shapes.prometheus_rule,
            "PrometheusRule",
            lambda s: s["groups"][0]["rules"][0].pop("expr"),
        ),
        (shapes.prometheus_rule, "PrometheusRule", lambda s: s["groups"][0].update(rule=[])),
    ],
)
def test_our_own_shapes_find_a_planted_fault(
    rendered: dict[str, list[Object]],
    check: Callable[[Object], list[str]],
    kind: str,
    plant: Callable[[Object], Any],
) -> None:
    planted = copy.deepcopy(found(rendered["everything"], kind))
    plant(planted["spec"])
    assert check(planted) != []


def test_a_retried_training_would_be_found(rendered: dict[str, list[Object]]) -> None:
    objects = copy.deepcopy(rendered["an ingress for all models"])
    ours, theirs = (found(objects, "Ingress", end) for end in ("everything", "predictions"))
    ours["metadata"]["annotations"] = theirs["metadata"]["annotations"]
    assert shapes.asked_twice(objects, models=())["POST /train"] is True


def test_a_value_that_the_schema_does_not_know_would_be_found() -> None:
    schema = {
        "definitions": {},
        "additionalProperties": False,
        "properties": {"known": {"properties": {}}},
    }
    assert shapes.unlike({"known": {}, "new": 1}, schema) == [
        "new: in one of the two only",
        "known.: takes what it does not know",
    ]


def test_variants_differ_and_the_rules_are_ours(rendered: dict[str, list[Object]]) -> None:
    """Else a value would have been set that renders nothing."""
    texts = [repr(objects) for objects in rendered.values()]
    assert len({*texts}) == len(VARIANTS)
    assert "BatonSlow" in RULE_FILE
    assert not (CHART / "rules").exists()  # they have one home, and are copied from there
