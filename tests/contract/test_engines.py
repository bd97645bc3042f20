"""What every engine promises: one suite over all of them, and ONNX against who made the model."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from registry.bundle import Manifest
from registry.errors import BundleInvalid, RequestError
from serving.engines import _ENGINES
from serving.kinds import Limits
from serving.protocols.v2 import V2
from serving.servable import Servable
from tests.servingfakes import models, pyfuncs, runners
from tests.servingfakes.forecast import prophet_folder
from tests.servingfakes.versions import folder, mlmodel

LIMITS = Limits(max_rows=100, max_horizon=100)


@dataclass(frozen=True)
class Sample:
    """A version an engine runs: its folder, its model file, a request it takes."""

    root: Path
    file: str
    request: dict[str, Any]


def _onnx(path: Path) -> Sample:
    return Sample(folder(path, models.linear(3)), "model.onnx", {"instances": [[1.5], [2]]})


def _prophet(path: Path) -> Sample:
    return Sample(prophet_folder(path), "model.pr", {"horizon": 5})


def _runner(path: Path) -> Sample:
    _, rows = pyfuncs.forest(path)
    return Sample(path, "MLmodel", {"instances": rows[:2].to_numpy().tolist()})


SAMPLES: dict[str, Callable[[Path], Sample]] = {
    "onnx": _onnx,
    "prophet": _prophet,
    "runner": _runner,
}
ENGINES = tuple(SAMPLES)


def test_every_engine_is_in_this_suite() -> None:
    assert SAMPLES.keys() == _ENGINES.keys()


@pytest.fixture(scope="module", params=ENGINES)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return SAMPLES[request.param](tmp_path_factory.mktemp("engine") / "version")


def load(root: Path, *, allowed: tuple[str, ...] = ENGINES) -> Servable:
    return Servable.load(
        root, Manifest.of(root), allowed=allowed, limits=LIMITS, runner=runners.beside
    )


def text(answer: Any) -> bytes:
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def test_two_loads_of_the_same_bytes_give_the_same_answer(sample: Sample) -> None:
    one, two = (load(sample.root).predict(sample.request) for _ in range(2))
    assert text(one) == text(two)
    assert len(one["predictions"]) in (2, 5)


def test_an_answer_is_plain_json_and_finite(sample: Sample) -> None:
    answer = text(load(sample.root).predict(sample.request))
    assert b"null" not in answer
    assert json.loads(answer)["predictions"]


def test_threads_get_the_answers_they_would_get_alone(sample: Sample) -> None:
    servable = load(sample.root)
    alone = text(servable.predict(sample.request))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: text(servable.predict(sample.request)), range(200)))
    assert set(answers) == {alone}


def test_a_version_that_leaves_is_freed_without_the_collector(sample: Sample) -> None:
    """What was loaded when a worker was born is never looked through again."""
    servable = load(sample.root)
    servable.warm()
    left = [weakref.ref(servable), weakref.ref(servable._timed._engine)]
    gc.collect()
    gc.disable()
    try:
        del servable
        assert [one() for one in left] == [None, None]
    finally:
        gc.enable()


def test_its_example_is_asked_once(sample: Sample) -> None:
    servable = load(sample.root)
    assert servable.answer_to_example is servable.answer_to_example
    assert text(servable.answer_to_example) == text(servable.predict(servable.example()))


def test_params_reach_a_version_that_is_code(tmp_path: Path) -> None:
    params = [
        {"name": "times", "type": "double", "default": 3.0, "shape": None},
        {"name": "plus", "type": "long", "default": [1, 1], "shape": [-1]},
    ]
    predict = "return table['x'].to_numpy() * params['times'] + sum(params['plus'])"
    root = pyfuncs.scripted(tmp_path / "version", predict, params=params)
    servable = load(root)
    said = {"times": 10, "plus": [5, 6, 7]}
    for given, answers in ((None, [5.0, 9.5]), ({}, [5.0, 9.5]), (said, [28.0, 43.0])):
        answer = servable.predict({"instances": [[1.0], [2.5]], "params": given})
        assert answer["predictions"].tolist() == answers


def test_params_of_the_open_inference_protocol_are_its_parameters(tmp_path: Path) -> None:
    params = [{"name": "times", "type": "double", "default": 3.0, "shape": None}]
    root = pyfuncs.scripted(
        tmp_path / "v2", "return table['x'].to_numpy() * params['times']", params=params
    )
    servable = load(root)
    x = {"name": "x", "datatype": "FP64", "shape": [2], "data": [1.0, 2.5]}
    for said, answers in (({}, [3.0, 7.5]), ({"times": 10, "priority": 1}, [10.0, 25.0])):
        asked = json.dumps({"inputs": [x], "parameters": said}).encode()
        question = V2().read(asked, {"Content-Type": "application/json"}.get)
        assert servable.predict(question.body(servable))["predictions"].tolist() == answers


def test_it_takes_its_own_synthetic_request_and_warms_up_with_it(sample: Sample) -> None:
    servable = load(sample.root)
    assert servable.predict(servable.synthetic())["predictions"] is not None
    assert servable.warm() == 0


@pytest.mark.parametrize("damage", [b"", b"\x00\xff garbage", b"{}", b"[]", b"null", b"half"])
def test_a_file_that_it_cannot_read_is_invalid_and_nothing_worse(
    sample: Sample, tmp_path: Path, damage: bytes
) -> None:
    root = tmp_path / "damaged"
    root.mkdir()
    for name in Manifest.of(sample.root).files:
        root.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        root.joinpath(name).write_bytes(sample.root.joinpath(name).read_bytes())
    model = root / sample.file
    model.write_bytes(
        model.read_bytes()[: model.stat().st_size // 2] if damage == b"half" else damage
    )
    with pytest.raises(BundleInvalid, match=sample.file):
        load(root)


def test_bytes_that_changed_after_they_were_judged_are_not_loaded(
    sample: Sample, tmp_path: Path
) -> None:
    manifest = Manifest.of(sample.root)
    root = folder(tmp_path / "changed", b"another")
    with pytest.raises(BundleInvalid):
        Servable.load(root, manifest, allowed=ENGINES, limits=LIMITS)


def test_an_engine_that_is_not_allowed_here_is_refused_by_name(sample: Sample) -> None:
    with pytest.raises(BundleInvalid, match=r"it needs engine '.*'; allowed here"):
        load(sample.root, allowed=("another",))


@pytest.mark.parametrize("body", [{}, {"instances": [["x"]]}, {"horizon": "x"}, {"k": 1}])
def test_a_clients_mistake_is_a_request_error(sample: Sample, body: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        load(sample.root).predict(body)


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Any]:
    """A random forest of scikit-learn's, as ONNX, and rows to ask both."""
    from skl2onnx import to_onnx  # noqa: PLC0415 - only for this
    from sklearn.datasets import load_iris  # noqa: PLC0415 - only for this
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - only for this

    x, y = load_iris(return_X_y=True)
    model = RandomForestClassifier(n_estimators=20, random_state=0).fit(x, y)
    graph = to_onnx(model, x[:1].astype(np.float32), options={"zipmap": False})
    columns = [{"name": name, "type": "double", "required": True} for name in "abcd"]
    root = tmp_path_factory.mktemp("forest") / "version"
    return model, folder(root, graph.SerializeToString(), files={"MLmodel": mlmodel(columns)}), x


