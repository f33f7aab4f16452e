"""Posterior means and spreads against beta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG
from pm_statmech.plots.axis import beta_axis, new_collection
from pm_statmech.plots.curves import draw_line, draw_ticks, on_axis, options_of
from pm_statmech.stats.sensitivity import beta_sensitivity

if TYPE_CHECKING:
    from arviz_base.labels import BaseLabeller
    from arviz_plots import PlotCollection


def plot_beta_sensitivity(
    dt: DataTree,
    *,
    var_names: Sequence[str] | None = None,
    betas: Sequence[float] | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str | None = None,
    labeller: BaseLabeller | None = None,
    visuals: Mapping[str, Any] | None = None,
    **pc_kwargs,
) -> PlotCollection:
    """Plot posterior means against inverse temperature, with bands of one and two sds.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`, with the draws of all rungs (``keep_tempered=True``).
    var_names, betas
        as for `beta_sensitivity`.
    plot_collection
        to draw on, by default a new one.
    backend
        ``"matplotlib"``, ``"bokeh"`` or ``"plotly"``.
    labeller
        of ArviZ, for the titles.
    visuals
        keyword arguments of the visuals ``line``, ``sd``, ``two_sd``, ``target``, ``title``,
        ``xlabel``, ``xticks``; False leaves one out.
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
    >>> pc = pms.plot_beta_sensitivity(dt, backend="none")
    >>> list(pc.viz["line"].data_vars)
    ['mu']
    """
    from arviz_base.labels import BaseLabeller
    from arviz_plots import visuals as draw

    known = ("line", "sd", "two_sd", "target", "title", "xlabel", "xticks")
    options = options_of(known, visuals)
    found = beta_sensitivity(dt, var_names=var_names, betas=betas)
    names = [str(v) for v in found.data_vars if f"{v}_shift" in found]
    values = found[names].drop_attrs()
    spread = xr.Dataset({name: found[f"{name}_sd"] for name in names})
    target = found.attrs["target_beta"]
    axis = beta_axis(found[RUNG].values, target)
    x = on_axis(axis, found[RUNG].values)
    pc = plot_collection
    if pc is None:
        dims = [str(d) for d in values.dims if d != RUNG]
        pc_kwargs = {"cols": ["__variable__", *dims], "col_wrap": 3, **pc_kwargs}
        pc = new_collection(values, backend, **pc_kwargs)
    for visual, width, alpha in (("two_sd", 2.0, 0.15), ("sd", 1.0, 0.3)):
        if options[visual] is not False:
            pc.map(
                draw.fill_between_y, visual, data=values, x=x, y_bottom=values - width * spread,
                y_top=values + width * spread,
                **{"alpha": alpha, "color": "C0", **options[visual]},
            )  # fmt: skip
    if options["line"] is not False:
        draw_line(pc, values, x, options["line"])
    inside = found[RUNG].values[0] <= target <= found[RUNG].values[-1]
    if inside and options["target"] is not False:
        at_target = xr.full_like(values.isel({RUNG: 0}, drop=True), float(axis.place(target)))
        pc.map(
            draw.vline, "target", data=at_target, ignore_aes="all",
            **{"color": "gray", "linestyle": "C1", **options["target"]},
        )  # fmt: skip
    if options["title"] is not False:
        pc.map(
            draw.labelled_title, "title", data=values.isel({RUNG: 0}, drop=True),
            labeller=BaseLabeller() if labeller is None else labeller, subset_info=True,
            ignore_aes="all", **options["title"],
        )  # fmt: skip
    draw_ticks(pc, values, axis, options)
    return pc
