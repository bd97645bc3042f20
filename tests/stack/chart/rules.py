"""What must be true of everything the chart renders: each rule gives the complaints it has."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from registry.settings import Settings
from registry.variables import variable
from tests.stack.chart.variants import Object, containers, pods

Rule = Callable[[Sequence[Object]], list[str]]
_FIELDS = {variable(field): field for field in dataclasses.fields(Settings)}
_PASSWORD = re.compile(r"://[^/\s]*@")
_FOREIGN = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "HOME", "TMPDIR"}
_BY_REFERENCE = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD"}
_IN_CLEAR = {"MLFLOW_TRACKING_URI"}  # an address; the schema takes none with a password in it


def confined(objects: Sequence[Object]) -> list[str]:
    """Nobody is root, writes into the image, gains rights, or talks to the API server."""
    found = []
    for name, pod in pods(objects):
        spec, context = pod["spec"], pod["spec"].get("securityContext", {})
        own = {
            "runAsNonRoot": context.get("runAsNonRoot") is True,
            "runAsUser": context.get("runAsUser", 0) > 0,
            "seccompProfile": context.get("seccompProfile") == {"type": "RuntimeDefault"},
            "automountServiceAccountToken": spec.get("automountServiceAccountToken") is False,
            "enableServiceLinks": spec.get("enableServiceLinks") is False,
            "host": not {"hostNetwork", "hostPID", "hostIPC"} & {*spec},
            "hostPath": not any("hostPath" in one for one in spec["volumes"]),
        }
        found += [f"{name}: {what}" for what, held in own.items() if not held]
    for name, container in containers(objects):
        context = container.get("securityContext", {})
        own = {
            "readOnlyRootFilesystem": context.get("readOnlyRootFilesystem") is True,
            "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is False,
            "capabilities": context.get("capabilities") == {"drop": ["ALL"]},
            "privileged": not context.get("privileged"),
            "runAsUser": context.get("runAsUser", 1) > 0,
        }
        found += [f"{name}: {what}" for what, held in own.items() if not held]
    return found


def limited(objects: Sequence[Object]) -> list[str]:
    """Memory has a limit, processors a request, and every folder in a pod a size."""
    found = []
    for name, container in containers(objects):
        resources = container.get("resources", {})
        needed = (("limits", "memory"), ("requests", "memory"), ("requests", "cpu"))
        found += [
            f"{name}: no {part}.{what}"
            for part, what in needed
            if what not in resources.get(part, {})
        ]
    for name, pod in pods(objects):
        for volume in pod["spec"]["volumes"]:
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                found.append(f"{name}: {volume['name']} has no sizeLimit")
    return found


def kept_secret(objects: Sequence[Object]) -> list[str]:
    """No object holds a secret: they are named, and mounted or referred to."""
    found = [f"{one['metadata']['name']} is a Secret" for one in objects if one["kind"] == "Secret"]
    found += [f"a password in {text!r}" for text in _texts(objects) if _PASSWORD.search(text)]
    for name, container in containers(objects):
        for one in container.get("env", []):
            what = one["name"]
            secret = what in _BY_REFERENCE or (what in _FIELDS and _is_secret(what))
            if secret and what not in _IN_CLEAR and "value" in one:
                found.append(f"{name}: {what} stands in the object")
    return found


def known_settings(objects: Sequence[Object]) -> list[str]:
    """Every variable is a setting of ours, or one that boto3 or the shell knows."""
    found = []
    for name, container in containers(objects):
        names = [one["name"] for one in container.get("env", [])]
        found += [f"{name}: {one} stands twice" for one in {*names} if names.count(one) > 1]
        for one in names:
            plain = one.removesuffix("_FILE")
            is_file = one != plain and plain in _FIELDS and _is_secret(plain)
            if one not in _FIELDS and not is_file and one not in _FOREIGN:
                found.append(f"{name}: no such setting: {one}")
    return found


def mounted(objects: Sequence[Object]) -> list[str]:
    """What is mounted is a volume, what a setting names is below a mount, and nothing is left."""
    found = []
    for name, pod in pods(objects):
        spec = pod["spec"]
        claims = [
            claim["metadata"]["name"]
            for one in objects
            if one["kind"] == "StatefulSet" and one["spec"]["template"] is pod
            for claim in one["spec"]["volumeClaimTemplates"]
        ]
        volumes = {volume["name"] for volume in spec["volumes"]} | {*claims}
        for container in spec["containers"]:
            used = {mount["name"] for mount in container["volumeMounts"]}
            found += [f"{name}: {one} is no volume" for one in used - volumes]
            found += [f"{name}: {one} is mounted nowhere" for one in volumes - used]
            paths = tuple(f"{mount['mountPath']}/" for mount in container["volumeMounts"])
            for one in container["env"]:
                value = str(one.get("value", ""))
                if value.startswith("/") and not f"{value}/".startswith(paths):
                    found.append(f"{name}: {one['name']}={value} is below no mount")
        found += _unprojected(name, spec)
    return found


def joined(objects: Sequence[Object]) -> list[str]:
    """Selectors find what they are for; names that objects call one another by exist."""
    found = []
    here = {(one["kind"], one["metadata"]["name"]) for one in objects}
    found += [f"{kind} {name} twice" for kind, name in here if _count(objects, kind, name) > 1]
    for one in objects:
        what, spec = f"{one['kind']}/{one['metadata']['name']}", one.get("spec", {})
        for selector, pool in _selections(one, objects):
            hits = [labels for labels in pool if selector.items() <= labels.items()]
            if not selector or len(hits) != 1:
                found.append(f"{what}: {selector} selects {len(hits)}")
        wanted = [(ref["kind"], ref["name"]) for ref in [spec.get("scaleTargetRef")] if ref]
        wanted += [("Service", spec["serviceName"])] if "serviceName" in spec else []
        pod = spec.get("template", {}).get("spec", {})
        account = pod.get("serviceAccountName")
        wanted += [("ServiceAccount", account)] if account else []
        maps = [
            volume["configMap"]["name"]
            for volume in pod.get("volumes", [])
            if "configMap" in volume
        ]
        wanted += [("ConfigMap", name) for name in maps]
        wanted += [("Service", backend["name"]) for backend in _backends(one)]
        found += [
            f"{what}: there is no {kind} {name}"
            for kind, name in wanted
            if (kind, name) not in here
        ]
    return found


def reachable(objects: Sequence[Object]) -> list[str]:
    """Ports that are named by Services, probes and monitors exist where they are looked for."""
    found = []
    services = [one for one in objects if one["kind"] == "Service"]
    offered = {port["name"] for one in services for port in one["spec"]["ports"]}
    found += [
        f"Service/{one['metadata']['name']}: no container of it has port {port['targetPort']}"
        for one in services
        for port in one["spec"]["ports"]
        if port["targetPort"] not in _ports(objects, one["spec"]["selector"])
    ]
    for name, container in containers(objects):
        own = {port["name"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if port is not None and port not in own:
                found.append(f"{name}: {probe} asks port {port}")
    for one in objects:
        if one["kind"] == "ServiceMonitor":
            wanted = one["spec"]["selector"]["matchLabels"].items()
            watched = {
                port["name"]
                for service in services
                if wanted <= service["metadata"]["labels"].items()
                for port in service["spec"]["ports"]
            }
            found += [
                f"ServiceMonitor: no Service of it has port {end['port']}"
                for end in one["spec"]["endpoints"]
                if end["port"] not in watched
            ]
        found += [
            f"Ingress: no Service has port {backend['port']}"
            for backend in _backends(one)
            if backend["port"]["name"] not in offered
        ]
    return found


RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (confined, limited, kept_secret, known_settings, mounted, joined, reachable)
}


def _ports(objects: Sequence[Object], selector: Mapping[str, str]) -> set[str]:
    """The named ports of the pods that are selected."""
    return {
        port["name"]
        for _, pod in pods(objects)
        if selector.items() <= pod["metadata"]["labels"].items()
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
    }


def _is_secret(name: str) -> bool:
    return bool(_FIELDS[name].metadata["secret"])


def _count(objects: Sequence[Object], kind: str, name: str) -> int:
    return sum(one["kind"] == kind and one["metadata"]["name"] == name for one in objects)


def _texts(value: Any) -> Iterator[str]:
    """Every text in an object, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for pair in value.items() for one in pair for text in _texts(one))
    elif isinstance(value, Sequence):
        yield from (text for one in value for text in _texts(one))


