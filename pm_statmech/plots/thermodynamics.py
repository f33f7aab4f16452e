"""Energy, heat capacity, relative entropy and log partition function against beta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG
from pm_statmech.plots.axis import beta_axis, new_collection
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
BAND = 1.96


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
    options: dict[str, Any] = {
        name: {} for name in ("line", "points", "band", "title", "xlabel", "xticks")
    }
    strange = sorted(set(visuals or {}) - set(options))
    if strange:
        raise ValueError(f"visuals: {strange} are not among {list(options)}.")
    options.update(visuals or {})

    if plot_collection is None:
        pc_kwargs = {"cols": ["__variable__"], "col_wrap": 2, **pc_kwargs}
        plot_collection = new_collection(values, backend, **pc_kwargs)
    x = xr.DataArray(axis.position, dims=[RUNG], coords={RUNG: found[RUNG]})
    pc = plot_collection
    if options["band"] is not False:
        pc.map(
            draw.fill_between_y, "band", data=values, x=x,
            y_bottom=values - BAND * errors.fillna(0), y_top=values + BAND * errors.fillna(0),
            **{"alpha": 0.25, "color": "C0", **options["band"]},
        )  # fmt: skip
    if options["line"] is not False:
        pc.map(_line, "line", data=values, x=x, **{"color": "C0", **options["line"]})
    if options["points"] is not False:
        pc.map(
            _points, "points", data=values, x=x,
            **{"color": "C0", "size": 14, **options["points"]},
        )  # fmt: skip
    for name in names:
        one = {"data": values[[name]], "ignore_aes": "all"}
        finite = values[name].values[np.isfinite(values[name].values)]
        if len(finite) and np.min(finite) > 0 and np.max(finite) > 50 * np.min(finite):
            pc.map(draw.set_yscale, "yscale", scale="log", store_artist=False, **one)
        if options["title"] is not False:
            text = QUANTITIES[name] if labeller is None else labeller.var_name_to_str(name)
            pc.map(draw.labelled_title, "title", text=text, **one, **options["title"])
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
    return pc


def _line(da, target, x, **kwargs):
    from arviz_plots import visuals as draw

    return draw.line_xy(da, target, x=x, y=da, **kwargs)


def _points(da, target, x, **kwargs):
    from arviz_plots import visuals as draw

    return draw.scatter_xy(da, target, x=x, y=da, **kwargs)
