"""The Helm chart, rendered by Helm itself and held against Kubernetes' own schemas.

There is no cluster here: what a controller does with the objects is not tested. ServiceMonitor and
PrometheusRule are of the Prometheus operator, whose schemas are not at hand: their shape is
checked by `shapes.py`, which is ours.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import yaml
from flask import Flask

import registry.__main__
import serving.__main__
import training.__main__
from registry.settings import Settings
from serving.routes import operations
from tests.stack.chart import shapes
from tests.stack.chart.conftest import RULE_FILE
from tests.stack.chart.rules import RULES
from tests.stack.chart.variants import ROOT, VARIANTS, Helm, Object, containers, env_of, one, pods
from training.jobs import worker

OLDEST = (1, 27)
# What another branch of the same release brings; looked for as soon as it is there.
COMING = () if (ROOT / "registry" / "migrating.py").exists() else ("migrate", "registry.heart")


@pytest.fixture(params=VARIANTS)
def objects(rendered: dict[str, list[Object]], request: pytest.FixtureRequest) -> list[Object]:
    return rendered[request.param]


@pytest.fixture
def everything(rendered: dict[str, list[Object]]) -> list[Object]:
    return rendered["everything"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_helms_linter_finds_nothing(helm: Helm, chart: Path, variant: str) -> None:
    assert helm.lint(chart, VARIANTS[variant]) == []


def test_every_kubernetes_version_that_is_supported_takes_every_object(
    helm: Helm, rendered: dict[str, list[Object]]
) -> None:
    different = {json.dumps(o, sort_keys=True): o for all_ in rendered.values() for o in all_}
    versions = [v for v in helm.versions() if tuple(map(int, v.split("."))) >= OLDEST]
    assert len(versions) >= 3, versions
    for version in (versions[0], versions[len(versions) // 2], versions[-1]):
        refused, unknown = helm.validate([*different.values()], version)
        assert [*refused] == []
        assert unknown == {"ServiceMonitor", "PrometheusRule"}


@pytest.mark.parametrize("rule", RULES)
def test_what_must_be_true_is_true_of_every_variant(objects: list[Object], rule: str) -> None:
    assert RULES[rule](objects) == []


def test_objects_of_the_prometheus_operator_have_its_shape(everything: list[Object]) -> None:
    for component in ("serving", "monitor"):
        assert shapes.service_monitor(one(everything, "ServiceMonitor", component)) == []
    assert shapes.prometheus_rule(one(everything, "PrometheusRule")) == []


def test_rules_come_through_helm_as_they_are(everything: list[Object]) -> None:
    assert one(everything, "PrometheusRule")["spec"] == yaml.safe_load(RULE_FILE)


def test_settings_can_read_what_every_container_is_given(
    objects: list[Object], tmp_path: Path
) -> None:
    """As the process would, with files where the secrets are."""
    secret = tmp_path / "secret"
    secret.write_text("postgresql://baton:…@db/baton", encoding="utf-8")
    for name, container in containers(objects):
        environ = {
            key: str(secret) if key.endswith("_FILE") else value
            for key, value in env_of(container).items()
        }
        settings = Settings.read(environ, dotenv=tmp_path / "none")
        assert settings.ledger_url.startswith("postgresql+psycopg2://"), name
        assert not settings.is_embedded, name
        assert settings.actor.startswith("shop-"), name


def test_every_command_exists(objects: list[Object]) -> None:
    commands = {"registry": registry.__main__.main, "training": training.__main__.main}
    asked = [container["command"] for _, container in containers(objects)]
    asked += [
        container["livenessProbe"]["exec"]["command"]
        for _, container in containers(objects)
        if "exec" in container.get("livenessProbe", {})
    ]
    for python, dash_m, module, *words in asked:
        assert (python, dash_m) == ("python", "-m")
        if module in COMING or {*words} & {*COMING}:
            continue
        assert importlib.util.find_spec(module), module
        if words:
            assert words[0] in commands[module].commands


def test_every_probe_asks_a_path_that_answers(objects: list[Object]) -> None:
    app = Flask("probed")
    app.register_blueprint(operations.blueprint)
    paths = {rule.rule for rule in app.url_map.iter_rules()}
    asked = {
        (container["name"], container[probe]["httpGet"]["path"])
        for _, container in containers(objects)
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        if "httpGet" in container.get(probe, {})
    }
    asked.discard(("monitor", "/metrics"))  # the only path of its page
    assert asked == {("serving", "/livez"), ("serving", "/readyz")}
    assert {path for _, path in asked} <= paths


def test_a_node_is_given_the_time_that_its_end_may_take(
    rendered: dict[str, list[Object]], tmp_path: Path
) -> None:
    """The wait before it is told, then each of its processes in turn, as the supervisor does."""
    for objects in rendered.values():
        [(_, pod)] = [(name, pod) for name, pod in pods(objects) if name.endswith("-serving")]
        [container] = pod["spec"]["containers"]
        engines = env_of(container).get("BATON_ENGINES", "onnx,prophet")
        settings = Settings(
            home=tmp_path, engines=tuple(engines.split(",")), ledger_url="postgresql://db/baton"
        )
        [_, waited] = container["lifecycle"]["preStop"]["exec"]["command"]
        needed = int(waited) + serving.__main__._GRACE_SECONDS * len(
            serving.__main__._children(settings.resolved())
        )
        assert pod["spec"]["terminationGracePeriodSeconds"] > needed


def test_a_worker_is_given_the_time_to_give_its_job_back(everything: list[Object]) -> None:
    spec = one(everything, "Deployment", "worker")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > worker._CLOSING_SECONDS


def test_counts_are_kept_in_memory(objects: list[Object]) -> None:
    [pod] = [pod for name, pod in pods(objects) if name.endswith("-serving")]
    [container] = pod["spec"]["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    settings = Settings(home=Path("/var/lib/baton"))
    [name] = {mounts.get(str(folder)) for folder in settings.metrics_dir.parents} - {None}
    [volume] = [one for one in pod["spec"]["volumes"] if one["name"] == name]
    assert volume["emptyDir"]["medium"] == "Memory"


def test_one_registrar_runs_and_is_gone_before_the_next(objects: list[Object]) -> None:
    spec = one(objects, "Deployment", "registrar")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_the_migration_is_done_before_anything_is_installed_or_changed(
    objects: list[Object],
) -> None:
    job = one(objects, "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]  # there is none yet


def test_an_autoscaler_is_the_only_one_to_say_how_many(rendered: dict[str, list[Object]]) -> None:
    assert "replicas" in one(rendered["minimal"], "Deployment", "serving")["spec"]
    assert "replicas" not in one(rendered["scaled by CPU only"], "Deployment", "serving")["spec"]
    scaler = one(rendered["everything"], "HorizontalPodAutoscaler")["spec"]
    assert [metric["type"] for metric in scaler["metrics"]] == ["Resource", "Pods"]
    assert scaler["scaleTargetRef"]["kind"] == "StatefulSet"


@pytest.mark.parametrize("variant", ["several models and an ingress", "an ingress for all models"])
def test_only_predictions_are_asked_twice(rendered: dict[str, list[Object]], variant: str) -> None:
    """Whether a controller reads a prefix by its parts, as it should, or as a text."""
    assert shapes.asked_twice(rendered[variant], models=("iris", "petr4")) == {
        "POST /predict": True,
        "GET /predict/PETR4": True,
        "POST /invocations": True,
        "POST /v2/models/iris/infer": True,
        "POST /models/iris/predict": variant.startswith("several"),
        "POST /models/petr4/predict": variant.startswith("several"),
        "POST /predict-custom": False,
        "POST /train": False,
        "DELETE /jobs/1": False,
        "GET /models": False,
    }