def _selections(one: Object, objects: Sequence[Object]) -> list[tuple[Object, list[Object]]]:
    """Each selector of an object with the labels it chooses from."""
    spec, kind = one.get("spec", {}), one["kind"]
    all_pods = [pod["metadata"]["labels"] for _, pod in pods(objects)]
    if kind in {"Deployment", "StatefulSet"}:
        own = [spec["template"]["metadata"]["labels"]]
        spread = spec["template"]["spec"].get("topologySpreadConstraints", [])
        chosen = [spec["selector"], *(each["labelSelector"] for each in spread)]
        return [(selector["matchLabels"], own) for selector in chosen]
    if kind == "Service":
        return [(spec["selector"], all_pods)]
    if kind == "PodDisruptionBudget":
        return [(spec["selector"]["matchLabels"], all_pods)]
    if kind == "NetworkPolicy":
        return [(spec["podSelector"]["matchLabels"], all_pods)]
    if kind == "ServiceMonitor":
        labels = [each["metadata"]["labels"] for each in objects if each["kind"] == "Service"]
        return [(spec["selector"]["matchLabels"], labels)]
    return []


def _backends(one: Object) -> list[Object]:
    if one["kind"] != "Ingress":
        return []
    rules = one["spec"]["rules"]
    return [path["backend"]["service"] for rule in rules for path in rule["http"]["paths"]]


def _unprojected(name: str, spec: Object) -> list[str]:
    """Settings that name a file of a secret which is not projected."""
    files = {
        f"/run/secrets/baton/{item['path']}"
        for volume in spec["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        for item in source["secret"]["items"]
    }
    named = {
        one["value"]
        for container in spec["containers"]
        for one in container["env"]
        if str(one.get("value", "")).startswith("/run/secrets/")
    }
    return [f"{name}: {path} comes from no secret" for path in named - files] + [
        f"{name}: {path} is named by no setting" for path in files - named
    ]
