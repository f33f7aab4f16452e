"""Several calibrations of one model, side by side."""

from __future__ import annotations

import html
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

from pm_statmech.calibration.repetitions import (
    Generate,
    calibrated,
    check_level,
    check_names,
    coordinate_labels,
    with_seed,
)
from pm_statmech.calibration.results import Calibration
from pm_statmech.calibration.study import coverage_study
from pm_statmech.errors import CalibrationError, ConvergenceWarning
from pm_statmech.ladder import check_beta
from pm_statmech.samplers.refits import compile_constrained, compile_refits
from pm_statmech.samplers.workers import seeds_of
from pm_statmech.tempering import tempered_model

# draws of the posterior at each beta, of which widths are read
N_DRAWS = 8000


@dataclass(frozen=True)
class Comparison:
    """Calibrations of one model by several methods.

    Parameters
    ----------
    table
        a row a method: beta, standard_error, unit, width, coverage where there is a generating
        mechanism, seconds, cost, assumptions.
    calibrations
        what each method found.
    intervals
        ``low`` and ``high`` of the marginal intervals over ``calibration`` and ``coordinate``, of
        the posterior at each beta.
    studies
        the coverage study of each method, where there is a generating mechanism.
    """

    table: pd.DataFrame
    calibrations: Mapping[str, Calibration] = field(repr=False)
    intervals: xr.Dataset = field(repr=False)
    studies: Mapping[str, xr.Dataset] = field(repr=False)

    def __str__(self) -> str:
        columns = [c for c in self.table.columns if c not in ("cost", "assumptions")]
        return self.table[columns].to_string(float_format=lambda v: f"{v:.4g}")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = self.table.drop(columns="assumptions").to_html(float_format=lambda v: f"{v:.4g}")
        lists = "".join(
            f"<li><b>{html.escape(name)}</b>: {html.escape('; '.join(c.assumptions))}</li>"
            for name, c in self.calibrations.items()
        )
        return f"{table}<p>They assume:</p><ul>{lists}</ul>"


def _as_calibration(name: str, found: Any) -> Calibration:
    if isinstance(found, Calibration):
        check_beta(found.beta, f"beta of {name}")
        return found
    if isinstance(found, Real):
        beta = check_beta(float(found), f"beta of {name}")
        return Calibration(
            beta, np.nan, "", "", "as given", ("it was chosen",), "nothing", xr.Dataset()
        )
    raise CalibrationError(
        f"{name}: a method takes the model and returns a Calibration, or a number; it returned "
        f"{type(found).__name__}."
    )


def _intervals(model, betas: dict[str, float], level: float, random_seed, tempered) -> xr.Dataset:
    """Marginal intervals at every beta, each fit started from its neighbour's."""
    split = tempered_model(model, tempered=tempered)
    refits = compile_refits(split, counted=False)
    constrained = compile_constrained(split, refits.energy_function.layout)
    rng = np.random.default_rng(seeds_of(random_seed))
    ends, fit, coordinates = {}, None, []
    shares = [(1 - level) / 2, (1 + level) / 2]
    for name in sorted(betas, key=lambda key: betas[key]):
        beta = betas[name]
        fit = (
            refits.first(beta, {}, N_DRAWS, rng)
            if fit is None
            else refits.again(fit, beta, {}, N_DRAWS, rng)
        )
        if not fit.converged:
            warnings.warn(
                f"{name}: the posterior at beta = {beta:.3g} did not mix (R-hat above 1.05 or few "
                "effective draws), so that its intervals are not to be trusted. Several modes take "
                "sample_tempered.",
                ConvergenceWarning,
                stacklevel=3,
            )
        values = constrained(fit.pooled())
        flat = np.concatenate([np.reshape(v, (len(v), -1)) for v in values.values()], axis=1)
        ends[name] = np.quantile(flat, shares, axis=0)
        coordinates = [
            label for k, v in values.items() for label in coordinate_labels(model, k, v.shape[1:])
        ]
    both = np.array([ends[name] for name in betas])
    return xr.Dataset(
        {
            "low": (("calibration", "coordinate"), both[:, 0]),
            "high": (("calibration", "coordinate"), both[:, 1]),
            "beta": ("calibration", list(betas.values())),
        },
        coords={"calibration": list(betas), "coordinate": coordinates},
        attrs={"level": level},
    )


def _check_truth(model: pm.Model, truth: Mapping[str, Any]) -> None:
    """Raise CalibrationError for truths of what the model does not have, or of other shapes."""
    check_names(model, list(truth))
    for name, value in truth.items():
        shape = tuple(model[name].shape.eval())
        if np.shape(value) != shape:
            raise CalibrationError(f"truth[{name!r}] has shape {np.shape(value)}, not {shape}.")


