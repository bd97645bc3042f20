"""A real Docker engine of a test's own: its own data, socket and networks, all gone afterwards.

What an engine leaves behind on a machine (docker0, chains of iptables, FORWARD DROP) is put back as
it was found.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

NEEDED = (
    "dockerd", "docker", "containerd", "runc", "mmdebstrap", "iptables-save", "ip", "openssl",
    "curl", "git",
)  # fmt: skip
# Debian's packages of the above.
PACKAGES = "docker.io mmdebstrap iptables iproute2 openssl curl git"
_PATIENCE_SECONDS = 60
# What `make test-compose ARGS=…` tells those that it calls: no verb that a test types is one.
_OF_MAKE = frozenset({"ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"})
# Debian's client first: it builds with what is in the engine, newer ones want a plugin for that.
_PATH = f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ.get('PATH', '')}"
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# What a table is that holds nothing: `…-restore` flushes only what it is told of.
_EMPTY = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}


def require() -> None:
    """Fail, and say what to install, unless an engine can be started here."""
    missing = [name for name in NEEDED if not shutil.which(name, path=_PATH)]
    if os.geteuid() != 0:
        missing.append("root")
    if missing:
        pytest.fail(
            f"no Docker engine can be started here, missing: {', '.join(missing)}; as root: "
            f"apt-get install --no-install-recommends {PACKAGES}",
            pytrace=False,
        )


@dataclass(frozen=True)
class Engine:
    """A running engine; `environ` leads every client to it, and to no other."""

    root: Path

    @property
    def environ(self) -> dict[str, str]:
        kept = {
            name: text
            for name, text in os.environ.items()
            if name not in _OF_MAKE
            and not name.startswith(("DOCKER_", "STACK_", "COMPOSE_", "BATON_", "MLFLOW_", "AWS_"))
        }
        return {
            **kept,
            "PATH": _PATH,
            "DOCKER_HOST": f"unix://{self.root}/docker.sock",
            "DOCKER_CONFIG": str(self.root / "config"),
            "DOCKER_BUILDKIT": "1",
            "BUILDKIT_PROGRESS": "plain",
        }

    def docker(self, *arguments: str, seconds: float = 900.0) -> str:
        """Run the client; returns what it said, AssertionError with its words if it failed."""
        return run(["docker", *arguments], self.environ, seconds=seconds)


def run(
    command: Sequence[str],
    environ: dict[str, str],
    *,
    cwd: Path | None = None,
    seconds: float = 900.0,
) -> str:
    """A command that has to succeed; its output."""
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=seconds, check=False
    )
    words = (done.stdout + done.stderr)[-6000:]
    assert done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}: {words}"
    return done.stdout


@contextmanager
def engine() -> Iterator[Engine]:
    """Start an engine, end it, and leave the machine as it was."""
    require()
    root = Path(tempfile.mkdtemp(prefix="baton-docker-", dir="/var/tmp"))
    (root / "config").mkdir()
    rules, links, forward = _rules(), _links(), _FORWARD.read_text()
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            _command(root), stdout=log, stderr=log, env={**os.environ, "PATH": _PATH}
        )
    made = Engine(root)
    try:
        _wait(made, process)
        yield made
    finally:
        _end(process, root)
        for link in _links() - links:
            subprocess.run(["ip", "link", "delete", link], check=False, env={"PATH": _PATH})
        for program, text in rules.items():
            subprocess.run(
                [f"{program}-restore"], input=text, text=True, check=False, env={"PATH": _PATH}
            )
        _FORWARD.write_text(forward)
        _unmount(root)
        shutil.rmtree(root)


def left_behind(root: Path) -> list[str]:
    """What is still there of an engine that has ended: processes, mounts, files."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    found = [f"process {pid}" for pid in _processes(root)]
    found += [f"mount {mount}" for mount in mounts if mount.startswith(str(root))]
    return found + ([f"folder {root}"] if root.exists() else [])


def network_state() -> tuple[dict[str, str], set[str]]:
    """The machine's rules, without their counters, and its links: to be the same afterwards."""
    return {name: _uncounted(text) for name, text in _rules().items()}, _links()


def _command(root: Path) -> list[str]:
    folders = {"data-root": root / "data", "exec-root": root / "exec", "pidfile": root / "pid"}
    flags = [f"--{name}={path}" for name, path in folders.items()]
    return ["dockerd", *flags, f"--host=unix://{root}/docker.sock", "--storage-driver=overlay2"]


def _wait(made: Engine, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(AssertionError):
            made.docker("version", seconds=10)
            return
        time.sleep(0.2)
    words = (made.root / "log").read_text(errors="replace")[-3000:]
    pytest.fail(f"dockerd did not start: {words}", pytrace=False)


def _end(process: subprocess.Popen[bytes], root: Path) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_PATIENCE_SECONDS)
    process.kill()
    process.wait()
    for pid in _processes(root):  # shims, where dockerd itself was lost
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _processes(root: Path) -> list[int]:
    """Processes of this engine: its folder stands on their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and str(root).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


def _unmount(root: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(str(root))), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False, env={"PATH": _PATH})


def _rules() -> dict[str, str]:
    """What iptables holds, by program."""
    found = {}
    for program in ("iptables", "ip6tables"):
        done = subprocess.run(
            [f"{program}-save"], capture_output=True, text=True, check=False, env={"PATH": _PATH}
        )
        if done.returncode == 0:
            found[program] = done.stdout + "".join(
                _empty(table, chains)
                for table, chains in _EMPTY.items()
                if f"*{table}\n" not in done.stdout
            )
    return found


def _empty(table: str, chains: Sequence[str]) -> str:
    lines = "".join(f":{chain} ACCEPT [0:0]\n" for chain in chains)
    return f"*{table}\n{lines}COMMIT\n"


def _uncounted(text: str) -> str:
    """Rules without comments and counters, in their order; empty tables are as good as none."""
    lines = [line.split(" [")[0] for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(("#", "*", "COMMIT"))]
    return "\n".join(line for line in said if not (line[0] == ":" and line.endswith(" ACCEPT")))


def _links() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}
