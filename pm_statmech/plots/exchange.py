"""Whether neighbouring rungs swap, and where the barrier between them lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, ladder_group
from pm_statmech.plots.axis import beta_axis, new_collection
from pm_statmech.plots.curves import draw_line, draw_points, draw_ticks, draw_title, options_of

if TYPE_CHECKING:
    from arviz_base.labels import BaseLabeller
    from arviz_plots import PlotCollection

TITLES = {
    "swap_rejection": "swap rejection of neighbours",
    "barrier": "barrier from the prior",
}


def plot_exchange(
    dt: DataTree,
    *,
    plot_collection: PlotCollection | None = None,
    backend: str | None = None,
    labeller: BaseLabeller | None = None,
    visuals: Mapping[str, Any] | None = None,
    **pc_kwargs,
) -> PlotCollection:
    r"""Plot the swap rejection of neighbouring rungs, and the barrier that they add up to.

    .. math:: \Lambda(\beta_k) = \sum_{j < k} r_j

    A well laid ladder rejects equally everywhere; where one pair rejects more, a rung is missing.
    The barrier is steep where the posterior changes most.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.
    plot_collection
        to draw on, by default a new one.
    backend
        ``"matplotlib"``, ``"bokeh"`` or ``"plotly"``.
    labeller
        of ArviZ, for the titles.
    visuals
        keyword arguments of the visuals ``line``, ``points``, ``chains`` (each ladder's own
        rejections), ``mean`` (of all pairs), ``title``, ``xlabel``, ``xticks``; False leaves one
        out.
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
    >>> pc = pms.plot_exchange(dt, backend="none")
    >>> sorted(pc.viz["line"].data_vars)
    ['barrier', 'swap_rejection']
    """
    from arviz_plots import visuals as draw

    known = ("line", "points", "chains", "mean", "title", "xlabel", "xticks")
    options = options_of(known, visuals)
    rungs = ladder_group(dt)
    axis = beta_axis(rungs[RUNG].values, rungs.attrs["target_beta"])
    rejection = rungs[["swap_rejection"]].drop_attrs()
    barrier = rungs[["barrier"]].drop_attrs()
    pc = plot_collection
    if pc is None:
        shown = xr.Dataset({"swap_rejection": 0.0, "barrier": 0.0})
        figure = {"figsize": (1100, 450), "figsize_units": "dots"}
        pc_kwargs = {"cols": ["__variable__"], "col_wrap": 2, **pc_kwargs}
        pc = new_collection(shown, backend, figure=figure, **pc_kwargs)
    between = 0.5 * (axis.position[1:] + axis.position[:-1])
    places = {
        "swap_rejection": xr.DataArray(between, dims=["pair"]),
        "barrier": xr.DataArray(axis.position, dims=[RUNG], coords={RUNG: rungs[RUNG]}),
    }
    if options["chains"] is not False:
        for chain in range(rungs.sizes["chain"]):
            own = rungs["swap_rejection_by_chain"].isel(chain=chain)
            draw_points(
                pc, xr.Dataset({"swap_rejection": own}), places["swap_rejection"],
                options["chains"], visual="chains" if chain == 0 else f"chains_{chain}",
                ignore_aes="all", color="gray", diameter=2.5, alpha=0.6,
            )  # fmt: skip
    if options["mean"] is not False:
        pc.map(
            draw.hline, "mean", data=rejection.mean(), ignore_aes="all",
            **{"color": "gray", "linestyle": "C1", **options["mean"]},
        )  # fmt: skip
    pc.map(
        draw.set_ylim, "ylim", data=rejection, limits=(0.0, 1.0), ignore_aes="all",
        store_artist=False,
    )  # fmt: skip
    for data in (rejection, barrier):
        [name] = data.data_vars
        if options["line"] is not False:
            draw_line(pc, data, places[str(name)], options["line"])
        if options["points"] is not False:
            draw_points(pc, data, places[str(name)], options["points"])
        if options["title"] is not False:
            text = TITLES[str(name)] if labeller is None else labeller.var_name_to_str(str(name))
            draw_title(pc, data, text, options["title"])
        draw_ticks(pc, data, axis, options)
    return pc
