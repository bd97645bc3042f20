"""What stands beside the chart: a fleet on Ray, and the metric that the autoscaler asks for."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from registry.settings import Settings
from tests.missing import ServiceMissing
from tests.stack.chart import rules, shapes
from tests.stack.chart.variants import ROOT, Helm, Object
from training.commands.fleet import fleet_command

EXAMPLES = ROOT / "infra" / "helm" / "examples"
SERIES = """
evaluation_interval: 1m
rule_files: [rules.yml]
tests:
  - input_series:
      - {series: 'baton_in_flight{namespace="m",pod="a",crew="predict"}', values: '3'}
      - {series: 'baton_in_flight{namespace="m",pod="a",crew="joint"}', values: '2'}
      - {series: 'baton_in_flight{namespace="m",pod="a",crew="route"}', values: '50'}
      - {series: 'baton_queued{namespace="m",pod="a",crew="predict"}', values: '7'}
      - {series: 'baton_in_flight{namespace="m",pod="b",crew="predict"}', values: '1'}
      - {series: 'baton_in_flight{namespace="n",pod="a",crew="predict"}', values: '90'}
    promql_expr_test:
      - expr: asked
        eval_time: 1m
        exp_samples:
          - {labels: 'asked{pod="a"}', value: 12}
          - {labels: 'asked{pod="b"}', value: 1}
"""


@pytest.fixture
def fleet() -> Object:
    return yaml.safe_load((EXAMPLES / "fleet-rayjob.yaml").read_text(encoding="utf-8"))


def groups(fleet: Object) -> list[Object]:
    """Its pods: the head's, then those of each group."""
    cluster = fleet["spec"]["rayClusterSpec"]
    return [one["template"] for one in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def test_the_fleet_has_the_shape_of_a_ray_job_and_its_pods_those_of_kubernetes(
    helm: Helm, fleet: Object
) -> None:
    assert shapes.ray_job(fleet) == []
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**pod["metadata"], "name": f"fleet-{number}"},
            "spec": pod["spec"],
        }
        for number, pod in enumerate(groups(fleet))
    ]
    refused, unknown = helm.validate(pods, helm.versions()[-1])
    assert ([*refused], unknown) == ([], set())


def test_a_wrong_ray_job_would_be_found(fleet: Object) -> None:
    del fleet["spec"]["entrypoint"]
    fleet["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replicas"] = 9
    assert shapes.ray_job(fleet) == [
        "spec: no entrypoint",
        "group: expected minReplicas ≤ replicas ≤ maxReplicas",
    ]


@pytest.mark.parametrize("rule", ["confined", "limited", "kept_secret", "known_settings"])
def test_the_fleets_pods_keep_the_rules_of_the_chart(fleet: Object, rule: str) -> None:
    jobs = [
        {"kind": "Job", "metadata": {"name": f"fleet-{number}"}, "spec": {"template": pod}}
        for number, pod in enumerate(groups(fleet))
    ]
    assert rules.RULES[rule](jobs) == []


def test_the_fleets_command_is_one_that_the_command_takes(fleet: Object) -> None:
    python, dash_m, module, command, *words = shlex.split(fleet["spec"]["entrypoint"])
    assert (python, dash_m, module, command) == ("python", "-m", "training", "fleet")
    with fleet_command.make_context("fleet", words) as context:
        assert context.params["engine"] == "ray"
        assert context.params["workload"] == "petr4"


def test_the_fleet_is_told_of_ray_as_the_settings_read_it(fleet: Object, tmp_path: Path) -> None:
    for pod in groups(fleet):
        given = pod["spec"]["containers"][0]["env"]
        environ = {one["name"]: one.get("value", "postgresql://db/baton") for one in given}
        settings = Settings.read(environ, dotenv=tmp_path / "none")
        assert settings.ray_address == "127.0.0.1:6379"


def test_rays_version_is_the_one_that_is_locked(fleet: Object) -> None:
    lock = (ROOT / "locks" / "ray.txt").read_text(encoding="utf-8")
    assert f"\nray=={fleet['spec']['rayClusterSpec']['rayVersion']} " in f"\n{lock}"


def test_the_autoscalers_metric_is_what_a_pod_has_begun_and_not_finished(tmp_path: Path) -> None:
    """The adapter's own templates are two names: filled in here as it fills them."""
    if not (promtool := shutil.which("promtool")):
        ServiceMissing("no promtool is installed: apt-get install prometheus").skip_or_fail()
    values = yaml.safe_load((EXAMPLES / "prometheus-adapter.yaml").read_text(encoding="utf-8"))
    [rule] = values["rules"]["custom"]
    query = rule["metricsQuery"].replace("<<.GroupBy>>", "pod")
    query = query.replace("<<.LabelMatchers>>", 'namespace="m",pod=~"a|b"')
    asked = {"groups": [{"name": "asked", "rules": [{"record": "asked", "expr": query}]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(asked), encoding="utf-8")
    (tmp_path / "test.yml").write_text(SERIES, encoding="utf-8")
    told = subprocess.run(
        [promtool, "test", "rules", "test.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
