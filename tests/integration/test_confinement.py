"""What a process has given up before it loads somebody's pickle: each tried with and without it.

What the kernel of a machine does not have is missing from what the process says it gave up; here
all of it has to be there in CI.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.missing import ServiceMissing
from tests.servingfakes.node import ROOT, alive

PATIENCE_SECONDS = 60
_PRELUDE = """
import os, pathlib, socket, sys, time
from registry.isolation import isolate
from training.packaging.confinement import become_first, confine
room = pathlib.Path(sys.argv[1])
said = []
"""
_CONFINED = """
isolate(4096)
said = ["first"] if become_first() else []
said += confine(readable=[pathlib.Path("registry"), pathlib.Path("training")],
                listed=[pathlib.Path(".")], room=room)
"""


def child(room: Path, deed: str, *arguments: object, confined: bool) -> subprocess.Popen[str]:
    """A process that does `deed`, and prints before that what it gave up."""
    script = _PRELUDE + (_CONFINED if confined else "") + "print(*said, flush=True)\n" + deed
    return subprocess.Popen(
        [sys.executable, "-c", script, str(room), *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "BATON_SECRET": "a secret"},
    )


def outcome(room: Path, deed: str, *arguments: object, needs: str, confined: bool) -> str:
    """The last line of standard error, empty if all went well; skipped where nothing gives that."""
    process = child(room, deed, *arguments, confined=confined)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    if confined and needs not in out.splitlines()[0].split():
        ServiceMissing(f"this kernel cannot take away {needs}").skip_or_fail()
    return err.strip().rpartition("\n")[2]


@pytest.fixture
def room(tmp_path: Path) -> Path:
    made = tmp_path / "room"
    made.mkdir()
    return made


@pytest.fixture
def unix_socket(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield path


DEEDS: dict[str, tuple[str, str]] = {
    "write beside the room": ("files", "room.with_name('marker').touch()"),
    "make a directory": ("files", "room.with_name('made').mkdir()"),
    "read what is not for it": ("files", "room.with_name('secret').read_text()"),
    "remove what is not for it": ("files", "room.with_name('secret').unlink()"),
    "read our settings": ("files", "pathlib.Path('pyproject.toml').read_text()"),
    "look at another's environment": (
        "files",
        "pathlib.Path(f'/proc/{sys.argv[2]}/environ').read_bytes()",
    ),
    "make a socket": ("sockets", "socket.socket()"),
    "talk to a server by its file": (
        "sockets",
        "socket.socket(socket.AF_UNIX).connect(str(room.with_name('s')))",
    ),
    "signal another process": ("first", "os.kill(int(sys.argv[2]), 0)"),
}


@pytest.mark.parametrize("what", DEEDS)
def test_it_cannot(room: Path, unix_socket: Path, what: str) -> None:
    needs, deed = DEEDS[what]
    room.with_name("secret").write_text("a secret")
    free = outcome(room, deed, os.getpid(), needs=needs, confined=False)
    assert free == "", "without being confined it can"
    for left in ("marker", "made"):
        made = room.with_name(left)
        (made.unlink if made.is_file() else made.rmdir)() if made.exists() else None
    room.with_name("secret").write_text("a secret")
    held = outcome(room, deed, os.getpid(), needs=needs, confined=True)
    assert held.startswith(("PermissionError", "ProcessLookupError")), held
    assert not room.with_name("marker").exists()
    assert room.with_name("secret").exists()


WORK = {
    "write in its room": "(room / 'own').write_text('fine')",
    "read the libraries": "import json, training.onnx_model, registry.bundle",
    "start a process": "import subprocess; subprocess.run([sys.executable, '-c', ''], check=True)",
    "look at itself": "pathlib.Path('/proc/self/status').read_text()",
}


@pytest.mark.parametrize("what", WORK)
def test_it_still_can(room: Path, what: str) -> None:
    assert outcome(room, WORK[what], needs="files", confined=True) == ""


_DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        (room / "daemon").write_text(os.readlink("/proc/self"))
        time.sleep(300)
    os._exit(0)
while not (room / "daemon").exists():
    time.sleep(0.01)
time.sleep(float(sys.argv[2]))
"""


def gone(pid: int) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def left(room: Path) -> int:
    """The daemon's process, as this side counts them."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if (room / "daemon").is_file() and (text := (room / "daemon").read_text()):
            return int(text)
        time.sleep(0.02)
    raise AssertionError("no daemon")


def end(process: subprocess.Popen[str]) -> None:
    process.terminate()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()


@pytest.mark.parametrize("how", [end, kill])
def test_what_it_leaves_behind_ends_with_it(
    room: Path, how: Callable[[subprocess.Popen[str]], None]
) -> None:
    process = child(room, _DAEMON, 300, confined=True)
    daemon = left(room)
    how(process)
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    if "first" not in out:
        os.kill(daemon, signal.SIGKILL)
        ServiceMissing("this kernel gives no process namespace").skip_or_fail()
    assert gone(daemon)


def test_a_daemon_would_live_on_if_it_were_not_confined(room: Path) -> None:
    process = child(room, _DAEMON, 0, confined=False)
    daemon = left(room)
    process.wait(timeout=PATIENCE_SECONDS)  # its output stays open as long as the daemon
    lives = alive(daemon)
    os.kill(daemon, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert lives
    assert gone(daemon)


@pytest.mark.parametrize(
    ("deed", "code"),
    [("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", 0), ("os.abort()", -signal.SIGSEGV)],
)
def test_the_outer_process_ends_as_the_inner_one(room: Path, deed: str, code: int) -> None:
    """SIGKILL from within does nothing to a namespace's first process, nor does SIGABRT.

    `abort` then falls back on an instruction that nobody may execute.
    """
    process = child(room, deed, confined=True)
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    if "first" not in out:
        ServiceMissing("this kernel gives no process namespace").skip_or_fail()
    assert process.returncode == code
