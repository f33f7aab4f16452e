"""The heat capacity between the rungs, with its peaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.plots.axis import beta_axis, new_collection
from pm_statmech.plots.curves import (
    draw_band,
    draw_line,
    draw_points,
    draw_ticks,
    draw_title,
    on_axis,
    options_of,
)
from pm_statmech.stats.free_energy import thermodynamics
from pm_statmech.stats.peaks import heat_capacity_peaks

if TYPE_CHECKING:
    from arviz_base.labels import BaseLabeller
    from arviz_plots import PlotCollection

# temperatures of the curve
N_POINTS = 120


def plot_heat_capacity(
    dt: DataTree,
    *,
    plot_collection: PlotCollection | None = None,
    backend: str | None = None,
    labeller: BaseLabeller | None = None,
    visuals: Mapping[str, Any] | None = None,
    **pc_kwargs,
) -> PlotCollection:
    """Plot the heat capacity against inverse temperature, by MBAR, with its peaks marked.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.
    plot_collection
        to draw on, by default a new one.
    backend
        ``"matplotlib"``, ``"bokeh"`` or ``"plotly"``.
    labeller
        of ArviZ, for the title.
    visuals
        keyword arguments of the visuals ``line``, ``points`` (the rungs, each from its own draws),
        ``band`` (95% Monte Carlo error), ``peak``, ``peak_text``, ``title``, ``xlabel``,
        ``xticks``; False leaves one out.
    pc_kwargs
        passed to ``PlotCollection.wrap``.

    Returns
    -------
    PlotCollection

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.two_level(5.0)
    >>> dt = pms.sample_tempered(
    ...     500, model=system.model(), target_beta=2.0, random_seed=1, quiet=True)
    >>> pc = pms.plot_heat_capacity(dt, backend="none")
    >>> "peak" in pc.viz.children
    True
    """
    from arviz_plots import visuals as draw

    known = ("line", "points", "band", "peak", "peak_text", "title", "xlabel", "xticks")
    options = options_of(known, visuals)
    group = tempering_group(dt)
    rungs = group[RUNG].values
    axis = beta_axis(rungs, group.attrs["target_beta"])
    # equal steps on the axis, from the lowest rung to the highest
    betas = axis.beta(np.linspace(axis.position[0], axis.position[-1], N_POINTS))
    betas = np.clip(betas, rungs[0], rungs[-1])
    curve, at_rungs = thermodynamics(dt, betas=betas.tolist()), thermodynamics(dt)
    peaks = heat_capacity_peaks(dt)
    name = "heat_capacity"
    values = curve[[name]].drop_attrs()
    errors = xr.Dataset({name: curve[f"{name}_mcse"]})
    pc = plot_collection
    if pc is None:
        figure = {"figsize": (900, 520), "figsize_units": "dots"}
        pc = new_collection(values, backend, cols=["__variable__"], figure=figure, **pc_kwargs)
    x = on_axis(axis, betas)
    if options["band"] is not False:
        draw_band(pc, values, errors, x, options["band"])
    if options["line"] is not False:
        draw_line(pc, values, x, options["line"])
    if options["points"] is not False:
        own = at_rungs[[name]].drop_attrs()
        draw_points(pc, own, on_axis(axis, rungs), options["points"])
    places = axis.place(peaks["inverse_temperature"].values)
    text = "; ".join(
        f"peak at {float(p['inverse_temperature']):.4g} +- "
        f"{float(p['inverse_temperature_mcse']):.1g}, C = {float(p['heat_capacity']):.3g} +- "
        f"{float(p['heat_capacity_mcse']):.1g}"
        for p in (peaks.isel(peak=k) for k in range(peaks.sizes["peak"]))
    )
    if options["peak"] is not False:
        for k, place in enumerate(places):
            pc.map(
                draw.vline, "peak" if k == 0 else f"peak_{k}", data=xr.Dataset({name: place}),
                ignore_aes="all", **{"color": "gray", "linestyle": "C1", **options["peak"]},
            )  # fmt: skip
    if options["title"] is not False:
        title = "heat capacity C" if labeller is None else labeller.var_name_to_str(name)
        if text and options["peak_text"] is not False:
            title = f"{title}: {text}"
        draw_title(pc, values[[name]], title, options["title"])
    draw_ticks(pc, values, axis, options)
    return pc
