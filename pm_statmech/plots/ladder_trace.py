"""Marginal densities of the parameters at every rung, one above the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG
from pm_statmech.plots.axis import new_collection, rung_colours
from pm_statmech.plots.curves import draw_rungs, options_of
from pm_statmech.stats.densities import PART, POINT, ladder_densities

if TYPE_CHECKING:
    from arviz_base.labels import BaseLabeller
    from arviz_plots import PlotCollection

# height of a density, in distances from one rung to the next
HEIGHT = 1.8


def plot_ladder_trace(
    dt: DataTree,
    *,
    var_names: Sequence[str] | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str | None = None,
    labeller: BaseLabeller | None = None,
    visuals: Mapping[str, Any] | None = None,
    **pc_kwargs,
) -> PlotCollection:
    """Plot the marginal density of every parameter at every rung, the hottest at the bottom.

    Each is drawn relative to its own largest value, over the range of nearly all draws.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`, with the draws of all rungs (``keep_tempered=True``).
    var_names
        by default all variables.
    plot_collection
        to draw on, by default a new one.
    backend
        ``"matplotlib"``, ``"bokeh"`` or ``"plotly"``.
    labeller
        of ArviZ, for the titles.
    visuals
        keyword arguments of the visuals ``line``, ``fill``, ``title``, ``ylabel``, ``yticks``;
        False leaves one out.
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
    >>> pc = pms.plot_ladder_trace(dt, backend="none")
    >>> list(pc.viz["line"].data_vars)
    ['mu']
    """
    from arviz_base.labels import BaseLabeller
    from arviz_plots import visuals as draw

    options = options_of(("line", "fill", "title", "ylabel", "yticks"), visuals)
    found = ladder_densities(dt, var_names=var_names)
    # the coldest first, so that hotter ones in front hide nothing of a narrow one's foot
    found = found.isel({RUNG: slice(None, None, -1)})
    n_rungs = found.sizes[RUNG]
    offset = xr.DataArray(
        np.arange(n_rungs, dtype=float)[::-1], dims=[RUNG], coords={RUNG: found[RUNG]}
    )
    x, heights = (found.sel({PART: part}, drop=True) for part in ("x", "y"))
    top = (offset + HEIGHT * heights).drop_attrs()
    pc = plot_collection
    if pc is None:
        dims = [str(d) for d in top.dims if d not in (RUNG, POINT)]
        own = {"aes": {"color": [RUNG]}, "color": rung_colours(n_rungs)[::-1],
               "cols": ["__variable__", *dims], "col_wrap": 3}  # fmt: skip
        pc = new_collection(top, backend, gap=0.12, **{**own, **pc_kwargs})
    if options["fill"] is not False:
        pc.map(
            draw.fill_between_y, "fill", data=top, x=x, y_bottom=offset, y_top=top,
            **{"alpha": 0.35, **options["fill"]},
        )  # fmt: skip
    if options["line"] is not False:
        pc.map(_ridge, "line", data=top, x=x, **options["line"])
    panels = top.isel({RUNG: 0, POINT: 0}, drop=True)
    if options["title"] is not False:
        pc.map(
            draw.labelled_title, "title", data=panels,
            labeller=BaseLabeller() if labeller is None else labeller, subset_info=True,
            ignore_aes="all", **options["title"],
        )  # fmt: skip
    draw_rungs(pc, panels, found[RUNG].values[::-1], options)
    return pc


def _ridge(da, target, x, **kwargs):
    from arviz_plots import visuals as draw

    return draw.line_xy(da, target, x=x, y=da, **kwargs)
