"""Parameters: typed text becomes a value of the right type, or a refusal that says what fits."""

from __future__ import annotations

import pytest

from registry.errors import UnknownName, UsageError
from training.parameter import Parameter, Value, resolve

PARAMETERS = (
    Parameter(name="trees", default=100, minimum=1, help=""),
    Parameter(name="rate", default=0.5, minimum=0.0, maximum=1.0, help=""),
    Parameter(name="growth", default="linear", choices=("linear", "flat"), help=""),
    Parameter(name="band", default=True, help=""),
)


def test_what_is_not_given_has_its_default() -> None:
    """All parameters have a value."""
    assert resolve(PARAMETERS, {}) == {
        "trees": 100,
        "rate": 0.5,
        "growth": "linear",
        "band": True,
    }


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("trees", "7", 7),
        ("trees", 7, 7),
        ("rate", "1e-1", 0.1),
        ("rate", 1, 1.0),
        ("growth", "flat", "flat"),
        ("band", "false", False),
        ("band", "YES", True),
    ],
)
def test_text_and_values_are_taken(name: str, given: object, value: Value) -> None:
    """A command line types text, Python types values."""
    got = resolve(PARAMETERS, {name: given})[name]
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("trees", "ten", "trees: expected int, got 'ten'"),
        ("trees", "1.5", "trees: expected int"),
        ("trees", 1.5, "trees: expected int"),
        ("trees", True, "trees: expected int"),
        ("trees", "0", "trees: expected at least 1"),
        ("rate", "nan", "rate: expected at least 0"),
        ("rate", "2", "rate: expected at most 1"),
        ("growth", "cubic", "growth: expected linear or flat"),
        ("band", "perhaps", "band: expected bool"),
    ],
)
def test_a_wrong_value_is_refused(name: str, given: object, said: str) -> None:
    """The message names the parameter, what fits and what came."""
    with pytest.raises(UsageError, match=said):
        resolve(PARAMETERS, {name: given})


def test_an_unknown_name_is_refused_with_those_that_exist() -> None:
    """The message lists what there is."""
    with pytest.raises(UnknownName, match="band, growth, rate, trees"):
        resolve(PARAMETERS, {"depth": 3})
