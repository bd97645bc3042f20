"""What a graph finds wrong with a request is the client's 422; a fault of its own is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from registry.bundle import Manifest
from registry.errors import SignatureMismatch
from serving.kinds import Limits
from serving.problems import problem
from serving.servable import Servable
from tests.servingfakes import bad_models, models
from tests.servingfakes.versions import folder

LIMITS = Limits(max_rows=100, max_horizon=100)


def refusal(path: Path, model: bytes, body: Mapping[str, Any], match: str) -> Exception:
    """What a request to this graph raises, in these words."""
    root = folder(path / "version", model)
    servable = Servable.load(root, Manifest.of(root), allowed=("onnx",), limits=LIMITS)
    with pytest.raises(Exception, match=match) as caught:
        servable.predict(body)
    return caught.value


def test_a_wrong_width_that_only_the_graph_can_see_is_a_mismatch(tmp_path: Path) -> None:
    error = refusal(tmp_path, bad_models.any_width(), {"instances": [[1, 2, 3]]}, "MatMul")
    assert isinstance(error, SignatureMismatch)
    assert (error.field, error.got) == ("x", "shape [1, 3]")
    assert error.expected == "values for float32[-1, -1]"
    assert str(error).endswith("; Compute MatMul dimension mismatch")
    assert problem(error, request_id="r").status == 422


def test_an_index_that_is_out_of_range_is_a_mismatch(tmp_path: Path) -> None:
    error = refusal(tmp_path, bad_models.embedding(), {"instances": [3, 4]}, "idx=4 must be within")
    assert isinstance(error, SignatureMismatch)
    assert problem(error, request_id="r").status == 422


def test_a_graph_that_wants_more_memory_than_there_is_is_no_mismatch(tmp_path: Path) -> None:
    error = refusal(tmp_path, models.greedy(2**20), {"instances": [[1]]}, "Failed to allocate")
    assert not isinstance(error, SignatureMismatch)
    assert problem(error, request_id="r").status == 500
