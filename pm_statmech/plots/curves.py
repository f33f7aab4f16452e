"""What plots against inverse temperature share: bands, lines, points, ticks and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from pm_statmech.datatree import RUNG
from pm_statmech.plots.axis import BetaAxis

if TYPE_CHECKING:
    from arviz_plots import PlotCollection

BAND = 1.96
# labels that an axis of rungs has room for
MOST_LABELS = 14


def options_of(known: Sequence[str], visuals: Mapping[str, Any] | None) -> dict[str, Any]:
    """Keyword arguments of every visual, {} where nothing was said and False where left out."""
    strange = sorted(set(visuals or {}) - set(known))
    if strange:
        raise ValueError(f"visuals: {strange} are not among {list(known)}.")
    return {name: {} for name in known} | dict(visuals or {})


def apart(places, gap: float, first: int) -> list[int]:
    """Indices of places that are at least a gap from each other, the first one among them."""
    chosen = [first]
    for k in range(len(places)):
        if all(abs(places[k] - places[other]) >= gap for other in chosen):
            chosen.append(k)
    return sorted(chosen)


def on_axis(axis: BetaAxis, betas) -> xr.DataArray:
    """Places of betas on the axis."""
    return xr.DataArray(axis.place(betas), dims=[RUNG], coords={RUNG: betas})


def draw_band(pc: PlotCollection, values: xr.Dataset, errors: xr.Dataset, x, options) -> None:
    """Values give or take 1.96 errors."""
    from arviz_plots import visuals as draw

    pc.map(
        draw.fill_between_y, "band", data=values, x=x,
        y_bottom=values - BAND * errors.fillna(0), y_top=values + BAND * errors.fillna(0),
        **{"alpha": 0.25, "color": "C0", **options},
    )  # fmt: skip


def draw_line(pc: PlotCollection, values: xr.Dataset, x, options) -> None:
    """A line through the values."""
    pc.map(_line, "line", data=values, x=x, **{"color": "C0", **options})


def point_size(pc: PlotCollection, diameter: float) -> float:
    """Size of a point of this diameter: of its square for Matplotlib and plotly, not for bokeh."""
    return diameter if pc.backend == "bokeh" else diameter**2


def draw_points(
    pc: PlotCollection,
    values: xr.Dataset,
    x,
    options,
    visual: str = "points",
    diameter: float = 4.5,
    **kwargs,
) -> None:
    """A point for each value."""
    looks = {"color": "C0", "size": point_size(pc, diameter), **kwargs, **options}
    pc.map(_points, visual, data=values, x=x, **looks)


def draw_ticks(pc: PlotCollection, values: xr.Dataset, axis: BetaAxis, options) -> None:
    """Ticks and label of the axis of inverse temperature."""
    from arviz_plots import visuals as draw

    if options["xticks"] is not False:
        pc.map(
            draw.set_xticks, "xticks", data=values, values=axis.ticks, labels=axis.labels,
            ignore_aes="all", store_artist=False, **options["xticks"],
        )  # fmt: skip
    if options["xlabel"] is not False:
        pc.map(
            draw.labelled_x, "xlabel", data=values, text="inverse temperature",
            ignore_aes="all", **options["xlabel"],
        )  # fmt: skip


def draw_yticks(pc: PlotCollection, panels: xr.Dataset, places, labels, options) -> None:
    """Ticks of the vertical axis."""
    pc.map(
        _yticks, "yticks", data=panels, values=places, labels=labels, ignore_aes="all",
        store_artist=False, **options,
    )  # fmt: skip


def draw_rungs(pc: PlotCollection, panels: xr.Dataset, betas, options) -> None:
    """A vertical axis of rungs, evenly spaced, with the betas of as many as have room."""
    from arviz_plots import visuals as draw

    if options["yticks"] is not False:
        last = len(betas) - 1
        rows = apart(range(len(betas)), max(1.0, len(betas) / MOST_LABELS), first=last)
        labels = [f"{betas[k]:.3g}" for k in rows]
        draw_yticks(pc, panels, [float(k) for k in rows], labels, options["yticks"])
    if options["ylabel"] is not False:
        pc.map(
            draw.labelled_y, "ylabel", data=panels, text="inverse temperature",
            ignore_aes="all", **options["ylabel"],
        )  # fmt: skip


def _yticks(da, target, values, labels, **kwargs):
    from arviz_plots.plot_collection import backend_from_object

    return backend_from_object(target).yticks(values, labels, target, **kwargs)


def draw_title(pc: PlotCollection, one: xr.Dataset, text: str | None, options) -> None:
    """Title of the plot of one quantity."""
    from arviz_plots import visuals as draw

    pc.map(draw.labelled_title, "title", data=one, text=text, ignore_aes="all", **options)


def _line(da, target, x, **kwargs):
    from arviz_plots import visuals as draw

    return draw.line_xy(da, target, x=x, y=da, **kwargs)


def _points(da, target, x, **kwargs):
    from arviz_plots import visuals as draw

    return draw.scatter_xy(da, target, x=x, y=da, **kwargs)
