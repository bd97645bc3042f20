"""As many rows are answered as were asked, or nothing is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from registry.errors import WrongShape
from registry.signature import Tensor
from serving.kinds.tabular import Tabular

ROWS = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]


class Engine:
    """Answers the same whatever it is asked; counts how often."""

    outputs = ("y",)

    def __init__(self, answer: Any, *, rows: int = -1) -> None:
        self.inputs = (Tensor("X", "float32", (rows, 4)),)
        self.runs = 0
        self._answer = np.asarray(answer)

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        self.runs += 1
        return {"y": self._answer}


def tabular(engine: Engine) -> Tabular:
    return Tabular(engine, signature=None, max_rows=10)


OTHER_ROWS = {
    "fewer": np.ones((1, 4)),
    "more": np.ones((3, 4)),
    "none": np.ones((0, 4)),
    "a scalar": np.float64(1),
}


@pytest.mark.parametrize("answer", OTHER_ROWS.values(), ids=OTHER_ROWS)
def test_an_answer_of_another_number_of_rows_is_never_given(answer: Any) -> None:
    with pytest.raises(WrongShape, match="output 'y': expected 2 rows as asked, got"):
        tabular(Engine(answer)).predict({"instances": ROWS})


def test_rows_asked_twice_over_show_a_graph_that_answers_one_row_whatever_it_is_asked() -> None:
    model = tabular(Engine(np.ones((1, 1))))
    one = {"instances": ROWS[:1]}
    assert model.predict(one)
    with pytest.raises(WrongShape, match="expected 2 rows as asked, got 1"):
        model.repeat(one)


def test_a_graph_of_a_fixed_number_of_rows_is_not_asked_for_more() -> None:
    engine = Engine(np.ones((1, 1)), rows=1)
    tabular(engine).repeat({"instances": ROWS[:1]})
    assert engine.runs == 0
