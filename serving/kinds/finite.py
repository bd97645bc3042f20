"""Answers are finite numbers: NaN and Infinity are a model's fault, and are never sent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.errors import NotFinite


def refuse_non_finite(output: str, values: NDArray[Any]) -> None:
    """Raise NotFinite if any number in `values` is NaN or infinite."""
    if values.dtype.kind == "f" and not all_finite(values):
        raise NotFinite(f"output {output!r}: the model answered NaN or Infinity")


def all_finite(values: NDArray[Any]) -> bool:
    """Whether none is NaN or infinite. A sum of squares tells so of most, twice as fast."""
    return math.isfinite(np.vdot(values, values)) or bool(np.isfinite(values).all())
