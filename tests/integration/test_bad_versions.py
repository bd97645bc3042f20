"""Every bad version is refused at promotion, by a real trial, while Production stays what it was.

What can go bad after the judging (a flipped bit, an extra or a missing file) is in
test_bad_bytes.py; the table itself in tests/servingfakes/bad_versions.py.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from registry.errors import GatesRefused
from registry.gates import Status
from registry.promotion import promote
from registry.trial import SubprocessTrial
from tests.fakes import World
from tests.servingfakes import models
from tests.servingfakes.bad_versions import BAD, GOOD, MARKER, Bad, write_loader, write_pickle
from tests.servingfakes.versions import folder, mlmodel

ENGINES = ("onnx", "prophet")
COLUMN = mlmodel([{"name": "x", "type": "double", "required": True}])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registry with `iris` v1 in Production, judged by real trials."""
    made = World(tmp_path_factory.mktemp("world"))
    made.trial = SubprocessTrial(seconds=60, memory_mb=4096, engines=ENGINES)
    first = made.client.register(
        "iris", folder(made.root / "v1", GOOD, files={"MLmodel": COLUMN}), metrics={}
    )
    made.serve(first)
    yield made
    made.ledger.close()


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_it_is_refused_with_the_reason_and_production_stays(
    world: World, tmp_path: Path, bad: Bad
) -> None:
    world.policies["iris"] = bad.policy
    world.trial = SubprocessTrial(seconds=bad.seconds, memory_mb=bad.memory_mb, engines=ENGINES)
    before = (world.ledger.head("iris"), world.shown())
    bad.make(tmp_path / "version")
    version = world.client.register("iris", tmp_path / "version", metrics={})
    with pytest.raises(GatesRefused) as refused:
        promote(world.ports, version, actor="ada")
    failed = {r.gate: r.got for r in refused.value.report.results if r.status is Status.FAILED}
    assert bad.gate in failed, failed
    assert bad.reason in str(refused.value)
    assert bad.reason in world.tags(version)["baton.rejected"]
    assert (world.ledger.head("iris"), world.shown()) == before
    assert before[1] == ([1], 1)
    assert not (tmp_path / MARKER).exists()


def test_the_markers_that_must_not_appear_would_appear_if_anything_ran(tmp_path: Path) -> None:
    write_pickle(tmp_path / "pickled")
    pickle.loads((tmp_path / "pickled" / "model.pkl").read_bytes())  # noqa: S301 - as said
    assert (tmp_path / MARKER).exists()
    (tmp_path / MARKER).unlink()
    write_loader(tmp_path / "loader")
    exec((tmp_path / "loader" / "evil.py").read_text())  # noqa: S102 - as said
    assert (tmp_path / MARKER).exists()


def test_code_beside_a_good_onnx_file_is_carried_along_and_never_run(
    world: World, tmp_path: Path
) -> None:
    """A loader module of its own does not make a version bad that has a flavour we load."""
    source = tmp_path / "version"
    write_loader(source)
    (source / "MLmodel").write_text(
        "flavors: {onnx: {data: model.onnx}, python_function: {loader_module: evil, code: code}}"
    )
    (source / "model.onnx").write_bytes(GOOD)
    world.trial = SubprocessTrial(seconds=60, memory_mb=4096, engines=ENGINES)
    version = world.client.register("with_code", source, metrics={})
    assert promote(world.ports, version, actor="ada").entry is not None
    assert not (tmp_path / MARKER).exists()


def test_a_zip_bomb_in_the_artifact_is_bytes_like_any_other(world: World, tmp_path: Path) -> None:
    """Nothing of ours unzips: the folder is fetched, hashed and loaded as small as it is."""
    source = folder(tmp_path / "version", models.linear(2))
    with zipfile.ZipFile(source / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(2**28))
    np.savez_compressed(source / "bomb.npz", zeros=np.zeros(2**25, np.float64))
    bombs = {path.name: path.stat().st_size for path in source.glob("bomb.*")}
    assert all(size < 2**20 for size in bombs.values())
    world.trial = SubprocessTrial(seconds=60, memory_mb=4096, engines=ENGINES)
    version = world.client.register("zipped", source, metrics={})
    entry = promote(world.ports, version, actor="ada").entry
    assert entry is not None
    files = entry.route.manifest.files
    assert {name: files[name].size for name in bombs} == bombs
    report = world.trial.run(source, manifest=entry.route.manifest)
    assert report.ok
    assert report.memory_mb < 2**28 / 2**20
