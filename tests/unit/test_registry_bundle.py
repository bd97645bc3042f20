"""The directory contract: manifests that notice everything, bundles that survive anything."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.batching import Batching
from registry.bundle import RUNNER, Bundle, Golden, Manifest
from registry.errors import BundleInvalid
from registry.evaluation import Comparison
from tests.fakes import evaluation, manifest, write_bundle
from tests.fakes.bundles import write_code


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A complete version."""
    return write_bundle(tmp_path / "version")


def test_a_manifest_lists_every_file_but_what_mlflow_adds(root: Path) -> None:
    before = Manifest.of(root)
    root.joinpath("registered_model_meta").write_text("model_name: iris")
    assert Manifest.of(root) == before
    assert "baton/golden.json" in before.files
    before.verify(root)


def test_a_digest_depends_on_names_and_bytes_alone(root: Path, tmp_path: Path) -> None:
    same = write_bundle(tmp_path / "copy")
    os.utime(same / "MLmodel", (0, 0))
    assert Manifest.of(same).digest == Manifest.of(root).digest
    same.joinpath("model.onnx").rename(same / "other.onnx")
    assert Manifest.of(same).digest != Manifest.of(root).digest


def truncate(root: Path) -> None:
    """The last byte is missing."""
    file = root / "model.onnx"
    file.write_bytes(file.read_bytes()[:-1])


def garble(root: Path) -> None:
    """One byte is another; the size is the same."""
    file = root / "model.onnx"
    file.write_bytes(b"x" + file.read_bytes()[1:])


def remove(root: Path) -> None:
    """The file is missing."""
    root.joinpath("model.onnx").unlink()


def add(root: Path) -> None:
    """There is one file more."""
    root.joinpath("baton", "model.onnx.more").write_text("")


def link(root: Path) -> None:
    """The file is a link to its own bytes."""
    file = root / "model.onnx"
    file.rename(root.parent / "elsewhere")
    file.symlink_to(root.parent / "elsewhere")


def pipe(root: Path) -> None:
    """The file is none; reading it would never end."""
    root.joinpath("model.onnx").unlink()
    os.mkfifo(root / "model.onnx")


@pytest.mark.parametrize("harm", [truncate, garble, remove, add, link, pipe])
def test_any_change_is_noticed_and_the_file_is_named(
    root: Path, harm: Callable[[Path], None]
) -> None:
    before = Manifest.of(root)
    harm(root)
    with pytest.raises(BundleInvalid, match=r"model\.onnx"):
        before.verify(root)


@pytest.mark.parametrize("harm", [link, pipe])
def test_links_and_special_files_are_not_even_hashed(
    root: Path, harm: Callable[[Path], None]
) -> None:
    harm(root)
    with pytest.raises(BundleInvalid, match="link or special file"):
        Manifest.of(root)


def test_a_directory_that_is_a_link_is_refused(root: Path, tmp_path: Path) -> None:
    tmp_path.joinpath("more").mkdir()
    root.joinpath("more").symlink_to(tmp_path / "more")
    with pytest.raises(BundleInvalid, match="link"):
        Manifest.of(root)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid, match="absent"):
        Manifest.of(tmp_path / "absent")


def test_a_manifest_survives_json() -> None:
    golden = Golden(({"request": {"x": 1}, "response": {"y": 2}},), rtol=1e-5, atol=0)
    plain = manifest()
    whole = Manifest(plain.files, kind="tabular", golden=golden)
    for each in (plain, whole):
        assert Manifest.from_json(json.loads(json.dumps(each.to_json()))) == each
    assert whole.digest == plain.digest, "the digest is that of the bytes"


def test_a_bundle_of_our_own_is_understood(root: Path) -> None:
    bundle = Bundle.open(root)
    assert (bundle.engine, bundle.kind, bundle.model_file) == (
        "onnx",
        "tabular",
        root / "model.onnx",
    )
    assert bundle.evaluation == evaluation()
    assert bundle.golden is not None
    assert bundle.signature is not None
    assert bundle.missing() == ()


def test_an_evaluation_survives_json() -> None:
    compared = Comparison(version=1, digest="d", series="iris", metrics={"accuracy": 0.9})
    measured = evaluation(current=compared)
    assert type(measured).from_json(json.loads(json.dumps(measured.to_json()))) == measured


