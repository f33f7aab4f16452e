"""Energy, heat capacity, relative entropy and log partition function against beta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG
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

# ArviZ's plots take over a second to import, which those who only sample need not wait for
if TYPE_CHECKING:
    from arviz_base.labels import BaseLabeller
    from arviz_plots import PlotCollection

QUANTITIES = {
    "mean_energy": "mean energy U",
    "heat_capacity": "heat capacity C",
    "relative_entropy": "relative entropy to prior (nats)",
    "log_partition": "log Z (nats)",
}


def plot_thermodynamics(
    dt: DataTree,
    *,
    var_names: Sequence[str] | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str | None = None,
    labeller: BaseLabeller | None = None,
    visuals: Mapping[str, Any] | None = None,
    **pc_kwargs,
) -> PlotCollection:
    """Plot thermodynamics against inverse temperature, with bands of 95% Monte Carlo error.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.
    var_names
        some of ``mean_energy``, ``heat_capacity``, ``relative_entropy``,
        ``log_partition``; by default all.
    plot_collection
        to draw on, by default a new one.
    backend
        ``"matplotlib"``, ``"bokeh"`` or ``"plotly"``.
    labeller
        of ArviZ, used for the titles of unknown quantities.
    visuals
        keyword arguments of the visuals ``line``, ``points``, ``band``, ``title``,
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
    >>> pc = pms.plot_thermodynamics(dt, backend="none")
    >>> sorted(pc.viz["line"].data_vars)
    ['heat_capacity', 'log_partition', 'mean_energy', 'relative_entropy']
    """
    from arviz_plots import visuals as draw

    names = list(QUANTITIES) if var_names is None else list(var_names)
    unknown = sorted(set(names) - set(QUANTITIES))
    if unknown:
        raise ValueError(f"var_names: {unknown} are not among {list(QUANTITIES)}.")
    found = thermodynamics(dt)
    values = found[names].drop_attrs()
    errors = xr.Dataset({name: found[f"{name}_mcse"] for name in names})
    axis = beta_axis(found[RUNG].values, found.attrs["target_beta"])
    options = options_of(("line", "points", "band", "title", "xlabel", "xticks"), visuals)
    if plot_collection is None:
        pc_kwargs = {"cols": ["__variable__"], "col_wrap": 2, **pc_kwargs}
        plot_collection = new_collection(values, backend, **pc_kwargs)
    x = on_axis(axis, found[RUNG].values)
    pc = plot_collection
    if options["band"] is not False:
        draw_band(pc, values, errors, x, options["band"])
    if options["line"] is not False:
        draw_line(pc, values, x, options["line"])
    if options["points"] is not False:
        draw_points(pc, values, x, options["points"])
    for name in names:
        one = {"data": values[[name]], "ignore_aes": "all"}
        finite = values[name].values[np.isfinite(values[name].values)]
        if len(finite) and np.min(finite) > 0 and np.max(finite) > 50 * np.min(finite):
            pc.map(draw.set_yscale, "yscale", scale="log", store_artist=False, **one)
        if options["title"] is not False:
            text = QUANTITIES[name] if labeller is None else labeller.var_name_to_str(name)
            draw_title(pc, values[[name]], text, options["title"])
    draw_ticks(pc, values, axis, options)
    return pc
