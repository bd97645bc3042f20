"""What a process gives up for good before it loads somebody's pickle, beside memory and network.

    processes   it becomes the first of a process namespace: whatever it starts ends with it, and it
                sees, signals and reads nothing of the others
    sockets     seccomp refuses to make any, also where the kernel gives no network namespace, and
                also those that are files and lead to a server of this machine
    files       Landlock lets it read the interpreter, the libraries, our code and the version, and
                write below one directory
    privileges  no capability is left, even to root, and none comes back

Each works by itself; what the kernel does not have is missing from what `confine` says. Imports
nothing but the standard library: it is called while the process has one thread.
"""

from __future__ import annotations

import ctypes
import os
import platform
import select
import signal
import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from registry.process import die_with_parent

_CLONE_NEWPID = 0x20000000
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)

# By machine: how the kernel's audit names it, and its numbers of socket and io_uring_setup.
_MACHINES = {"x86_64": (0xC000003E, 41, 425), "aarch64": (0xC00000B7, 198, 425)}
_X32_CALLS = 0x40000000
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06

# Landlock, the same numbers on every machine.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_DIRECTORY, _EXECUTE, _WRITE_FILE = 1 << 2, 1 << 3, 1 << 0, 1 << 1
# How many rights of files each version of Landlock knows.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NET_RIGHTS = 0b11  # to bind and to connect TCP, from version 4 on
_SCOPES = 0b11  # signals and abstract sockets to outside, from version 6 on

# What programs read on any Linux; not all of /etc, which may hold secrets.
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/sbin", "/sys", "/proc", "/dev/null", "/dev/zero",
    "/dev/random", "/dev/urandom", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
    "/etc/localtime", "/etc/timezone", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/passwd",
)  # fmt: skip
_WRITTEN_TO = ("/dev/null",)


def become_first() -> bool:
    """Go on as the first process of a namespace, if there can be one; says whether there is.

    The process that was here stays outside, ends as this one ends, and takes it along.
    """
    if _libc.unshare(_CLONE_NEWPID) != 0:
        return False
    lifeline, held = os.pipe()
    child = 0

    def end(*_: object) -> None:
        if child:
            os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end)
    die_with_parent(signal.SIGTERM)
    child = os.fork()
    if child:
        os.close(lifeline)
        _end_as(child)
    os.close(held)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent(signal.SIGKILL)
    if select.select([lifeline], [], [], 0)[0]:  # the outer one was gone before that
        os._exit(1)
    return True


def confine(*, readable: Iterable[Path], listed: Iterable[Path], room: Path) -> Sequence[str]:
    """Give up privileges, sockets and files; says what of it was to be had.

    `readable` is read beside the system's and Python's own files, names below `listed` may be
    looked up, `room` is all that can be written.
    """
    _drop_capabilities()
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return ()
    done = []
    if _confine_files(readable, listed, room):
        done.append("files")
    if _refuse_sockets():
        done.append("sockets")
    return done


def python_paths() -> Sequence[Path]:
    """Where the interpreter and the libraries of this environment are."""
    return [Path(sys.prefix), Path(sys.base_prefix)]


def _end_as(child: int) -> NoReturn:
    """Wait for the child, then end by the same signal or with the same status."""
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(abs(code))


def _drop_capabilities() -> None:
    """Have none; root is then the owner of its files, and nothing more."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _libc.capset(header, bytes(24))


def _refuse_sockets() -> bool:
    """Let the kernel refuse sockets, also by way of io_uring and of other machines' calls."""
    if platform.machine() not in _MACHINES:
        return False
    machine, socket, io_uring = _MACHINES[platform.machine()]
    program = [
        (_LOAD, 0, 0, 4),  # the machine
        (_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the call
        (_AT_LEAST, 2, 0, _X32_CALLS),
        (_EQUAL, 1, 0, socket),
        (_EQUAL, 0, 1, io_uring),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    whole = struct.pack("@HP", len(program), ctypes.addressof(code))
    return int(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, whole, 0, 0)) == 0


def _confine_files(readable: Iterable[Path], listed: Iterable[Path], room: Path) -> bool:
    """Let Landlock refuse every file but these."""
    version = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    every = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    sizes = struct.pack(
        "=QQQ", every, _NET_RIGHTS if version >= 4 else 0, _SCOPES if version >= 6 else 0
    )
    known = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = _libc.syscall(_CREATE_RULESET, sizes[:known], ctypes.c_size_t(known), 0)
    if rules < 0:
        return False
    reading = _READ_FILE | _READ_DIRECTORY | _EXECUTE
    for path in [*map(Path, _SYSTEM), *python_paths(), *readable]:
        _allow(rules, path, reading)
    for path in listed:
        _allow(rules, path, _READ_DIRECTORY)
    for path in map(Path, _WRITTEN_TO):
        _allow(rules, path, _READ_FILE | _WRITE_FILE)
    _allow(rules, room, every)
    done = int(_libc.syscall(_RESTRICT_SELF, rules, 0)) == 0
    os.close(rules)
    return done


def _allow(rules: int, path: Path, rights: int) -> None:
    """Add a rule for what there is at `path` and below; nothing if there is nothing."""
    with suppress(OSError):
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not path.is_dir():
                rights &= _READ_FILE | _EXECUTE | _WRITE_FILE
            rule = struct.pack("=Qi", rights, opened)
            _libc.syscall(_ADD_RULE, rules, 1, rule, 0)
        finally:
            os.close(opened)
