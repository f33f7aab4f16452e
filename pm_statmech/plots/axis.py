"""Axes of inverse temperature and energy, colours of rungs, and the grid that plots stand in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr
from arviz_base import rcParams

if TYPE_CHECKING:
    from arviz_plots import PlotCollection


# of hot and cold rungs: far apart for the colour-blind, and light and dark in grey
HOT, COLD = (244, 167, 66), (11, 42, 91)
# standard deviations of the energy that a linear axis has room for
ROOM = 60.0
N_TICKS = 7


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
    if top == 0:
        return BetaAxis(place(betas), [0.0], ["0"], unit)
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


class EnergyAxis(NamedTuple):
    """An axis of energies: as they are, or logarithmic beyond one unit above the lowest."""

    lowest: float
    unit: float
    logarithmic: bool
    ticks: list[float]
    labels: list[str]

    def place(self, energy) -> np.ndarray:
        """Positions of energies."""
        values = np.asarray(energy, dtype=float)
        return np.arcsinh((values - self.lowest) / self.unit) if self.logarithmic else values


def energy_axis(energy: np.ndarray) -> EnergyAxis:
    """Axis for energies (chain, draw, K) of a ladder, of which only rung 0 may be infinite."""
    usable = np.where(np.isfinite(energy), energy, np.nan)
    lowest, highest = float(np.nanmin(usable)), float(np.nanmax(usable))
    spread = np.nanstd(usable, axis=(0, 1))
    if highest - lowest <= ROOM * float(np.nanmedian(spread)):
        ticks, labels = even_ticks(lowest, highest)
        return EnergyAxis(lowest, 1.0, False, ticks, labels)
    unit = float(spread[-1]) or 1.0
    axis = EnergyAxis(lowest, unit, True, [], [])
    energies = lowest + unit * np.sinh(np.linspace(0.0, float(axis.place(highest)), N_TICKS))
    labels = [f"{e:.4g}" for e in energies]
    return axis._replace(ticks=[float(axis.place(float(e))) for e in labels], labels=labels)


def even_ticks(low: float, high: float, most: int = N_TICKS) -> tuple[list[float], list[str]]:
    """Round numbers at equal steps of 1, 2 or 5 times a power of ten, and their labels.

    Examples
    --------
    >>> even_ticks(-0.7, 3.9, most=6)[1]
    ['0', '1', '2', '3']
    >>> even_ticks(-81.96, -81.93, most=4)[1]
    ['-81.96', '-81.95', '-81.94', '-81.93']
    """
    width = max(high - low, 1e-12 * max(abs(high), 1.0))
    power = 10.0 ** np.floor(np.log10(width / most))
    step = next(m * power for m in (1, 2, 5, 10) if width / (m * power) <= most)
    decimals = max(0, -int(np.floor(np.log10(step) + 1e-9)))
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    values = [float(k * step) for k in np.arange(first, last + 1)]
    return values, [f"{v:.{decimals}f}" if v else "0" for v in values]


def rung_colours(n_rungs: int) -> list[str]:
    """Colours of K rungs from hot to cold, hexadecimal."""
    shares = np.linspace(0.0, 1.0, n_rungs)[:, None]
    colours = (1 - shares) * np.array(HOT) + shares * np.array(COLD)
    return ["#" + "".join(f"{round(c):02x}" for c in row) for row in colours]


def new_collection(
    values: xr.Dataset,
    backend: str | None,
    *,
    figure: dict | None = None,
    gap: float | None = None,
    **pc_kwargs,
) -> PlotCollection:
    """Grid of plots in which labels do not touch; says what to install for a missing backend.

    `gap` is the share of the width between two plots, for plotly, which measures no labels.
    """
    from arviz_plots import PlotCollection

    backend = rcParams["plot.backend"] if backend is None else backend
    figure = {"figsize": (1100, 700), "figsize_units": "dots", **(figure or {})}
    if backend == "matplotlib":
        figure["layout"] = "constrained"
    if backend == "plotly" and gap is not None:
        figure["plot_hspace"] = gap
    options = {"figure_kwargs": figure, **pc_kwargs}
    try:
        return PlotCollection.wrap(values, backend=backend, **options)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the plotting backend {backend!r} is not complete here ({error.name} is missing): "
            f"pip install 'pm_statmech[{backend}]'"
        ) from error