def test_onnx_answers_what_scikit_learn_does(forest: tuple[Any, Path, Any]) -> None:
    model, root, x = forest
    rows = x[::2]
    answer = load(root).predict({"inputs": dict(zip("abcd", rows.T.tolist(), strict=True))})
    assert answer["predictions"].tolist() == model.predict(rows).tolist()
    [probabilities] = answer["outputs"].values()
    np.testing.assert_allclose(probabilities, model.predict_proba(rows), atol=1e-6)


def test_onnx_with_probabilities_as_mappings_answers_the_same(
    forest: tuple[Any, Path, Any], tmp_path: Path
) -> None:
    from skl2onnx import to_onnx  # noqa: PLC0415 - only for this

    model, _, x = forest
    graph = to_onnx(model, x[:1].astype(np.float32))
    answer = load(folder(tmp_path / "v", graph.SerializeToString())).predict(
        {"inputs": [x[0].tolist()]}
    )
    [[mapping]] = answer["outputs"].values()
    assert mapping.keys() == {"0", "1", "2"}
    np.testing.assert_allclose(list(mapping.values()), model.predict_proba(x[:1])[0], atol=1e-6)


def test_onnx_takes_columns_of_texts(tmp_path: Path) -> None:
    columns = [{"name": name, "type": "string", "required": True} for name in ("city", "street")]
    root = folder(tmp_path / "v", models.text_length(), files={"MLmodel": mlmodel(columns)})
    servable = load(root)
    answer = servable.predict({"dataframe_records": [{"street": "Rua A", "city": "São Paulo"}]})
    assert answer == {"predictions": [["São Paulo"]], "outputs": {"other": [["Rua A"]]}}
    assert servable.predict(servable.synthetic())["predictions"] == [[""]]


def test_onnx_takes_tensors_of_texts(tmp_path: Path) -> None:
    servable = load(folder(tmp_path / "v", models.text_length()))
    answer = servable.predict({"inputs": {"street": [["Rua A"]], "city": [["São Paulo"]]}})
    assert answer["predictions"] == [["São Paulo"]]
    assert servable.predict(servable.synthetic())["predictions"] == [[""]]