@pytest.mark.parametrize(("engine", "kind"), [("onnx", "tabular"), ("prophet", "forecast")])
def test_a_version_from_elsewhere_has_the_kind_of_its_flavour(
    tmp_path: Path, engine: str, kind: str
) -> None:
    root = write_bundle(tmp_path / "v", engine=engine, own=False)
    bundle = Bundle.open(root)
    assert (bundle.engine, bundle.kind) == (engine, kind)
    assert bundle.golden is bundle.evaluation is None
    assert bundle.missing() == ()


def test_what_the_judge_found_counts_only_where_the_version_says_nothing(tmp_path: Path) -> None:
    golden = Golden(({"request": {}, "response": {}},))
    theirs = Bundle.open(write_bundle(tmp_path / "a", own=False), kind="image", golden=golden)
    assert (theirs.kind, theirs.golden) == ("image", golden)
    ours = Bundle.open(write_bundle(tmp_path / "b"), kind="image", golden=golden)
    assert ours.kind == "tabular"
    assert ours.golden != golden


def test_a_bare_onnx_file_is_enough(tmp_path: Path) -> None:
    tmp_path.joinpath("model.onnx").write_text("weights")
    assert Bundle.open(tmp_path).engine == "onnx"


@pytest.mark.parametrize("name", ["golden.json", "evaluation.json", "model_schema.json"])
def test_a_file_that_is_missing_is_said(root: Path, name: str) -> None:
    root.joinpath("baton", name).unlink()
    assert Bundle.open(root).missing() == (f"baton/{name}",)


@pytest.mark.parametrize("path", ["../outside", "/etc/hostname", "baton", "x" * 5000, "a\0b", ""])
def test_a_model_file_outside_of_the_directory_is_refused(root: Path, path: str) -> None:
    root.parent.joinpath("outside").write_text("weights")
    own = {"kind": "tabular", "engine": "onnx", "model_file": path}
    root.joinpath("baton", "bundle.json").write_text(json.dumps(own))
    with pytest.raises(BundleInvalid):
        Bundle.open(root)


def test_an_unknown_kind_is_refused_with_those_that_are_known(root: Path) -> None:
    with pytest.raises(BundleInvalid, match="tabular, forecast, image, got 'text'"):
        Bundle.open(write_bundle(root.parent / "w", own=False), kind="text")


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": "many"},
        {"rows": None},
        {"metrics": {"accuracy": "good"}},
        {"metrics": [1]},
        {"baselines": {"majority": 0.4}},
        {"baselines": {"majority": {"accuracy": None}}},
        {"data_end": "soon"},
        {"data_end": 5},
        {"source": 5},
        {"current": {"version": 1}},
        {"current": {"version": 1, "digest": "d", "series": "s", "metrics": {"accuracy": "x"}}},
        {"unheard": "of"},
    ],
)
def test_an_evaluation_of_another_form_is_refused(root: Path, changes: dict[str, object]) -> None:
    body = {**evaluation().to_json(), **changes}
    root.joinpath("baton", "evaluation.json").write_text(json.dumps(body))
    with pytest.raises(BundleInvalid):
        Bundle.open(root)


def test_an_evaluation_with_whole_numbers_is_fine(root: Path) -> None:
    body = evaluation(metrics={"accuracy": 1}, data_end="2025-12-31T10:00:00+02:00").to_json()
    root.joinpath("baton", "evaluation.json").write_text(json.dumps(body))
    measured = Bundle.open(root).evaluation
    assert measured is not None
    assert measured.metrics == {"accuracy": 1}


def declare(root: Path, batching: object, *, engine: str = "onnx") -> Path:
    """A version that says this of joint calls."""
    file = write_bundle(root, engine=engine) / "baton" / "bundle.json"
    own = {**json.loads(file.read_text()), "batching": batching, "call_ms": {"1": 3.2}}
    file.write_text(json.dumps(own))
    return root


def test_joint_calls_are_declared_by_their_most_rows(root: Path) -> None:
    assert Bundle.open(root).batching is None
    assert Bundle.open(declare(root, {"max_rows": 32})).batching == Batching(32)
    assert Batching.from_json(Batching(32).to_json()) == Batching(32)


