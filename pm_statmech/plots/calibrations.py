"""How a beta was found, and what several methods make of the same posterior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pm_statmech.datatree import RUNG
from pm_statmech.plots.axis import even_ticks, new_collection
from pm_statmech.plots.curves import draw_line, draw_points, draw_title, draw_yticks, options_of

if TYPE_CHECKING:
    from arviz_base.labels import BaseLabeller
    from arviz_plots import PlotCollection

    from pm_statmech.calibration import Calibration, Comparison

# horizontal axes that are logarithmic
LOGARITHMIC = (RUNG, "alpha", "n")
MOST_LABELS = 8
TITLES = {
    "coverage": "coverage of resampled data sets",
    "sd_ratio": "posterior over sampling sd",
    "loss_difference": "foretold loss, above the best",
    "score_difference": "score of what was left out, above the best",
    "maurer_seeger": "Maurer and Seeger",
    "mcallester": "McAllester",
    "catoni": "Catoni",
    "linear": "linear",
    "running_beta": "beta of the draws so far",
    "beta": "beta",
}
LABELS = {RUNG: "inverse temperature", "n": "observations", "draw": "draws of the prior"}


def _log_ticks(values: np.ndarray) -> tuple[list[float], list[str]]:
    """Ticks of a logarithmic axis: round numbers, as few to a power of ten as there is room for."""
    low, high = float(np.min(values)), float(np.max(values))
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**k for k in powers for m in steps]
        ticks = [t for t in ticks if low * 0.999 <= t <= high * 1.001]
        if len(ticks) <= MOST_LABELS:
            break
    if len(ticks) < 2:
        ticks = [low, high]
    return [float(np.log(t)) for t in ticks], [f"{t:.3g}" for t in ticks]


def _places(path: xr.Dataset, x: str):
    """Positions of a path along its axis, with the axis's ticks and their labels."""
    values = path[x].values
    if values.dtype.kind in "UO":
        rows = np.linspace(0, len(values) - 1, min(len(values), MOST_LABELS)).astype(int)
        return np.arange(len(values), dtype=float), rows.astype(float), values[rows].tolist()
    if x in LOGARITHMIC:
        return np.log(values), *_log_ticks(values)
    return values.astype(float), *even_ticks(float(values[0]), float(values[-1]))


