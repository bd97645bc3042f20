"""The chart as people would install it: variants of its values, and Helm to render them."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.missing import ServiceMissing

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / "var" / "environments" / "chart" / "bin" / "python"
_CHILD = Path(__file__).with_name("helm_child.py")

Object = dict[str, Any]


class ChartRefused(Exception):
    """Helm renders nothing of these values."""


class Helm:
    """A child that renders, lints and validates; started once, since loading it takes a second."""

    def __init__(self) -> None:
        """Raises ServiceMissing where its environment was not made."""
        if not PYTHON.exists():
            raise ServiceMissing("Helm is not here: make setup GROUP=chart")
        self._child = subprocess.Popen(
            [PYTHON, _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def render(self, chart: Path, values: Mapping[str, Any]) -> Sequence[Object]:
        """The objects of a release; raises ChartRefused."""
        said = self._ask("render", chart=str(chart), values=values)
        if "error" in said:
            raise ChartRefused(said["error"])
        return said["objects"]

    def notes(self, chart: Path, values: Mapping[str, Any]) -> str:
        """What an installation prints."""
        return str(self._ask("render", chart=str(chart), values=values)["notes"])

    def lint(self, chart: Path, values: Mapping[str, Any]) -> Sequence[str]:
        """Warnings and errors of Helm's linter."""
        return self._ask("lint", chart=str(chart), values=values)["found"]

    def versions(self) -> Sequence[str]:
        """Kubernetes versions whose schemas are here, oldest first."""
        return self._ask("versions")["versions"]

    def validate(self, objects: Sequence[Object], version: str) -> tuple[Sequence[str], set[str]]:
        """What the schemas of a version refuse, and the kinds that they do not know."""
        said = self._ask("validate", objects=objects, version=version)
        return said["refused"], {*said["unknown"]}

    def close(self) -> None:
        """End the child."""
        self._child.stdin.close()
        self._child.wait(timeout=30)

    def _ask(self, do: str, **what: Any) -> Any:
        self._child.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._child.stdin.flush()
        if not (line := self._child.stdout.readline()):
            raise RuntimeError(f"Helm's child ended while it did {do}: its words are above")
        said = json.loads(line)
        if "failed" in said:
            raise RuntimeError(f"Helm's child failed while it did {do}: {said['failed']}")
        return said


MINIMAL: Mapping[str, Any] = {
    "images": {
        "serving": {"repository": "registry.example.com/baton-serving"},
        "registrar": {"repository": "registry.example.com/baton-training"},
        "worker": {"repository": "registry.example.com/baton-training", "tag": "0.1.0-cpu"},
    },
    "database": {
        "owner": {"existingSecret": "baton-owner"},
        "writer": {"existingSecret": "baton-writer"},
        "node": {"existingSecret": "baton-node"},
        "worker": {"existingSecret": "baton-worker"},
        "log": {"existingSecret": "baton-log"},
    },
    "mlflow": {
        "url": "https://mlflow.example.com",
        "serving": {"existingSecret": "mlflow-reader"},
        "registrar": {"existingSecret": "mlflow-registrar"},
        "worker": {"existingSecret": "mlflow-trainer"},
    },
    "s3": {"read": {"existingSecret": "s3-read"}, "write": {"existingSecret": "s3-write"}},
    "apiKeys": {"existingSecret": "baton-api-keys"},
}

