"""Where replicas were on the ladder, scan by scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.plots.axis import new_collection
from pm_statmech.plots.curves import draw_rungs, options_of
from pm_statmech.stats.exchange import replica_paths

if TYPE_CHECKING:
    from arviz_base.labels import BaseLabeller
    from arviz_plots import PlotCollection

# scans that are drawn: more of them are a solid block
N_SCANS = 250


def plot_replica_paths(
    dt: DataTree,
    *,
    chains: Sequence[int] | None = None,
    replicas: Sequence[int] = (0,),
    first_scan: int = 0,
    n_scans: int = N_SCANS,
    plot_collection: PlotCollection | None = None,
    backend: str | None = None,
    labeller: BaseLabeller | None = None,
    visuals: Mapping[str, Any] | None = None,
    **pc_kwargs,
) -> PlotCollection:
    """Plot the rung of every replica against the scan, a few of them in colour.

    Paths that cross the whole ladder carry draws of the prior to the target; paths that turn back
    at one rung show where the ladder is cut.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.
    chains
        to draw, by default the first two.
    replicas
        numbers of those in colour; the others are grey.
    first_scan, n_scans
        the scans to draw, of those kept.
    plot_collection
        to draw on, by default a new one.
    backend
        ``"matplotlib"``, ``"bokeh"`` or ``"plotly"``.
    labeller
        of ArviZ, for the titles.
    visuals
        keyword arguments of the visuals ``others``, ``line``, ``title``, ``xlabel``, ``ylabel``,
        ``yticks``; False leaves one out.
    pc_kwargs
        passed to ``PlotCollection.wrap``.

    Returns
    -------
    PlotCollection

    Raises
    ------
    TreeError
        a tree whose rungs never swapped.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> pc = pms.plot_replica_paths(dt, chains=[0], backend="none")
    >>> sorted(pc.viz["line"]["rung"].sizes)
    ['chain', 'replica']
    """
    from arviz_plots import visuals as draw

    options = options_of(("others", "line", "title", "xlabel", "ylabel", "yticks"), visuals)
    paths = replica_paths(dt)
    chosen = paths["chain"].values[:2].tolist() if chains is None else list(chains)
    paths = paths.sel(chain=chosen).isel(draw=slice(first_scan, first_scan + n_scans))
    shown = xr.Dataset({"rung": paths.sel(replica=list(replicas))})
    grey = xr.Dataset({"rung": paths.drop_sel(replica=list(replicas))})
    x = paths["draw"].astype(float)
    pc = plot_collection
    if pc is None:
        figure = {"figsize": (1100, 260 + 220 * len(chosen)), "figsize_units": "dots"}
        own = {"aes": {"color": ["replica"]}, "color": ["C0", "C1", "C2", "C3"], "cols": ["chain"],
               "col_wrap": 1, "figure": figure}  # fmt: skip
        pc = new_collection(shown, backend, **{**own, **pc_kwargs})
    if options["others"] is not False and grey.sizes["replica"]:
        for replica in grey["replica"].values:
            pc.map(
                _path, f"others_{replica}", data=grey.sel(replica=replica, drop=True), x=x,
                ignore_aes="all",
                **{"color": "gray", "alpha": 0.35, "width": 0.7, **options["others"]},
            )  # fmt: skip
    if options["line"] is not False:
        pc.map(_path, "line", data=shown, x=x, **{"width": 1.8, **options["line"]})
    panels = shown.isel(draw=0, replica=0, drop=True)
    if options["title"] is not False:
        pc.map(
            _title, "title", data=panels, labeller=labeller, ignore_aes="all", **options["title"]
        )
    if options["xlabel"] is not False:
        pc.map(
            draw.labelled_x, "xlabel", data=panels, text="scan", ignore_aes="all",
            **options["xlabel"],
        )  # fmt: skip
    draw_rungs(pc, panels, tempering_group(dt)[RUNG].values, options)
    return pc


def _path(da, target, x, **kwargs):
    from arviz_plots import visuals as draw

    return draw.line_xy(da, target, x=x, y=da, **kwargs)


def _title(da, target, labeller, **kwargs):
    from arviz_plots import visuals as draw

    text = f"chain {da['chain'].item()}"
    if labeller is not None:
        where = {"chain": da["chain"].item()}
        text = labeller.make_label_flat("rung", where, where)
    return draw.labelled_title(da, target, text=text, **kwargs)
