"""What the chart can be told: its values, their schema, their page, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from infra.chart import CHART, RULES, assemble, example
from tests.stack.chart import shapes
from tests.stack.chart.variants import MINIMAL, ChartRefused, Helm, changed


def test_the_schema_lets_through_every_setting_that_the_chart_does_not_make_itself() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    taken = {*schema["properties"]["settings"]["properties"]}
    assert taken | shapes.OWN_SETTINGS == shapes.ALL_SETTINGS
    assert taken & shapes.OWN_SETTINGS == set()


def test_the_schema_and_the_readme_know_every_value_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert shapes.unlike(values, schema) == []
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    assert [path for path in shapes.paths(values) if f"`{path}`" not in readme] == []


def test_the_notes_say_what_to_do_next(helm: Helm, chart: Path) -> None:
    notes = helm.notes(chart, MINIMAL)
    assert "deployment/shop-serving" in notes
    assert "port-forward svc/shop-serving" in notes
    assert "not in the log yet" in notes
    kept = helm.notes(chart, changed({"serving.store.type": "persistentVolumeClaim"}))
    assert "not in the log yet" not in kept


REFUSED = {
    "nothing is said": ({}, "images.serving.repository, .*database.owner.existingSecret"),
    "no keys of the API": ({"apiKeys.existingSecret": ""}, "needed and empty: apiKeys.existing"),
    "no MLflow": ({"mlflow.url": ""}, "needed and empty: mlflow.url"),
    "a monitor without a key": ({"serviceMonitor.enabled": True}, "metricsKey.existingSecret"),
    "an ingress without TLS": (
        {"ingress.enabled": True, "ingress.className": "nginx", "ingress.host": "m.example.com"},
        "needed and empty: ingress.tlsSecret",
    ),
    "a closed network without addresses": (
        {"networkPolicy.enabled": True},
        "networkPolicy.clients, networkPolicy.database.to",
    ),
    "a closed network in which nobody may scrape the monitor": (
        {
            "networkPolicy.enabled": True,
            "serviceMonitor.enabled": True,
            "metricsKey.existingSecret": "baton-metrics",
        },
        "networkPolicy.s3.to, networkPolicy.watchers",
    ),
    "a monitor that judges with more than it has": (
        {"monitor.packageMemoryMi": 8192},
        "monitor.memoryMi: expected at least 8704",
    ),
    "thresholds that nobody goes by": (
        {"monitor.enabled": False, "rules": "[default]\n"},
        "rules: expected none while monitor.enabled is false",
    ),
    "a trial as large as the pod": ({"serving.trialMemoryMi": 3072}, "expected at least 3712"),
    "a conversion as large": ({"registrar.packageMemoryMi": 8192}, "expected at least 8704"),
    "fewer at most than at least": (
        {"serving.autoscaling.enabled": True, "serving.autoscaling.minReplicas": 20},
        "minReplicas ≤ maxReplicas, got 20 and 10",
    ),
    "a value that does not exist": ({"serving.replica": 3}, "replica"),
    "a number where a text belongs": ({"settings": {"BATON_MAX_ROWS": 16777216}}, "BATON_MAX_ROWS"),
    "a setting that does not exist": ({"settings": {"BATON_WORKER": "2"}}, "BATON_WORKER"),
    "a setting that is the chart's": ({"settings": {"BATON_HOME": "/srv"}}, "BATON_HOME"),
    "a secret among the settings": (
        {"settings": {"BATON_LEDGER_URL": "postgresql://a:b@c/d"}},
        "BATON_LEDGER_URL",
    ),
    "a password in an address": ({"mlflow.url": "https://a:b@mlflow"}, "mlflow"),
    "whatever was pushed last": ({"images.serving.tag": "latest"}, "tag"),
    "no replicas": ({"serving.replicas": 0}, "replicas"),
    "another kind of store": ({"serving.store.type": "hostPath"}, "store"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_values_that_cannot_be_are_refused_in_words_that_name_them(
    helm: Helm, chart: Path, why: str
) -> None:
    changes, words = REFUSED[why]
    values = changed(changes) if changes else {}
    with pytest.raises(ChartRefused, match=words):
        helm.render(chart, values)


def test_rules_are_refused_where_none_were_packed(helm: Helm) -> None:
    with pytest.raises(ChartRefused, match="make chart"):
        helm.render(CHART, changed({"prometheusRule.enabled": True}))


def test_what_the_readme_says_at_least_is_enough(helm: Helm, chart: Path) -> None:
    values = yaml.safe_load(example(CHART))
    assert len(helm.render(chart, values)) == len(helm.render(chart, MINIMAL))


def test_the_alerts_of_the_compose_stack_are_those_of_the_chart(helm: Helm, tmp_path: Path) -> None:
    """Whichever there are; a chart without any says so."""
    chart, wanted = assemble(CHART, RULES, tmp_path), changed({"prometheusRule.enabled": True})
    texts = [path.read_text(encoding="utf-8") for path in sorted(RULES.glob("*.yml"))]
    if not texts:
        with pytest.raises(ChartRefused, match="make chart"):
            helm.render(chart, wanted)
        return
    [rules] = [one for one in helm.render(chart, wanted) if one["kind"] == "PrometheusRule"]
    groups = [group for text in texts for group in yaml.safe_load(text)["groups"]]
    assert rules["spec"]["groups"] == groups
    assert shapes.prometheus_rule(rules) == []
