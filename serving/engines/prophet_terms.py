"""What Prophet adds to a trend or multiplies it by: seasonalities, holidays and regressors.

Each is a few columns of a matrix with one row a date (the features) and one weight a column and
posterior draw. The order of the columns is Prophet's: seasonalities as they were added, holidays
sorted by name and offset, regressors. Formulas: Taylor & Letham, "Forecasting at Scale" (2018),
sections 3.2 and 3.3, and Prophet's documentation. Called by the engine; knows no trend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from registry.errors import BundleInvalid
from serving.engines.prophet_holidays import Country, HolidayColumns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from serving.calendar import Dates
    from serving.engines.prophet_file import SavedProphet, Seasonality

    Floats = NDArray[np.float64]
    Inputs = Mapping[str, NDArray[Any]]


class Terms:
    """Features of dates, and the weights that turn them into effects."""

    def __init__(self, saved: SavedProphet) -> None:
        """Lay out the columns; BundleInvalid when they are not as many as the fit had weights."""
        fitted = saved.draws.beta.shape[1]
        waves = 2 * sum(s.order for s in saved.seasonalities)
        country = None if saved.country is None else Country(saved.country)
        self._holidays = HolidayColumns(saved, first=waves, country=country)
        self._regressors = saved.regressors
        self._first_regressor = waves + self._holidays.width
        self.width = self._first_regressor + len(saved.regressors)
        if max(self.width, 1) != fitted:  # a model without any term is fitted with one of zeros
            msg = f"params.beta has {fitted} columns, the model's terms make {self.width}"
            raise BundleInvalid(msg)
        self._waves = Waves(saved.seasonalities)
        self._additive = np.array(
            [s.mode == "additive" for s in saved.seasonalities for _ in range(2 * s.order)]
            + [saved.holidays_mode == "additive"] * self._holidays.width
            + [r.mode == "additive" for r in saved.regressors],
            dtype=bool,
        )
        self.multiply = not bool(self._additive.all())

    def features(self, dates: Dates, inputs: Inputs) -> Floats:
        """The matrix of features, [n, width], of `dates` (datetime64[ns], [n])."""
        matrix = np.zeros((dates.size, self.width))
        self._waves.fill(matrix, dates, inputs)
        self._holidays.fill(matrix, dates)
        for column, regressor in enumerate(self._regressors, self._first_regressor):
            values = inputs[regressor.name].astype(np.float64)
            matrix[:, column] = (values - regressor.mean) / regressor.scale
        return matrix

    def weights(self, beta: Floats, y_scale: float) -> Floats:
        """`beta` ([d, width]) as a matrix [width, 2 d]: d columns to add, d to multiply by."""
        beta = beta[:, : self.width]
        added = beta * self._additive * y_scale
        multiplied = beta * ~self._additive
        return np.ascontiguousarray(np.concatenate([added, multiplied]).T)


class Waves:
    """Fourier series in days since 1970: sin and cos of 2 pi k t / period, k = 1 … order."""

    def __init__(self, seasonalities: Sequence[Seasonality]) -> None:
        """Precompute k / period of every wave, and which columns hang on a condition."""
        rates = [(k + 1) / s.period for s in seasonalities for k in range(s.order)]
        self._rates = np.array(rates, dtype=np.float64)
        stops = np.cumsum([2 * s.order for s in seasonalities]).tolist()
        self._conditions = [
            (s.condition, slice(stop - 2 * s.order, stop))
            for s, stop in zip(seasonalities, stops, strict=True)
            if s.condition is not None
        ]

    def fill(self, matrix: Floats, dates: Dates, inputs: Inputs) -> None:
        """Write the first columns of `matrix`, sin and cos in turn."""
        width = 2 * self._rates.size
        days = dates.astype(np.int64) / 1e9 / 86_400
        angles = np.multiply.outer(2 * np.pi * days, self._rates)
        matrix[:, 0:width:2] = np.sin(angles)
        matrix[:, 1:width:2] = np.cos(angles)
        for name, columns in self._conditions:
            matrix[:, columns] *= inputs[name].astype(bool)[:, None]
