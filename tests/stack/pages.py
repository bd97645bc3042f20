"""A page of docs/ as a script: its commands taken out, lane by lane, and run in their order.

A block of commands says behind its language where it is run:

    ```bash native docker

`native` is this machine's processes, `docker` the stack in an engine; both know what came before
in their lane, as a shell does in which somebody types the page. Other blocks (`text`, `yaml`,
`ini`) are shown, not run. A command in a sentence has to stand in a block too, else it is a fault:
nothing would run it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LANES = ("native", "docker")
SHOWN = frozenset({"text", "yaml", "ini"})
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})(.*)$")
_INLINE = re.compile(r"`([^`\n]+)`")
# What a command begins with; alone, as `make`, it is a word that the text is about.
_COMMANDS = (
    "make", "docker", "docker-compose", "stack", "baton", "ask", "curl", "python", "python3",
    ".venv/bin/python", "promtool", "amtool", "openssl", "git", "kubectl", "helm", "psql", "sudo",
    "systemctl", "weed", "mlflow", "rm", "cat", "chmod", "export",
)  # fmt: skip
_COMMAND = re.compile(rf"(?:\$ )?(?:{'|'.join(map(re.escape, _COMMANDS))}) \S")
# Ends at the first command that fails, and names its line: of a function the one that called it.
_STRICT = (
    "set -Eeuo pipefail; trap 'code=$? at=$LINENO; "
    '[ ${#BASH_LINENO[@]} -lt 2 ] || at=${BASH_LINENO[-2]}; echo "line $at ended with $code"\' ERR'
)
_DONE = "every command of this lane was run"


@dataclass(frozen=True)
class Block:
    """Lines between fences; `line` is that of the first of them, counted from 1."""

    line: int
    language: str
    lanes: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Ran:
    """How a lane ended; `said` is all it printed, in the order of printing."""

    code: int
    said: str

    @property
    def is_whole(self) -> bool:
        """Whether it came to its end, and by no `exit` on its way."""
        return self.code == 0 and self.said.rstrip().endswith(_DONE)


def blocks(page: str) -> Sequence[Block]:
    """All fenced blocks of a page. Raises ValueError for one that is not closed."""
    found, lines = [], page.split("\n")
    fence, opened, info = "", 0, ""
    for number, line in enumerate(lines, 1):
        mark = _FENCE.match(line)
        if not fence and mark:
            fence, opened, info = mark[1], number, mark[2]
        elif fence and line.strip() == fence:
            language, *lanes = info.split() or [""]
            text = "\n".join(lines[opened : number - 1])
            found.append(Block(opened + 1, language, tuple(lanes), text))
            fence = ""
    if fence:
        raise ValueError(f"line {opened}: this block is not closed")
    return found


def faults(page: str) -> Iterator[str]:
    """Commands that no lane runs, and blocks that are none, each with its line."""
    fenced: set[int] = set()
    everything = blocks(page)
    run_ones = [line.strip() for b in everything if b.lanes for line in b.text.split("\n")]
    for block in everything:
        fenced.update(range(block.line - 1, block.line + block.text.count("\n") + 2))
        yield from (f"line {block.line}: {fault}" for fault in _block_faults(block))
    for number, line in enumerate(page.split("\n"), 1):
        if number not in fenced:
            yield from (
                f"line {number}: a command outside of a block: {said}"
                for said in _typed(line)
                if not any(f"{one} ".startswith(f"{said} ") for one in run_ones)
            )


def _block_faults(block: Block) -> Iterator[str]:
    if block.language in SHOWN and not block.lanes:
        return
    if block.language != "bash":
        yield f"neither bash nor one of {', '.join(sorted(SHOWN))}: {block.language!r}"
    elif not block.lanes:
        yield "no lane runs this"
    yield from (f"no such lane: {lane}" for lane in block.lanes if lane not in LANES)
    if said := _grammar(block.text):
        yield said


def _typed(line: str) -> Iterator[str]:
    """Commands in a line of text: indented ones, and those between backticks."""
    if line.startswith(("    ", "\t")) and _COMMAND.match(line.strip()):
        yield line.strip()
    yield from (inline for inline in _INLINE.findall(line) if _COMMAND.match(inline))


def script(page: str, lane: str) -> str:
    """The lane's commands on the very lines where the page has them, so that bash names those."""
    lines = [""] * (page.count("\n") + 1)
    for block in blocks(page):
        if lane in block.lanes:
            first = block.line - 1
            text = block.text.split("\n")
            lines[first : first + len(text)] = text
    assert not lines[0], "the first line is a title"
    lines[0] = _STRICT
    return "\n".join([*lines, f"echo '{_DONE}'", ""])


def run(
    page: str, lane: str, *, cwd: Path, environ: Mapping[str, str], log: Path, seconds: float
) -> Ran:
    """Run a lane in one bash, until a command fails. Raises subprocess.TimeoutExpired.

    `log` gets what is printed as it is printed, beside it lies the script.
    """
    file = log.with_suffix(".sh")
    file.write_text(script(page, lane), encoding="utf-8")
    with log.open("wb") as out:
        done = subprocess.run(
            ["bash", str(file)], cwd=cwd, env=dict(environ), stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, timeout=seconds, check=False,
        )  # fmt: skip
    return Ran(done.returncode, log.read_text(encoding="utf-8", errors="replace"))


def planted(page: str, lane: str, command: str) -> tuple[str, int]:
    """The page with `command` as the last one of the lane's first block, and on which line."""
    block = next(one for one in blocks(page) if lane in one.lanes)
    lines = page.split("\n")
    at = block.line + block.text.count("\n")
    lines.insert(at, command)
    return "\n".join(lines), at + 1


def _grammar(text: str) -> str:
    done = subprocess.run(
        ["bash", "-n"], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stderr.strip()
