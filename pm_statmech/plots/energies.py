"""Densities of the energy at every rung, which must overlap for rungs to swap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.plots.axis import energy_axis, new_collection, rung_colours
from pm_statmech.plots.curves import apart, draw_title, options_of
from pm_statmech.stats.densities import POINT, energy_densities

if TYPE_CHECKING:
    from arviz_base.labels import BaseLabeller
    from arviz_plots import PlotCollection


def plot_energies(
    dt: DataTree,
    *,
    plot_collection: PlotCollection | None = None,
    backend: str | None = None,
    labeller: BaseLabeller | None = None,
    visuals: Mapping[str, Any] | None = None,
    **pc_kwargs,
) -> PlotCollection:
    """Plot the density of the energy at every rung, from hot (light) to cold (dark).

    Neighbours swap as far as their densities overlap; two humps at one rung are a first-order
    transition, across which moves are rare. The axis is linear, or, where energies of hot rungs
    are far away, logarithmic in the distance from the lowest energy.

    Parameters
    ----------
    dt
        the tree of `sample_tempered` or of `from_energies`.
    plot_collection
        to draw on, by default a new one.
    backend
        ``"matplotlib"``, ``"bokeh"`` or ``"plotly"``.
    labeller
        of ArviZ, for the title.
    visuals
        keyword arguments of the visuals ``line``, ``fill``, ``label`` (inverse temperatures at
        the peaks, where they have room), ``title``, ``xlabel``, ``xticks``; False leaves one out.
    pc_kwargs
        passed to ``PlotCollection.wrap``.

    Returns
    -------
    PlotCollection

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> pc = pms.plot_energies(dt, backend="none")
    >>> pc.viz["line"]["energy"].sizes["inverse_temperature"] == dt["ladder"].sizes["pair"] + 1
    True
    """
    from arviz_plots import visuals as draw

    options = options_of(("line", "fill", "label", "title", "xlabel", "xticks"), visuals)
    axis = energy_axis(tempering_group(dt)["energy"].transpose("chain", "draw", RUNG).values)
    found = energy_densities(dt, place=axis.place)
    heights = xr.Dataset({"energy": found["density"]})
    pc = plot_collection
    if pc is None:
        figure = {"figsize": (1000, 520), "figsize_units": "dots"}
        colours = rung_colours(found.sizes[RUNG])
        aes = {"color": [RUNG]}
        pc = new_collection(
            heights, backend, cols=["__variable__"], figure=figure,
            **{"aes": aes, "color": colours, **pc_kwargs},
        )  # fmt: skip
    if options["fill"] is not False:
        pc.map(
            draw.fill_between_y, "fill", data=heights, x=found["position"], y_bottom=0.0,
            y_top=heights, **{"alpha": 0.12, **options["fill"]},
        )  # fmt: skip
    if options["line"] is not False:
        pc.map(_curve, "line", data=heights, x=found["position"], **options["line"])
    one = xr.Dataset({"energy": 0.0})
    if options["label"] is not False:
        top = found["density"].argmax(POINT)
        x, y = (found[name].isel({POINT: top}).values for name in ("position", "density"))
        width = float(np.ptp(found["position"].values))
        for k in apart(x, 0.07 * width, first=int(np.argmax(found[RUNG].values))):
            pc.map(
                draw.annotate_xy, f"label_{k}", data=one, x=float(x[k]), y=float(y[k]),
                text=f"{float(found[RUNG][k]):.3g}", ignore_aes="all",
                **{"vertical_align": "bottom", "horizontal_align": "center", **options["label"]},
            )  # fmt: skip
    if options["title"] is not False:
        text = "density of the energy; numbers are inverse temperatures"
        draw_title(
            pc, one, text if labeller is None else labeller.var_name_to_str("energy"),
            options["title"],
        )  # fmt: skip
    if options["xticks"] is not False:
        pc.map(
            draw.set_xticks, "xticks", data=one, values=axis.ticks, labels=axis.labels,
            ignore_aes="all", store_artist=False, **options["xticks"],
        )  # fmt: skip
    if options["xlabel"] is not False:
        pc.map(
            draw.labelled_x, "xlabel", data=one, text="energy E", ignore_aes="all",
            **options["xlabel"],
        )  # fmt: skip
    return pc


def _curve(da, target, x, **kwargs):
    from arviz_plots import visuals as draw

    return draw.line_xy(da, target, x=x, y=da, **kwargs)
