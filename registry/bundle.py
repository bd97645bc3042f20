"""The directory contract of a version: its files, their digests, and what can be served from them.

A version's directory is what MLflow registered (`MLmodel`, `model.onnx`, `model.pr`, …) and, where
Baton trained it, a folder `baton/` with

    bundle.json        kind, engine, model file, workload, batching (registry/batching.py)
    model_schema.json  what it takes and answers, for people and `GET /models/<name>`
    golden.json        requests with the answers the trained model gave to them
    evaluation.json    what was measured (registry/evaluation.py)
    profile.json       the distribution it was trained on (registry/profile.py)

Written by `training`, judged by `registry`, served by `serving`; none of them runs code from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from registry.batching import Batching
from registry.errors import BundleInvalid
from registry.evaluation import Evaluation
from registry.params import Param, from_mlmodel
from registry.plain_yaml import mapping_of
from registry.signature import Signature

FOLDER = "baton"
# MLflow writes this one into a version's folder when it registers it: not part of what was logged.
_NOT_HASHED = frozenset({"registered_model_meta"})
_MAX_METADATA_BYTES = 16 * 1024 * 1024
KINDS = ("tabular", "forecast", "image")


@dataclass(frozen=True)
class FileDigest:
    """SHA-256 (hex) and size in bytes of one file."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Golden:
    """Requests with the answers a version must give, within `rtol` and `atol`.

    An example is `{"request": …, "response": …}`; the response may hold only part of the answer.
    """

    examples: tuple[Mapping[str, Any], ...]
    rtol: float = 1e-6
    atol: float = 1e-6

    def to_json(self) -> dict[str, Any]:
        """As written to `golden.json`."""
        return {"examples": list(self.examples), "rtol": self.rtol, "atol": self.atol}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`."""
        return cls(tuple(data["examples"]), float(data["rtol"]), float(data["atol"]))


@dataclass(frozen=True)
class Manifest:
    """Every file of a version with its digest, stored with the ledger entry.

    `kind` and `golden` stand here only for versions without a `baton/` folder: the judge found
    them, and the nodes go by what the judge found.
    """

    files: Mapping[str, FileDigest]
    kind: str | None = None
    golden: Golden | None = None

    @classmethod
    def of(cls, root: Path) -> Self:
        """Hash every file below `root`; links and special files are refused."""
        return cls({str(path.relative_to(root)): _hash(path) for path in _files(root)})

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over all paths, sizes and digests: the identity of these bytes."""
        listing = [(path, f.size, f.sha256) for path, f in sorted(self.files.items())]
        return hashlib.sha256(json.dumps(listing).encode()).hexdigest()

    def verify(self, root: Path) -> None:
        """Raise BundleInvalid unless `root` holds exactly these files with exactly these bytes."""
        found = {str(path.relative_to(root)): path for path in _files(root)}
        if missing := sorted(self.files.keys() - found.keys()):
            raise BundleInvalid(f"{root.name}: missing {', '.join(missing)}")
        if extra := sorted(found.keys() - self.files.keys()):
            raise BundleInvalid(f"{root.name}: not in the manifest: {', '.join(extra)}")
        for name, expected in self.files.items():
            got = _hash(found[name])
            if got != expected:
                raise BundleInvalid(
                    f"{name}: expected sha256 {expected.sha256[:12]} of {expected.size} bytes, "
                    f"got {got.sha256[:12]} of {got.size}"
                )

    def to_json(self) -> dict[str, Any]:
        """As stored in the ledger and in the node store."""
        return {
            "files": {path: [f.sha256, f.size] for path, f in sorted(self.files.items())},
            "kind": self.kind,
            "golden": self.golden.to_json() if self.golden else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`."""
        golden = data.get("golden")
        return cls(
            {path: FileDigest(sha, size) for path, (sha, size) in data["files"].items()},
            data.get("kind"),
            Golden.from_json(golden) if golden else None,
        )


@dataclass(frozen=True)
class Bundle:
    """A version's directory, understood: which engine runs which file as which kind."""

    root: Path
    kind: str
    engine: str
    model_file: Path
    signature: Signature | None = None
    params: tuple[Param, ...] = ()
    schema: Mapping[str, Any] = field(default_factory=dict)
    golden: Golden | None = None
    input_example: Mapping[str, Any] | None = None
    evaluation: Evaluation | None = None
    batching: Batching | None = None

    @classmethod
    def open(cls, root: Path, *, kind: str | None = None, golden: Golden | None = None) -> Self:
        """Read a directory; `kind` and `golden` are the manifest's, for versions from elsewhere.

        Raises BundleInvalid naming the file and what is missing. Loads no model.
        """
        try:
            return cls._read(root, kind, golden)
        except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            raise BundleInvalid(f"{root.name}: a file does not have its form: {error!r}") from error

    @classmethod
    def _read(cls, root: Path, kind: str | None, golden: Golden | None) -> Self:
        mlmodel = _yaml(root / "MLmodel")
        own = _json(root / FOLDER / "bundle.json") or {}
        flavours = mlmodel.get("flavors") or {}
        engine, model_file = _engine(own, flavours, root)
        kind = own.get("kind") or kind or ("forecast" if engine == "prophet" else "tabular")
        if kind not in KINDS:
            raise BundleInvalid(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
        stored = _json(root / FOLDER / "golden.json")
        measured = _json(root / FOLDER / "evaluation.json")
        params = from_mlmodel((mlmodel.get("signature") or {}).get("params"))
        return cls(
            root=root,
            kind=kind,
            engine=engine,
            model_file=_inside(root, model_file),
            signature=Signature.from_mlmodel(mlmodel),
            params=params,
            schema=_json(root / FOLDER / "model_schema.json") or {},
            golden=Golden.from_json(stored) if stored else golden,
            input_example=_json(root / "serving_input_example.json"),
            evaluation=Evaluation.from_json(measured) if measured else None,
            batching=_batching(own, engine, params),
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes it names in its schema; empty if it names none."""
        named = self.schema.get("labels")
        return tuple(map(str, named)) if isinstance(named, list) else ()

    def missing(self) -> tuple[str, ...]:
        """Files a complete bundle of Baton's own would have and this one has not."""
        if not (self.root / FOLDER).is_dir():
            return ()
        names = (
            "bundle.json",
            "model_schema.json",
            "golden.json",
            "evaluation.json",
            "profile.json",
        )
        return tuple(f"{FOLDER}/{n}" for n in names if not (self.root / FOLDER / n).is_file())


def _engine(own: Mapping[str, Any], flavours: Mapping[str, Any], root: Path) -> tuple[str, str]:
    """Name the engine and its file: the bundle's word first, then MLflow's flavours."""
    if own:
        return str(own.get("engine")), str(own.get("model_file"))
    if "prophet" in flavours:
        return "prophet", str(flavours["prophet"].get("data", "model.pr"))
    if "onnx" in flavours:
        return "onnx", str(flavours["onnx"].get("data", "model.onnx"))
    if (root / "model.onnx").is_file():
        return "onnx", "model.onnx"
    return "runner", "MLmodel"


def _batching(own: Mapping[str, Any], engine: str, params: Sequence[Param]) -> Batching | None:
    """What the bundle declares; only where there is somebody to go by it."""
    if "batching" not in own:
        return None
    if engine != "onnx":
        raise BundleInvalid(f"bundle.json: batching: expected with engine onnx, got {engine}")
    if params:
        raise BundleInvalid(
            f"bundle.json: batching: expected no params beside it, got {params[0].name}: requests "
            "that say different ones cannot share a call"
        )
    return Batching.from_json(own["batching"])


def refuse_links(root: Path) -> None:
    """Raise BundleInvalid for whatever below `root` leads to bytes kept elsewhere.

    For a directory that is about to be copied: a copy would hold what a link points to. A copy
    itself may have several names (a backup by hard links): its bytes are checked by their digests.
    Nothing is there for an address that is not one of this machine.
    """
    for path in _files(root) if root.is_dir() else ():
        if (names := path.stat().st_nlink) > 1:
            raise BundleInvalid(
                f"{path.relative_to(root)}: a hard link ({names} names): register a copy of it"
            )


def _inside(root: Path, name: str) -> Path:
    """The file `name` of the directory; a path that leaves it is refused."""
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        raise BundleInvalid(f"{name}: named as the model file, but there is no such file inside")
    return path


def _files(root: Path) -> list[Path]:
    """Every plain file below `root`, sorted; anything else there is refused."""
    if not root.is_dir():
        raise BundleInvalid(f"{root}: no such directory")
    out = []
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BundleInvalid(f"{path.relative_to(root)}: a link or special file")
        if path.is_file() and str(path.relative_to(root)) not in _NOT_HASHED:
            out.append(path)
    return out


def _hash(path: Path) -> FileDigest:
    with path.open("rb") as file:
        return FileDigest(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def _text(path: Path) -> str | None:
    if not path.is_file():
        return None
    if path.stat().st_size > _MAX_METADATA_BYTES:
        raise BundleInvalid(f"{path.name}: over {_MAX_METADATA_BYTES} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BundleInvalid(f"{path.name}: not UTF-8 text") from error


def _json(path: Path) -> Any:
    text = _text(path)
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleInvalid(f"{path.name}: not JSON: {error}") from error


def _yaml(path: Path) -> dict[str, Any]:
    text = _text(path)
    if text is None:
        return {}
    try:
        return mapping_of(text)
    except ValueError as error:
        raise BundleInvalid(f"{path.name}: {error}") from error
