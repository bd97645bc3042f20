"""The stack's files are what they promise; read by the real Compose, without an engine."""

from __future__ import annotations

import copy
import re
import subprocess
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.stack.composed import GATES, OVERRIDE
from tests.stack.tools import ROOT, compose, configuration, tool

PRODUCTION, MINIO = "docker-compose.prod.yml", "docker-compose.minio.yml"
VERSIONED = re.compile(r".+:v?\d[\w.-]*|.+:RELEASE\.\d{4}-\S+")
# What needs a capability back, and why is said beside it there.
CAPABLE = {"storage": ["DAC_OVERRIDE"]}


def faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Everything of a stack that is not as it promises to be."""
    for name, service in config["services"].items():
        yield from (f"{name}: {fault}" for fault in _service_faults(name, service))
        given = {secret["target"].rpartition("/")[2] for secret in service.get("secrets", [])}
        for variable, value in (service.get("environment") or {}).items():
            file = str(value).removeprefix("/run/secrets/")
            if str(value).startswith("/run/secrets/") and file not in given:
                yield f"{name}: {variable} names {file}, which it is not given"
            if re.search("PASSWORD|SECRET_KEY$|_URL$", variable) and "://" in str(value):
                yield from [f"{name}: {variable} has a password"] if "@" in value else []
    for name, network in config["networks"].items():
        if name in {"front", "back", "watching"} and not network.get("internal"):
            yield f"network {name}: leads outside"
    for name, secret in config["secrets"].items():
        if Path(secret["file"]) != ROOT / "infra" / "secrets" / name:
            yield f"secret {name}: is not its file below infra/secrets"


def _service_faults(name: str, service: Mapping[str, Any]) -> Iterator[str]:
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    options = service.get("logging", {}).get("options", {})
    is_ours = name != "storage-setup"  # a one-shot of the override
    writable = [m for m in service.get("volumes", []) if m["type"] == "bind" and not m["read_only"]]
    expected = {
        "its root can be written to": service.get("read_only"),
        "has capabilities": service.get("cap_drop") == ["ALL"],
        "gets capabilities back": service.get("cap_add", []) == CAPABLE.get(name, []),
        "may get privileges": "no-new-privileges:true" in service.get("security_opt", []),
        "is privileged": not service.get("privileged"),
        "is in the machine's network": service.get("network_mode") != "host",
        "is published": name == "nginx" or not service.get("ports"),
        "is in nginx's network": name == "nginx" or "edge" not in service.get("networks", {}),
        f"image {service['image']} has no version": VERSIONED.fullmatch(service["image"]),
        "has no restart policy": service.get("restart"),
        "its log grows for ever": not is_ours or {"max-size", "max-file"} <= {*options},
        "has no limits": not is_ours or {"cpus", "memory", "pids"} <= {*limits},
        "may write to the checkout": not writable,
    }
    yield from (fault for fault, is_well in expected.items() if not is_well)


@pytest.fixture(scope="module")
def config() -> Mapping[str, Any]:
    """With what runs only when it is asked for by name."""
    found = configuration(PRODUCTION, COMPOSE_PROFILES="*")
    assert "restore" in found["services"]
    return found


@pytest.mark.parametrize("files", [(PRODUCTION,), (PRODUCTION, MINIO)])
def test_compose_takes_the_files_without_a_word(files: tuple[str, ...]):
    named = [word for file in files for word in ("-f", file)]
    done = compose(*named, "config", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_stack_is_what_it_promises(config: Mapping[str, Any]):
    assert [*faults(config)] == []


def test_the_stack_with_minio_is_too():
    found = configuration(PRODUCTION, MINIO)
    assert [*faults(found)] == []
    assert found["services"]["storage"]["image"].startswith("pgsty/minio:")
    assert found["services"]["storage"].get("entrypoint") is None


@pytest.mark.parametrize(
    ("service", "change", "fault"),
    [
        ("grafana", {"ports": [{"target": 3000}]}, "is published"),
        ("worker", {"read_only": False}, "its root can be written to"),
        ("mlflow", {"cap_drop": None}, "has capabilities"),
        ("postgres", {"image": "postgres:latest"}, "has no version"),
        ("nginx", {"secrets": []}, "which it is not given"),
        ("registrar", {"deploy": {}}, "has no limits"),
        ("backup", {"logging": {}}, "its log grows for ever"),
        ("serving-a", {"security_opt": []}, "may get privileges"),
    ],
)
def test_a_fault_that_is_planted_is_found(
    config: Mapping[str, Any], service: str, change: Mapping[str, Any], fault: str
):
    broken = copy.deepcopy({**config})
    if service not in broken["services"]:
        pytest.fail(f"there is no service {service}")
    broken["services"][service].update(change)
    found = [*faults(broken)]
    assert found
    assert any(one.startswith(f"{service}: ") and fault in one for one in found)


def test_what_must_be_there_first_is_waited_for(config: Mapping[str, Any]):
    waits = {
        name: {other: how["condition"] for other, how in service.get("depends_on", {}).items()}
        for name, service in config["services"].items()
    }
    done, healthy = "service_completed_successfully", "service_healthy"
    assert waits["postgres"] == {"check": done}
    assert waits["migrate"] == waits["migrate-mlflow"] == {"postgres": healthy}
    assert waits["mlflow"] == {"migrate-mlflow": done, "storage": healthy}
    assert (
        waits["registrar"]
        == waits["worker"]
        == waits["monitor"]
        == {"migrate": done, "mlflow": healthy}
    )
    assert waits["serving-a"] == waits["serving-b"] == {"migrate": done, "storage": healthy}
    assert {"serving-a", "serving-b", "mlflow"} <= {*waits["nginx"]}
    for name, others in waits.items():
        assert others or name == "check", f"{name} starts without the check of secrets"


def test_the_check_is_given_every_secret(config: Mapping[str, Any]):
    given = {secret["source"] for secret in config["services"]["check"]["secrets"]}
    assert given == {*config["secrets"]}


def test_another_object_store_is_a_matter_of_settings():
    found = configuration(
        PRODUCTION,
        STACK_S3_ENDPOINT="",
        STACK_S3_BUCKET="our-models",
        STACK_S3_REGION="eu-central-1",
        STACK_INTERNAL="false",
    )
    node = found["services"]["serving-a"]["environment"]
    assert node["MLFLOW_S3_ENDPOINT_URL"] == "", "nothing: boto3's own (entry.py leaves it out)"
    assert node["BATON_ARTIFACTS"] == "s3://our-models"
    server = found["services"]["mlflow"]["environment"]
    assert server["MLFLOW_ARTIFACTS_DESTINATION"] == "s3://our-models"
    assert server["AWS_DEFAULT_REGION"] == "eu-central-1"
    assert [*faults(found)] == ["network back: leads outside"]


def test_the_dockerfile_has_nothing_that_hadolint_minds():
    done = subprocess.run(
        [tool("hadolint"), "--format", "tty", str(ROOT / "infra" / "docker" / "Dockerfile")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_minds_what_it_should(tmp_path: Path):
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian:latest\nRUN cd /tmp\n")
    done = subprocess.run(
        [tool("hadolint"), str(bad)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "DL3007" in done.stdout


def test_gates_of_ones_own_are_put_where_they_are_read(config: Mapping[str, Any], tmp_path: Path):
    override = tmp_path / "test.yml"
    override.write_text(OVERRIDE)
    found = configuration(PRODUCTION, str(override), STACK_GATES=GATES)["services"]
    readers = {
        name for name, one in found.items() if "BATON_GATES" in (one.get("environment") or {})
    }
    mounted = {
        name
        for name, one in found.items()
        if any(volume["target"] == GATES for volume in one.get("volumes", []))
    }
    assert readers == mounted == {"registrar", "monitor"}
    page = (ROOT / "docs" / "compose.md").read_text(encoding="utf-8")
    assert "mounts the file into `registrar` and `monitor`" in page


def test_no_network_of_ours_is_among_those_that_docker_takes_for_others(config: Mapping[str, Any]):
    """It takes them in turn: a stack that was made anew often enough met itself there."""
    taken = [*(f"172.{number}.0.0/16" for number in range(17, 32)), "192.168.0.0/16"]
    ours = [
        ip_network(one["subnet"])
        for network in config["networks"].values()
        for one in network.get("ipam", {}).get("config", [])
    ]
    assert ours
    assert [one for one in ours if any(one.overlaps(ip_network(pool)) for pool in taken)] == []
