"""The production stack in a real Docker engine, by the real Compose: `make test-compose`.

Our images are built and ours; the others are stand-ins (tests/stack/standins.py), which the output
says. Not among the ordinary tests: it needs root, an engine and minutes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.node import free_port
from benchmarks.versions import Versions
from tests.stack import standins
from tests.stack.composed import Load, Stack, say, upgraded

pytestmark = [
    pytest.mark.skipif(not os.environ.get("BATON_TEST_COMPOSE"), reason="make test-compose"),
    pytest.mark.timeout(1800),
]
MIB = 1024 * 1024
# What the image leaves out of its libraries is nothing that is asked of them.
WELL = """
import io
import sqlalchemy
from PIL import Image
from serving.engines import prophet_holidays
from serving.kinds import pictures
for kind in ("PNG", "JPEG", "WEBP"):
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, kind)
    Image.open(io.BytesIO(data.getvalue())).load()
sqlalchemy.create_engine("postgresql+psycopg2://nobody")
sqlalchemy.create_engine("sqlite://").connect()
print("well")
"""
UP = ("up", "--detach", "--wait", "--no-build", "--pull", "never")


def test_the_image_of_serving_is_small_and_has_nothing_that_trains(built: Stack) -> None:
    sizes = {
        name: int(built.engine.docker("inspect", "--format", "{{.Size}}", name))
        for name in ("baton/serving:test", standins.PYTHON)
    }
    ours = sizes["baton/serving:test"] - sizes[standins.PYTHON]
    whole = sizes["baton/serving:test"] / 1e6
    say(f"serving: {whole:.0f} MB on a stand-in of Python's image, {ours / 1e6:.0f} MB of it ours")
    assert ours < 200e6, "with Python's slim image it has to stay below 350 MB"
    absent = "mlflow", "tensorflow", "prophet", "sklearn", "pandas", "onnx", "training"
    find = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    run = ["run", "--rm", "baton/serving:test", "python", "-c", find, *absent]
    assert built.engine.docker(*run).strip() == "[]"
    assert (
        built.engine.docker("run", "--rm", "baton/serving:test", "python", "-c", WELL) == "well\n"
    )
    tools = "command -v gcc cc make g++ || echo none"
    assert (
        built.engine.docker("run", "--rm", "baton/serving:test", "sh", "-c", tools).strip()
        == "none"
    )


def test_the_image_of_serving_answers_soon_after_its_start(built: Stack, tmp_path: Path) -> None:
    version = Path(Versions(tmp_path).route(3).source)
    tmp_path.chmod(0o755)
    keys = built.folder / "infra" / "secrets" / "api_keys.json"
    taken = []
    for _ in range(3):
        port = free_port()
        begun = time.monotonic()
        container = built.engine.docker(
            "run", "--detach", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL",
            "--tmpfs", "/var/lib/baton:uid=10001,gid=10001", "--publish", f"127.0.0.1:{port}:8000",
            "--volume", f"{version}:/version:ro", "--volume", f"{keys}:/keys.json:ro",
            "--env", "BATON_BUNDLE=/version", "--env", "BATON_API_KEYS=/keys.json",
            "baton/serving:test",
        ).strip()  # fmt: skip
        taken.append(_first_answer(built, port) - begun)
        logs = built.engine.docker("logs", container)
        built.engine.docker("rm", "--force", container)
    say(f"serving: {', '.join(f'{one:.1f}' for one in taken)} s from `docker run` to a prediction")
    assert min(taken) < 60, logs


def _first_answer(stack: Stack, port: int) -> float:
    """When a version of one column answered."""
    import http.client  # noqa: PLC0415 - only here without TLS

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("POST", "/predict", '{"instances": [[1.0]]}', stack.headers)
            if connection.getresponse().status == 200:
                return time.monotonic()
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.02)
    return deadline


def test_nothing_starts_on_an_empty_secret_and_the_message_names_it(built: Stack) -> None:
    path = built.folder / "infra" / "secrets" / "s3_read_secret_key"
    text = path.read_text()
    try:
        path.chmod(0o644)
        path.write_text("\n")
        said = built.refused(*UP, "postgres")
        assert 'service "check" didn\'t complete successfully' in said
        logs = built.compose("logs", "--no-log-prefix", "check")  # as `make up` shows then
        assert "secret s3_read_secret_key (/run/secrets/s3_read_secret_key) is empty" in logs
        path.unlink()
        assert "s3_read_secret_key" in built.refused(*UP, "postgres")
    finally:
        path.write_text(text)
        path.chmod(0o444)
        built.compose("down", "--volumes", "--remove-orphans")


@pytest.fixture(scope="module")
def stack(built: Stack) -> Iterator[Stack]:
    begun = time.monotonic()
    try:
        built.compose(*UP)
        say(f"`up --wait`: {time.monotonic() - begun:.0f} s with built images")
        yield built
    except BaseException:
        sys.stderr.write(built.compose("ps", "--all") + built.compose("logs", "--tail", "40"))
        raise
    finally:
        built.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")


def test_a_fresh_stack_is_well_from_outside_and_only_nginx_is_published(stack: Stack) -> None:
    ports = [
        word for name, port in stack.ports.items() for word in (f"--{name.lower()}-port", str(port))
    ]
    done = subprocess.run(
        [sys.executable, "infra/smoke.py", *ports],
        cwd=stack.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    say(done.stdout.replace("\n", "\n  ").strip())
    assert done.returncode == 0, done.stdout + done.stderr
    listed = stack.compose("ps", "--format", "json")
    published = {
        one["Service"]
        for one in map(json.loads, listed.strip().splitlines())
        for port in one.get("Publishers") or []
        if port["PublishedPort"]
    }
    assert published == {"nginx"}


def test_a_version_is_trained_promoted_served_and_changed_under_load_and_kills(
    stack: Stack,
) -> None:
    first = stack.trained(seed=1)
    promoted = stack.registry("promote", "iris", str(first))
    assert promoted["entry"]["synced"], "the registrar shows it in MLflow"
    say(f"iris v{first} answers {stack.until_answers(first):.1f} s after its promotion")
    second = stack.trained(seed=2, n_estimators=30)
    with Load(stack).running() as load:
        load.until(200)
        stack.registry("promote", "iris", str(second))
        stack.until_answers(second)
        load.until(100)
        os.kill(stack.pid("serving-a"), 9)  # the container's first process: its restart policy acts
        load.until(300)
        stack.compose(*UP, "--no-deps", "serving-a")
        stack.compose("kill", "serving-b")
        load.until(300)
        stack.compose("start", "--wait", "serving-b")
        upgraded(stack, STACK_SERVING_WORKERS="1")
        load.until(200)
    say(
        f"{load.count} requests through nginx over TLS, during a promotion, two killed nodes and a "
        f"rolling upgrade: failed {dict(load.failed) or 0}, slowest {load.slowest_seconds:.2f} s"
    )
    assert load.failed == {}
    assert {*load.versions} == {str(first), str(second)}


def test_what_the_stack_takes_when_it_does_nothing(stack: Stack) -> None:
    time.sleep(10)
    names = stack.engine.docker("ps", "--format", "{{.Names}}").split()
    lines = stack.engine.docker(
        "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *names
    ).strip()
    used = {name: _bytes(usage) for name, usage, *_ in map(str.split, lines.splitlines())}
    shown = ", ".join(f"{name.split('-', 1)[1]} {size / MIB:.0f}" for name, size in used.items())
    say(f"idle: {sum(used.values()) / MIB:.0f} MiB in all (stand-ins among them): {shown}")
    assert sum(used.values()) < 2.5 * 1024 * MIB


def _bytes(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"B": 1, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB}[unit]