@pytest.mark.parametrize(
    ("batching", "said"),
    [
        ({"max_rows": 1}, "from 2 to 4096, got 1"),
        ({"max_rows": 0}, "got 0"),
        ({"max_rows": -8}, "got -8"),
        ({"max_rows": 4097}, "got 4097"),
        ({"max_rows": 8.0}, "got 8.0"),
        ({"max_rows": "8"}, "got '8'"),
        ({"max_rows": True}, "got True"),
        ({"max_rows": None}, "got None"),
        ({"max_rows": [8]}, "got "),
        ({"max_rows": 8, "wait_ms": 5}, "wait_ms"),
        ({}, 'expected {"max_rows": n}'),
        (None, "got None"),
        (8, "got 8"),
        ([8], "got "),
        ("max_rows", "got 'max_rows'"),
    ],
    ids=str,
)
def test_joint_calls_that_make_no_sense_are_refused(
    root: Path, batching: object, said: str
) -> None:
    with pytest.raises(BundleInvalid) as refused:
        Bundle.open(declare(root, batching))
    assert "bundle.json: batching" in str(refused.value)
    assert said in str(refused.value)


def test_joint_calls_are_declared_of_graphs_only(root: Path) -> None:
    with pytest.raises(BundleInvalid, match="batching: expected with engine onnx, got prophet"):
        Bundle.open(declare(root.parent / "p", {"max_rows": 8}, engine="prophet"))


def test_joint_calls_and_params_do_not_go_together(root: Path) -> None:
    declare(root, {"max_rows": 32})
    mlmodel = yaml.safe_load((root / "MLmodel").read_text())
    spec = {"name": "scale", "type": "double", "default": 1.0, "shape": None}
    mlmodel["signature"] = {**(mlmodel.get("signature") or {}), "params": json.dumps([spec])}
    (root / "MLmodel").write_text(json.dumps(mlmodel))
    with pytest.raises(BundleInvalid, match="expected no params beside it, got scale"):
        Bundle.open(root)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["kind", "engine", "model_file", "batching", "max_rows", "examples", "rtol"]
            )
            | st.sampled_from(["atol", "rows"])
            | st.sampled_from(["flavors", "onnx", "data", "prophet", "signature", "inputs", "type"])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
NAMES = ["MLmodel", "baton/bundle.json", "baton/golden.json", "baton/evaluation.json"]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(NAMES), body=JSON, own=st.booleans())
def test_whatever_stands_in_its_files_a_bundle_is_opened_or_invalid(
    name: str, body: object, own: bool
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = write_bundle(Path(scratch), own=own)
        root.joinpath("baton").mkdir(exist_ok=True)
        dump = yaml.safe_dump if name == "MLmodel" else json.dumps
        root.joinpath(name).write_text(dump(body))
        with contextlib.suppress(BundleInvalid):
            Bundle.open(root)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MLmodel", "a: [unclosed"),
        ("MLmodel", "!!python/object/apply:os.system ['true']"),
        ("MLmodel", "made: 2024-13-45 00:00:00"),
        ("MLmodel", 'signature: {inputs: \'[{"type": "tensor"}]\'}'),
        ("MLmodel", 'signature: {inputs: \'[{"type": "double"}]\', outputs: "[1]"}'),
        ("MLmodel", "signature: text"),
        ("MLmodel", "[" * 100_000),
        ("MLmodel", "\n".join("  " * depth + "a:" for depth in range(2_000))),
        ("MLmodel", "a: &a [x]\nb: [" + "*a, " * 17 + "]"),
        ("baton/bundle.json", "[" * 100_000),
        ("baton/golden.json", "{} and more"),
        ("baton/evaluation.json", "\ud800".encode("utf-8", "surrogatepass")),
    ],
    ids=range(12),
)
def test_text_that_is_no_such_file_is_invalid(root: Path, name: str, text: str | bytes) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    root.joinpath(name).write_bytes(raw)
    with pytest.raises(BundleInvalid):
        Bundle.open(root)


def test_a_few_aliases_in_an_mlmodel_are_read(root: Path) -> None:
    text = root.joinpath("MLmodel").read_text()
    root.joinpath("MLmodel").write_text(text + "\nparams: &a [x]\nsame: [*a, *a]\n")
    assert Bundle.open(root).engine == "onnx"


def test_what_was_converted_needs_no_evaluation_since_nobody_measured_it_here(
    tmp_path: Path,
) -> None:
    root = write_bundle(tmp_path / "v", packaged_from="d" * 64)
    bundle = Bundle.open(root)
    assert (bundle.missing(), bundle.packaged_from) == ((), "d" * 64)
    (root / "baton" / "golden.json").unlink()
    assert Bundle.open(root).missing() == ("baton/golden.json",)


def test_code_has_the_engine_of_code_and_its_flavours(tmp_path: Path) -> None:
    bundle = Bundle.open(write_code(tmp_path / "v", flavour="keras"))
    assert (bundle.engine, sorted(bundle.flavours)) == (RUNNER, ["keras", "python_function"])