_INGRESS = {
    "ingress.enabled": True,
    "ingress.className": "nginx",
    "ingress.host": "models.example.com",
    "ingress.tlsSecret": "models-tls",
}
_BY_NAMESPACE = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}]
_BY_ADDRESS = [{"ipBlock": {"cidr": "10.2.0.0/16", "except": ["10.2.9.0/24"]}}]
_NETWORK = {
    "networkPolicy.enabled": True,
    "networkPolicy.clients": _BY_NAMESPACE,
    "networkPolicy.watchers": _BY_NAMESPACE,
    "networkPolicy.database.to": _BY_ADDRESS,
    "networkPolicy.mlflow.to": _BY_ADDRESS,
    "networkPolicy.s3.to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}],
    "networkPolicy.training": [{"to": _BY_ADDRESS, "ports": [{"protocol": "TCP", "port": 443}]}],
}
_SCALING = {"serving.autoscaling.enabled": True, "serving.autoscaling.inFlight": 8}
_MODELS = {"models": ["iris", "petr4@Staging", "eyes@7", "flowers@alias:champion"]}
_PLACED = {
    f"{component}.{what}": value
    for component in ("serving", "registrar", "monitor", "worker")
    for what, value in {
        "podAnnotations": {"example.com/team": "forecasts"},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "models", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "priorityClassName": "important",
    }.items()
}
_WRITTEN = {
    "monitoring": "[models.iris]\nretention_days = 90\n",
    "rules": "[default]\naccuracy = 0.9\n",
}
_OBSERVED = {
    "serviceMonitor.enabled": True,
    "serviceMonitor.labels": {"release": "kube-prometheus"},
    "metricsKey.existingSecret": "baton-metrics",
    "prometheusRule.enabled": True,
    "prometheusRule.labels": {"release": "kube-prometheus"},
}


def changed(changes: Mapping[str, Any], values: Mapping[str, Any] = MINIMAL) -> dict[str, Any]:
    """Values with some of them set, by their paths."""
    made = copy.deepcopy(dict(values))
    for path, value in changes.items():
        *folders, name = path.split(".")
        inside = made
        for folder in folders:
            inside = inside.setdefault(folder, {})
        inside[name] = value
    return made


EVERYTHING = {
    **_INGRESS,
    **_NETWORK,
    **_SCALING,
    **_MODELS,
    **_PLACED,
    **_OBSERVED,
    **_WRITTEN,
    "images.pullSecrets": [{"name": "registry"}],
    "serviceAccounts.serving": {"example.com/role": "reader"},
    "service.annotations": {"example.com/what": "front"},
    "ingress.annotations": {"example.com/both": "yes"},
    "s3.endpoint": "https://s3.example.com",
    "s3.region": "sa-east-1",
    "gates": '[default]\npolicy = "gate"\n',
    "settings": {"BATON_WORKERS": "4", "BATON_MAX_BODY_BYTES": "16777216", "BATON_LANE": "on"},
    "serving.store.type": "persistentVolumeClaim",
    "serving.store.storageClassName": "fast",
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "minimal": MINIMAL,
    "everything": changed(EVERYTHING),
    "a claim a pod": changed({"serving.store.type": "persistentVolumeClaim"}),
    "scaled by CPU only": changed({"serving.autoscaling.enabled": True}),
    "several models and an ingress": changed({**_MODELS, **_INGRESS}),
    "an ingress for all models": changed(_INGRESS),
    "no worker": changed({"worker.enabled": False, **_NETWORK}),
    "no monitor": changed({"monitor.enabled": False, **_OBSERVED, **_NETWORK}),
    "what is kept, and thresholds": changed(_WRITTEN),
    "a closed network that nobody watches": changed({**_NETWORK, "networkPolicy.watchers": []}),
    "roles instead of keys": changed(
        {"s3.podIdentity": True, "s3.read.existingSecret": "", "s3.write.existingSecret": ""}
    ),
    "artifacts by MLflow's proxy, which asks nobody": changed(
        {"s3.enabled": False, "mlflow.auth": False, **_NETWORK}
    ),
    "versions that are code": changed({"settings": {"BATON_ENGINES": "onnx,prophet,runner"}}),
}


def pods(objects: Iterable[Object]) -> list[tuple[str, Object]]:
    """The pod templates among them, with whose they are."""
    return [
        (f"{one['kind']}/{one['metadata']['name']}", one["spec"]["template"])
        for one in objects
        if one["kind"] in {"Deployment", "StatefulSet", "Job"}
    ]


def containers(objects: Iterable[Object]) -> list[tuple[str, Object]]:
    """Every container of every pod, with whose it is."""
    return [
        (f"{name}: {container['name']}", container)
        for name, pod in pods(objects)
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    ]


def one(objects: Iterable[Object], kind: str, ending: str = "") -> Object:
    """The only object of a kind whose name ends so."""
    [found] = [o for o in objects if o["kind"] == kind and o["metadata"]["name"].endswith(ending)]
    return found


def env_of(container: Object) -> dict[str, str]:
    """The variables that stand in a container as they are."""
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}
