"""An axis of inverse temperature that shows 0 and spaces the rest logarithmically."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr
from arviz_base import rcParams

if TYPE_CHECKING:
    from arviz_plots import PlotCollection


class BetaAxis(NamedTuple):
    """Positions of the rungs on the axis, ticks with their labels, and the unit beta_1."""

    position: np.ndarray
    ticks: list[float]
    labels: list[str]
    unit: float

    def place(self, beta) -> np.ndarray:
        """Positions of betas."""
        return np.arcsinh(np.asarray(beta, dtype=float) / self.unit)

    def beta(self, position) -> np.ndarray:
        """Betas at positions."""
        return self.unit * np.sinh(position)


def beta_axis(betas: np.ndarray, target: float) -> BetaAxis:
    r"""Map beta to :math:`\operatorname{asinh}(\beta / \beta_1)`, beta_1 the lowest rung above 0.

    Linear below beta_1, so that 0 has a place, and logarithmic above. Ticks stand at the
    hottest rung, at the target, at the coldest rung, at powers of ten and between, where they do
    not touch.
    """
    positive = betas[betas > 0]
    unit = float(positive[0]) if len(positive) else 1.0

    def place(beta):
        return np.arcsinh(np.asarray(beta, dtype=float) / unit)

    top = float(betas[-1])
    low = int(np.ceil(np.log10(unit)))
    decades = [10.0**k for k in range(low, int(np.floor(np.log10(top))) + 1)]
    between = [m * 10.0**k for m in (3, 2, 5) for k in range(low - 1, int(np.log10(top)) + 1)]
    between = [beta for beta in between if unit <= beta <= top]
    wanted = [float(betas[0]), float(target), top, *decades, *between]
    wanted = [beta for beta in wanted if beta >= betas[0]] if len(positive) else [0.0]
    ticks: list[float] = []
    for beta in wanted:
        gaps = [abs(place(beta) - place(other)) for other in ticks]
        if all(gap > 0.09 * place(top) for gap in gaps):
            ticks.append(beta)
    ticks.sort()
    return BetaAxis(
        place(betas), [float(place(t)) for t in ticks], [f"{t:.3g}" for t in ticks], unit
    )


def new_collection(
    values: xr.Dataset, backend: str | None, *, figure: dict | None = None, **pc_kwargs
) -> PlotCollection:
    """Grid of plots in which labels do not touch; says what to install for a missing backend."""
    from arviz_plots import PlotCollection

    backend = rcParams["plot.backend"] if backend is None else backend
    figure = {"figsize": (1100, 700), "figsize_units": "dots", **(figure or {})}
    if backend == "matplotlib":
        figure["layout"] = "constrained"
    options = {"figure_kwargs": figure, **pc_kwargs}
    try:
        return PlotCollection.wrap(values, backend=backend, **options)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the plotting backend {backend!r} is not complete here ({error.name} is missing): "
            f"pip install 'pm_statmech[{backend}]'"
        ) from error
