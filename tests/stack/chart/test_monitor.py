"""The monitor of the chart: what it may, what it reads with the nodes, and who may read it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pytest
import yaml

from infra.chart import RULES
from registry.monitoring import Monitoring
from tests.stack.chart.variants import ROOT, VARIANTS, Object, env_of, one
from training.monitoring.thresholds import RulesFile

WRITTEN = "what is kept, and thresholds"


def container(objects: Iterable[Object], component: str) -> Object:
    """The container of a Deployment."""
    pod = one(objects, "Deployment", component)["spec"]["template"]["spec"]
    [found] = pod["containers"]
    return found


def names(objects: Iterable[Object], ending: str) -> list[str]:
    """The kinds of the objects whose names end so."""
    return sorted(o["kind"] for o in objects if o["metadata"]["name"].endswith(ending))


def test_one_monitor_runs_and_is_gone_before_the_next(rendered: dict[str, list[Object]]) -> None:
    spec = one(rendered["everything"], "Deployment", "monitor")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_without_a_monitor_nothing_of_it_is_left(rendered: dict[str, list[Object]]) -> None:
    assert names(rendered["no monitor"], "-monitor") == []
    assert names(rendered["everything"], "-monitor") == [
        "Deployment",
        "NetworkPolicy",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
    ]


def test_the_monitor_has_the_roles_that_compose_gives_it(rendered: dict[str, list[Object]]) -> None:
    def files(environ: dict[str, str]) -> dict[str, str]:
        named = {k: v for k, v in environ.items() if re.fullmatch(r"BATON_\w+_URL_FILE", k)}
        return {name: PurePosixPath(path).name for name, path in named.items()}

    text = (ROOT / "docker-compose.prod.yml").read_text(encoding="utf-8")
    composed = yaml.safe_load(text)["services"]["monitor"]
    ours = container(rendered["minimal"], "monitor")
    assert files(env_of(ours)) == files(composed["environment"])
    assert len(files(env_of(ours))) == 3
    assert [*ours["command"]] == composed["command"]


def test_nodes_and_monitor_read_one_file_of_what_is_kept(
    rendered: dict[str, list[Object]], tmp_path: Path
) -> None:
    objects = rendered[WRITTEN]
    texts = {"monitoring": VARIANTS[WRITTEN]["monitoring"], "rules": VARIANTS[WRITTEN]["rules"]}
    for name, text in texts.items():
        written = one(objects, "ConfigMap", f"-{name}")["data"]
        (tmp_path / name).write_text(written[f"{name}.toml"], encoding="utf-8")
        assert written[f"{name}.toml"].strip() == text.strip()
    assert Monitoring.read(tmp_path / "monitoring").of("iris").retention_days == 90
    assert RulesFile.read(tmp_path / "rules").of("iris").accuracy == 0.9
    of_nodes, of_monitor = (env_of(container(objects, one)) for one in ("serving", "monitor"))
    assert of_nodes["BATON_MONITORING"] == of_monitor["BATON_MONITORING"]
    assert ("BATON_RULES" in of_nodes, "BATON_RULES" in of_monitor) == (False, True)
    assert "BATON_MONITORING" not in env_of(container(rendered["minimal"], "serving"))


@pytest.mark.parametrize("component", ["serving", "monitor"])
def test_a_changed_file_is_a_new_pod(rendered: dict[str, list[Object]], component: str) -> None:
    def checksum(variant: str) -> str:
        found = one(rendered[variant], "Deployment", component)["spec"]["template"]["metadata"]
        return str(found["annotations"]["checksum/monitoring"])

    assert checksum("minimal") != checksum(WRITTEN)
    assert checksum("minimal") == checksum("no worker")


def test_prometheus_has_the_jobs_that_alerts_name(rendered: dict[str, list[Object]]) -> None:
    found = [one for one in rendered["everything"] if one["kind"] == "ServiceMonitor"]
    jobs = {o["spec"]["selector"]["matchLabels"][o["spec"]["jobLabel"]] for o in found}
    named = {
        job
        for path in RULES.glob("*.yml")
        for job in re.findall(r'up\{job="(\w+)"\}', path.read_text(encoding="utf-8"))
    }
    assert jobs == {"serving", "monitor"}
    assert named - jobs == {"watching"}, "what watches is not the chart's"


def test_who_is_not_let_in_reads_no_metrics_of_the_monitor(
    rendered: dict[str, list[Object]],
) -> None:
    def let_in(variant: str) -> list[Object]:
        policy = one(rendered[variant], "NetworkPolicy", "-monitor")
        assert "Ingress" in policy["spec"]["policyTypes"]
        return [*policy["spec"]["ingress"]]

    [rule] = let_in("everything")
    assert rule["from"] == VARIANTS["everything"]["networkPolicy"]["watchers"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "metrics"}]
    # A rule with nobody in it would be one for everybody.
    assert let_in("a closed network that nobody watches") == []