def plot_calibration(
    calibration: Calibration,
    *,
    plot_collection: PlotCollection | None = None,
    backend: str | None = None,
    labeller: BaseLabeller | None = None,
    visuals: Mapping[str, Any] | None = None,
    **pc_kwargs,
) -> PlotCollection:
    """Plot the path by which a method came to its beta.

    Coverage, foretold loss, held-out score or certificates against inverse temperature; the
    posterior's standard deviations over those of estimates, for each coordinate; beta against
    alpha or n.

    Parameters
    ----------
    calibration
        of any method of ``pm_statmech.calibration``.
    plot_collection
        to draw on, by default a new one.
    backend
        ``"matplotlib"``, ``"bokeh"`` or ``"plotly"``.
    labeller
        of ArviZ, for the titles.
    visuals
        keyword arguments of the visuals ``line``, ``points``, ``band`` (two standard errors),
        ``chosen`` (the beta), ``wanted`` (what the method aims at), ``title``, ``xlabel``,
        ``xticks``; False leaves one out.
    pc_kwargs
        passed to ``PlotCollection.wrap``.

    Returns
    -------
    PlotCollection

    Raises
    ------
    ValueError
        a calibration without a path, such as a number that was given to `compare`.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 100)
    ...     y = pms.GibbsLoss("y", mu, loss=pms.losses.absolute, observed=np.arange(30.0))
    ...     found = pms.calibration.information_matching()
    >>> pc = pms.plot_calibration(found, backend="none")
    >>> list(pc.viz["points"].data_vars)
    ['sd_ratio']
    """
    from arviz_plots import visuals as draw

    known = ("line", "points", "band", "chosen", "wanted", "title", "xlabel", "xticks")
    options = options_of(known, visuals)
    path = calibration.path
    if "criteria" not in path.attrs:
        raise ValueError(f"{calibration} has no path to plot.")
    x = path.attrs["x"]
    names = path.attrs["criteria"].split(",")
    places, ticks, labels = _places(path, x)
    shown = path[names].drop_attrs()
    pc = plot_collection
    if pc is None:
        columns = min(2, len(names))
        figure = {
            "figsize": (620 * columns if columns > 1 else 800, 420 * -(-len(names) // columns)),
            "figsize_units": "dots",
        }
        pc_kwargs = {"cols": ["__variable__"], "col_wrap": columns, **pc_kwargs}
        pc = new_collection(shown, backend, figure=figure, **pc_kwargs)
    at = xr.DataArray(places, dims=[x], coords={x: path[x]})
    for name in names:
        one = shown[[name]]
        error = path.get(f"{name}_mcse", path.get(f"{name}_se"))
        if error is not None and options["band"] is not False:
            errors = xr.Dataset({name: error.fillna(0)}).drop_attrs()
            pc.map(
                draw.fill_between_y, "band", data=one, x=at, y_bottom=one - 2 * errors,
                y_top=one + 2 * errors, **{"alpha": 0.25, "color": "C0", **options["band"]},
            )  # fmt: skip
        if x != "coordinate" and options["line"] is not False:
            draw_line(pc, one, at, options["line"])
        if options["points"] is not False and len(places) <= 60:
            draw_points(pc, one, at, options["points"])
        if "wanted" in path.attrs and options["wanted"] is not False:
            pc.map(
                draw.hline, "wanted", data=xr.Dataset({name: float(path.attrs["wanted"])}),
                ignore_aes="all", **{"color": "gray", "linestyle": "C1", **options["wanted"]},
            )  # fmt: skip
        if x != "coordinate" and options["chosen"] is not False:
            chosen = float(path.attrs.get("at", calibration.beta))
            place = np.log(chosen) if x in LOGARITHMIC else chosen
            pc.map(
                draw.vline, "chosen", data=xr.Dataset({name: place}), ignore_aes="all",
                **{"color": "C1", "linestyle": "C1", **options["chosen"]},
            )  # fmt: skip
        if options["title"] is not False:
            text = TITLES.get(name, name) if labeller is None else labeller.var_name_to_str(name)
            draw_title(pc, one, text, options["title"])
        if options["xticks"] is not False:
            pc.map(
                draw.set_xticks, "xticks", data=one, values=ticks, labels=labels,
                ignore_aes="all", store_artist=False, **options["xticks"],
            )  # fmt: skip
        if options["xlabel"] is not False:
            pc.map(
                draw.labelled_x, "xlabel", data=one, text=LABELS.get(x, x), ignore_aes="all",
                **options["xlabel"],
            )  # fmt: skip
    return pc


def plot_comparison(
    comparison: Comparison,
    *,
    plot_collection: PlotCollection | None = None,
    backend: str | None = None,
    labeller: BaseLabeller | None = None,
    visuals: Mapping[str, Any] | None = None,
    **pc_kwargs,
) -> PlotCollection:
    """Plot the intervals that each method's beta gives every coordinate, one method a row.

    Parameters
    ----------
    comparison
        of `calibration.compare`.
    plot_collection, backend, labeller, pc_kwargs
        as for `plot_calibration`.
    visuals
        keyword arguments of the visuals ``interval``, ``points`` (the middles), ``title``,
        ``xlabel``, ``yticks`` (names, with their betas); False leaves one out.

    Returns
    -------
    PlotCollection

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> cal = pms.calibration
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 100)
    ...     y = pms.GibbsLoss("y", mu, loss=pms.losses.absolute, observed=np.arange(30.0))
    ...     found = cal.compare({"matching": cal.information_matching, "as written": 1.0},
    ...                         random_seed=1, progressbar=False)
    >>> pc = pms.plot_comparison(found, backend="none")
    >>> list(pc.viz["points"].data_vars)
    ['mu']
    """
    from arviz_plots import visuals as draw

    known = ("interval", "points", "title", "xlabel", "yticks")
    options = options_of(known, visuals)
    intervals = comparison.intervals
    names = [str(name) for name in intervals["calibration"].values]
    labels = [
        f"{name} ({beta:.3g})" for name, beta in zip(names, intervals["beta"].values, strict=True)
    ]
    rows = np.arange(len(names), dtype=float)[::-1]
    coordinates = [str(name) for name in intervals["coordinate"].values]
    ends = {name: intervals.sel(coordinate=name, drop=True) for name in coordinates}
    pc, columns = plot_collection, min(3, len(coordinates))
    if pc is None:
        size = (420 * columns + 160, (60 + 45 * len(names)) * -(-len(coordinates) // columns) + 60)
        figure = {"figsize": size, "figsize_units": "dots"}
        shown = xr.Dataset(dict.fromkeys(coordinates, 0.0))
        pc_kwargs = {"cols": ["__variable__"], "col_wrap": columns, **pc_kwargs}
        pc = new_collection(shown, backend, figure=figure, gap=0.2, **pc_kwargs)
    for name, both in ends.items():
        low, high = both["low"].values, both["high"].values
        middle = xr.Dataset({name: ("calibration", rows)})
        if options["interval"] is not False:
            for k, row in enumerate(rows):
                line = xr.Dataset({name: ("end", [row, row])})
                along = xr.DataArray([low[k], high[k]], dims=["end"])
                draw_line(pc, line, along, options["interval"])
        if options["points"] is not False:
            centre = xr.DataArray(0.5 * (low + high), dims=["calibration"])
            draw_points(pc, middle, centre, options["points"])
        if options["title"] is not False:
            text = name if labeller is None else labeller.var_name_to_str(name)
            draw_title(pc, xr.Dataset({name: 0.0}), text, options["title"])
        pc.map(
            draw.set_ylim, "ylim", data=xr.Dataset({name: 0.0}),
            limits=(-0.6, len(names) - 0.4), ignore_aes="all", store_artist=False,
        )  # fmt: skip
        if options["yticks"] is not False:
            # the names once a row of panels
            shown_names = labels if coordinates.index(name) % columns == 0 else [""] * len(names)
            draw_yticks(pc, xr.Dataset({name: 0.0}), rows.tolist(), shown_names, options["yticks"])
        if options["xlabel"] is not False:
            pc.map(
                draw.labelled_x, "xlabel", data=xr.Dataset({name: 0.0}),
                text=f"{intervals.attrs['level']:.0%} interval", ignore_aes="all",
                **options["xlabel"],
            )  # fmt: skip
    return pc
