"""Kinds know the shape of a request: decode it for an engine, encode what comes back.

They know neither workloads nor HTTP. Their errors are RequestErrors that name the client's field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, cast

from registry.errors import BundleInvalid
from serving.kinds.forecast import Forecast, ForecastEngine
from serving.kinds.tabular import Seen, Tabular, TabularEngine
from serving.kinds.window import WindowForecast

__all__ = ["Forecast", "Kind", "Limits", "Seen", "Tabular", "WindowForecast", "of"]

if TYPE_CHECKING:
    from registry.bundle import Bundle
    from registry.params import Param
    from registry.settings import Settings
    from registry.signature import Signature
    from serving.engines import Engine


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one request may ask for, and whether it may bring columns that nobody asked for."""

    max_rows: int
    ignore_unknown: bool = False
    max_horizon: int
    max_pixels: int = 25_000_000

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As this node is set."""
        return cls(
            max_rows=settings.max_rows,
            max_horizon=settings.max_horizon,
            max_pixels=settings.max_pixels,
            ignore_unknown=settings.unknown_columns == "ignore",
        )


class Kind(Protocol):
    """A model, asked in requests."""

    @property
    def signature(self) -> Signature | None:
        """What it takes, if it can be said as columns or tensors."""

    @property
    def params(self) -> Sequence[Param]:
        """What may be said beside that."""

    def predict(self, body: Mapping[str, Any], seen: Seen | None = None) -> dict[str, Any]:
        """Answer one request's object with `{"predictions": …}` and what belongs to it.

        `seen` is filled with what was asked, as the engine saw it: an array or list for each
        column by name.
        """

    def tensors(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """What `predict` answered, as one array (or list) an output, by name."""

    def repeat(self, body: Mapping[str, Any]) -> None:
        """Ask the rows of `body` twice over in one request; raises WrongShape as `predict` does."""

    def synthetic(self) -> Mapping[str, Any]:
        """A request that fits, for trying out a version that brings no example."""


def _tabular(bundle: Bundle, engine: Engine, limits: Limits) -> Kind:
    tabular = cast("TabularEngine", engine)
    return Tabular(
        tabular,
        signature=bundle.signature,
        params=bundle.params,
        max_rows=limits.max_rows,
        ignore_unknown=limits.ignore_unknown,
    )


def _forecast(_bundle: Bundle, engine: Engine, limits: Limits) -> Kind:
    return Forecast(cast("ForecastEngine", engine), max_horizon=limits.max_horizon)


def _window(bundle: Bundle, engine: Engine, limits: Limits) -> Kind:
    return WindowForecast(
        cast("TabularEngine", engine), schema=bundle.schema, max_horizon=limits.max_horizon
    )


def _image(bundle: Bundle, engine: Engine, limits: Limits) -> Kind:
    from serving.kinds.image import Image, ImageEngine  # noqa: PLC0415 - imports Pillow

    return Image(
        cast("ImageEngine", engine),
        schema=bundle.schema,
        max_rows=limits.max_rows,
        max_pixels=limits.max_pixels,
        ignore_unknown=limits.ignore_unknown,
    )


_KINDS: Final[Mapping[tuple[str, str], Callable[[Bundle, Engine, Limits], Kind]]] = {
    ("tabular", "onnx"): _tabular,
    ("tabular", "runner"): _tabular,
    ("forecast", "prophet"): _forecast,
    ("forecast", "onnx"): _window,
    ("image", "onnx"): _image,
}


def of(bundle: Bundle, engine: Engine, limits: Limits) -> Kind:
    """The kind a bundle asks for; raises BundleInvalid where its engine cannot answer as that."""
    make = _KINDS.get((bundle.kind, bundle.engine))
    if make is None:
        known = ", ".join(f"{kind} by {engine}" for kind, engine in _KINDS)
        raise BundleInvalid(f"{bundle.kind} by {bundle.engine} is not served; there is: {known}")
    return make(bundle, engine, limits)
