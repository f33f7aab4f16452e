"""Where the evidence comes from: the integrand over the ladder, its steps, and the estimates."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.errors import EvidenceWarning, LadderError
from pm_statmech.plots.axis import beta_axis, even_ticks, new_collection
from pm_statmech.plots.curves import (
    BAND,
    draw_line,
    draw_points,
    draw_ticks,
    draw_title,
    draw_yticks,
    on_axis,
    options_of,
    point_size,
)
from pm_statmech.stats.combination import log_evidence
from pm_statmech.stats.evidence import stepping_stone
from pm_statmech.stats.free_energy import thermodynamics

if TYPE_CHECKING:
    from arviz_base.labels import BaseLabeller
    from arviz_plots import PlotCollection

# numbers that the axis of the estimates has room for
MOST_TICKS = 4
PANELS = ("integrand", "steps", "estimates")


def _titles(hottest: float) -> dict[str, str]:
    """Of the panels, for a ladder from the prior or from a rung above it."""
    width = "beta*" if hottest == 0 else "(beta* - beta_0)"
    return {
        "integrand": f"(U - U*) d beta: area = -log Z - {width} U*",
        "steps": "steps of log Z, less -U* d beta, from both sides",
        "estimates": "log Z by each method, 95%",
    }


def plot_evidence(
    dt: DataTree,
    *,
    plot_collection: PlotCollection | None = None,
    backend: str | None = None,
    labeller: BaseLabeller | None = None,
    visuals: Mapping[str, Any] | None = None,
    **pc_kwargs,
) -> PlotCollection:
    r"""Plot where the evidence comes from: the integrand, its steps, and every estimate of it.

    .. math:: -\log \frac{Z(\beta_*)}{Z(\beta_0)} = (\beta_* - \beta_0)\, U_*
              + \int_{\beta_0}^{\beta_*} (U - U_*)\, d\beta

    from the hottest rung beta_0, which is 0 where the ladder begins at the prior.
    The integrand is drawn in the units of the axis, so that its area is what it seems; with a
    normalised prior that area is the relative entropy of the target to the prior. The steps are
    those of stepping stones, less what a constant energy U* would give; where the two one-sided
    estimates of a step lie apart, neighbours hardly overlap.

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
        keyword arguments of the visuals ``line``, ``area``, ``points``, ``forward``, ``backward``,
        ``interval``, ``mean``, ``title``, ``xlabel``, ``xticks``, ``yticks``; False leaves one out.
    pc_kwargs
        passed to ``PlotCollection.wrap``.

    Returns
    -------
    PlotCollection

    Raises
    ------
    LadderError
        the target is the hottest rung.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(model=system.model(), random_seed=1, quiet=True)
    >>> pc = pms.plot_evidence(dt, backend="none")
    >>> sorted(pc.viz["title"].data_vars)
    ['estimates', 'integrand', 'steps']
    """
    from arviz_plots import visuals as draw

    known = ("line", "area", "points", "forward", "backward", "interval", "mean", "title",
             "xlabel", "xticks", "yticks")  # fmt: skip
    options = options_of(known, visuals)
    target = float(tempering_group(dt).attrs["target_beta"])
    rungs = tempering_group(dt)[RUNG].values
    rungs = rungs[rungs <= target]
    if len(rungs) < 2:
        raise LadderError(f"the target, beta = {target:g}, is the hottest rung: log Z is 0 there.")
    axis = beta_axis(rungs, target)
    pc = plot_collection
    if pc is None:
        shown = xr.Dataset(dict.fromkeys(PANELS, 0.0))
        figure = {"figsize": (1500, 480), "figsize_units": "dots"}
        own = {"cols": ["__variable__"], "col_wrap": 3, "figure": figure}
        pc = new_collection(shown, backend, gap=0.12, **{**own, **pc_kwargs})
    panel = {name: xr.Dataset({name: 0.0}) for name in PANELS}
    _integrand(pc, dt, axis, options)
    _steps(pc, dt, axis, options)
    _estimates(pc, dt, options)
    for name, text in _titles(float(rungs[0])).items():
        if options["title"] is not False:
            title = text if labeller is None else labeller.var_name_to_str(name)
            draw_title(pc, panel[name], title, options["title"])
        if name != "estimates":
            draw_ticks(pc, panel[name], axis, options)
    if options["xlabel"] is not False:
        pc.map(
            draw.labelled_x, "xlabel_estimates", data=panel["estimates"], text="log Z (nats)",
            ignore_aes="all", **options["xlabel"],
        )  # fmt: skip
    return pc


def _integrand(pc: PlotCollection, dt: DataTree, axis, options) -> None:
    from arviz_plots import visuals as draw

    target = float(tempering_group(dt).attrs["target_beta"])
    energy = thermodynamics(dt)["mean_energy"].sel({RUNG: slice(None, target)}).drop_attrs()
    betas = energy[RUNG].values
    # d beta of one unit of the axis
    scale = np.hypot(betas, axis.unit)
    values = xr.Dataset({"integrand": (energy - energy[-1]) * scale})
    # U(0) may be infinite, and its integral is not
    values = values.isel({RUNG: np.isfinite(values["integrand"].values)})
    x = on_axis(axis, values[RUNG].values)
    if options["area"] is not False:
        pc.map(
            draw.fill_between_y, "area", data=values, x=x, y_bottom=0.0, y_top=values,
            ignore_aes="all", **{"alpha": 0.25, "color": "C0", **options["area"]},
        )  # fmt: skip
    if options["line"] is not False:
        draw_line(pc, values, x, options["line"])
    if options["points"] is not False:
        draw_points(pc, values, x, options["points"])


def _steps(pc: PlotCollection, dt: DataTree, axis, options) -> None:
    stones = stepping_stone(dt)
    step = (stones["colder"] - stones["hotter"]).values
    last = thermodynamics(dt)["mean_energy"].sel({RUNG: stones.attrs["target_beta"]}).item()
    between = 0.5 * (axis.place(stones["hotter"].values) + axis.place(stones["colder"].values))
    x = xr.DataArray(between, dims=["pair"])
    for name, visual, marker in (
        ("log_ratio", "steps", "C0"), ("forward", "forward", "C1"), ("backward", "backward", "C2"),
    ):  # fmt: skip
        values = xr.Dataset({"steps": stones[name].drop_vars(["hotter", "colder"]) + step * last})
        if visual != "steps":
            if options[visual] is not False:
                draw_points(pc, values, x, options[visual], visual=visual, ignore_aes="all",
                            color="gray", diameter=3.5, marker=marker)  # fmt: skip
        elif options["points"] is not False:
            draw_points(pc, values, x, options["points"], visual="points_of_steps")


def _estimates(pc: PlotCollection, dt: DataTree, options) -> None:
    from arviz_plots import visuals as draw

    with warnings.catch_warnings():
        # what it warns of is what the plot shows
        warnings.simplefilter("ignore", EvidenceWarning)
        found = log_evidence(dt)
    names = [*found["method"].values, "log_evidence"]
    centres = [*found["estimate"].values, float(found["log_evidence"])]
    errors = [*found["estimate_mcse"].values, float(found["mcse"])]
    one = xr.Dataset({"estimates": 0.0})
    usable = np.isfinite(centres) & np.isfinite(errors)
    ends = np.array(centres)[usable] + BAND * np.array([[-1.0], [1.0]]) * np.array(errors)[usable]
    if options["xticks"] is not False and np.any(usable):
        ticks, labels = even_ticks(float(np.min(ends)), float(np.max(ends)), most=MOST_TICKS)
        pc.map(
            draw.set_xticks, "xticks_estimates", data=one, values=ticks, labels=labels,
            ignore_aes="all", store_artist=False, **options["xticks"],
        )  # fmt: skip
    if options["mean"] is not False:
        pc.map(
            draw.vline, "mean", data=xr.Dataset({"estimates": centres[-1]}), ignore_aes="all",
            **{"color": "gray", "linestyle": "C1", **options["mean"]},
        )  # fmt: skip
    for row, (centre, error) in enumerate(zip(centres, errors, strict=True)):
        if not usable[row] or options["interval"] is False:
            continue
        used = row == len(names) - 1 or bool(found["used"][row])
        looks = {"color": "C0" if used else "gray", **options["interval"]}
        y = -float(row)
        ends = xr.DataArray(centre + BAND * error * np.array([-1.0, 1.0]), dims=["end"])
        level = xr.DataArray([y, y], dims=["end"])
        pc.map(
            draw.line_xy, f"interval_{row}", data=one, x=ends, y=level, ignore_aes="all", **looks
        )
        pc.map(
            draw.scatter_xy, f"estimate_{row}", data=one, x=centre, y=y, ignore_aes="all",
            **{"size": point_size(pc, 4.5), **looks},
        )  # fmt: skip
    if options["yticks"] is not False:
        labels = [str(name).replace("log_evidence", "all that are used") for name in names]
        places = [-float(row) for row in range(len(names))]
        draw_yticks(pc, one, places, labels, options["yticks"])