def compare(
    methods: Mapping[str, Callable | float],
    model: pm.Model | None = None,
    *,
    level: float = 0.95,
    generate: Generate | None = None,
    truth: Mapping[str, Any] | None = None,
    repetitions: int = 100,
    random_seed=None,
    progressbar: bool = True,
    tempered=None,
) -> Comparison:
    r"""Ask several methods for a beta, and set side by side what follows from each.

    Parameters
    ----------
    methods
        {name: method}, each ``method(model) -> Calibration``, such as ``information_matching``, a
        lambda that gives it arguments, or a plain number. A method with the arguments
        ``random_seed=None`` and ``progressbar=True`` is given a seed, and no bar.
    model
        by default the one in context.
    level
        of the intervals.
    generate, truth
        a mechanism that draws data for the model, ``generate(rng) -> {name: values}``, and the
        values its intervals should hold: with them each method is repeated on new data, and the
        table has its coverage.
    repetitions
        data sets of the mechanism, each of which takes every method anew: seconds, or longer.
    random_seed, progressbar, tempered
        as everywhere.

    Returns
    -------
    Comparison
        whose ``table`` has for each method beta with its standard error and unit, ``width``, the
        geometric mean of the widths of the marginal intervals of all free variables (known to some
        percent; ratios between methods are what counts), ``coverage`` of the truths, averaged,
        with ``coverage_mcse`` (as if they were covered together) and ``repetitions``, the seconds
        it took, its cost and its assumptions. What a standard error is of, each method says.

    Raises
    ------
    CalibrationError
        no methods; generate without truth, truths that the model does not have; what a method
        raises, with a note of its name.
    InverseTemperatureError
        a beta below 0, or none.

    Warns
    -----
    ConvergenceWarning
        a posterior that did not mix.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> cal = pms.calibration
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 100)
    ...     y = pms.GibbsLoss("y", mu, loss=pms.losses.absolute, observed=np.arange(30.0))
    ...     found = cal.compare({"matching": cal.information_matching, "as written": 1.0},
    ...                         random_seed=1, progressbar=False)
    >>> bool(found.table.loc["matching", "width"] > found.table.loc["as written", "width"])
    True
    """
    model = pm.modelcontext(model)
    if not isinstance(methods, Mapping) or not methods:
        raise CalibrationError(f"methods is a mapping, {{name: method}}; it is {methods}.")
    check_level(level)
    if (generate is None) != (truth is None):
        raise CalibrationError("generate and truth belong together: give both, or neither.")
    if truth is not None:
        _check_truth(model, truth)
    found, seconds = {}, {}
    seeds = seeds_of(random_seed).spawn(len(methods) + 1)
    for (name, method), seed in zip(methods.items(), seeds[1:], strict=True):
        started = perf_counter()
        try:
            result = method
            if callable(method):
                result = method(model, **with_seed(method, np.random.default_rng(seed)))
            found[name] = _as_calibration(name, result)
        except Exception as error:
            error.add_note(f"It was raised by the method {name!r} of compare.")
            raise
        seconds[name] = perf_counter() - started
    betas = {name: calibration.beta for name, calibration in found.items()}
    intervals = _intervals(model, betas, level, np.random.default_rng(seeds[0]), tempered)
    widths = np.exp(np.mean(np.log(intervals["high"].values - intervals["low"].values), axis=1))
    width = dict(zip(found, widths, strict=True))
    studies: dict[str, xr.Dataset] = {}
    if generate is not None and truth is not None:
        common = int(np.random.default_rng(seeds[0]).integers(2**32))
        for name, method in methods.items():
            studies[name] = coverage_study(
                calibrated(model, generate, method, var_names=list(truth), tempered=tempered),
                truth, level=level, repetitions=repetitions, random_seed=common,
                progressbar=progressbar,
            )  # fmt: skip
            if not studies[name].attrs["complete"]:
                # Ctrl-C: what was finished stays
                break
    rows = {}
    for name, calibration in found.items():
        rows[name] = {
            "beta": calibration.beta,
            "standard_error": calibration.standard_error,
            "unit": calibration.unit,
            "width": float(width[name]),
        }
        if name in studies:
            covered = studies[name]["covered"].values.mean(axis=1)
            rows[name]["coverage"] = float(np.mean(covered))
            rows[name]["coverage_mcse"] = float(
                np.sqrt(np.mean(studies[name]["coverage_mcse"].values ** 2))
            )
            rows[name]["repetitions"] = covered.size
        rows[name] |= {
            "seconds": seconds[name],
            "cost": calibration.cost,
            "assumptions": "; ".join(calibration.assumptions),
        }
    return Comparison(pd.DataFrame.from_dict(rows, orient="index"), found, intervals, studies)
