r"""How well posteriors at each beta predict what was left out: a diagnostic, and a flat one.

.. math:: \mathrm{score}(\beta) = \sum_i -\log E\bigl[p(y_i | \theta) \,|\, y_{-i}, \beta\bigr]
          \quad\text{or}\quad \sum_i E\bigl[\ell_i(\theta) \,|\, y_{-i}, \beta\bigr]
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pymc as pm
import xarray as xr
from scipy.special import logsumexp

from pm_statmech.calibration.information import check_one_axis
from pm_statmech.calibration.matching import label_of
from pm_statmech.calibration.results import Calibration
from pm_statmech.datatree import RUNG
from pm_statmech.energy_function import layout_of
from pm_statmech.errors import CalibrationError, ConvergenceWarning
from pm_statmech.ladder import check_beta
from pm_statmech.samplers.refits import COUNTS, Fit, compile_losses, compile_refits
from pm_statmech.samplers.workers import in_parallel, seeds_of, threads
from pm_statmech.stats.averages import mcse_of_mean
from pm_statmech.stats.predictive import left_out_weights
from pm_statmech.tempering import TemperedModel, tempered_model

# effective draws of a reweighted fit below which it is drawn again
FEWEST_REWEIGHTED = 100.0
LARGEST_TAIL = 0.7
N_BETAS, FEWEST_DRAWS = 13, 100


def _grid(betas: Sequence[float] | None, split: TemperedModel) -> np.ndarray:
    if betas is None:
        return split.target_beta * np.geomspace(0.1, 10.0, N_BETAS)
    grid = np.unique([check_beta(beta) for beta in betas])
    if len(grid) < 2 or grid[0] == 0:
        raise CalibrationError(f"betas = {list(betas)}: give at least two, above 0.")
    return grid


def _check_size(split: TemperedModel, draws: int) -> None:
    if split.terms[0].n_observations < 2 or draws < FEWEST_DRAWS:
        raise CalibrationError(
            f"{split.terms[0].n_observations} observations, draws = {draws}: leaving some out "
            f"takes at least two, and {FEWEST_DRAWS} draws of each posterior."
        )


def _told(n_fits: int, n_failed: int) -> str:
    """How many posteriors were drawn; warns of those that did not mix."""
    if n_failed:
        warnings.warn(
            f"{n_failed} of {n_fits} posteriors have R-hat above 1.05 or fewer than 100 effective "
            "draws: their scores are not to be trusted. Take more draws=; several modes take "
            "sample_tempered and loo.",
            ConvergenceWarning,
            stacklevel=3,
        )
    failed = f", {n_failed} of which did not mix" if n_failed else ""
    return f"{n_fits} posteriors{failed}"


def _scores(
    losses: np.ndarray, log_w: np.ndarray, likelihood: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Score of each observation, and what each draw adds to the error of their sum (S,).

    From losses (S, n) and normalised log weights, (S, n) or (S, 1).
    """
    w = np.exp(log_w)
    if likelihood:
        found = -logsumexp(log_w - losses, axis=0)
        return found, np.sum(w - np.exp(log_w - losses + found), axis=1)
    found = np.sum(w * losses, axis=0)
    return found, np.sum(w * (losses - found), axis=1)


def _mcse(influence: np.ndarray, chains: int) -> float:
    """Monte Carlo error of a sum from the influence (S,) of its draws, chain after chain."""
    rows = (influence * len(influence)).reshape(chains, -1)
    return float(mcse_of_mean(rows[..., None])[0])


def _flat_range(grid: np.ndarray, own: np.ndarray) -> tuple[int, xr.Dataset]:
    """The best beta, and scores (K, n) as differences to it with errors over observations."""
    total = own.sum(axis=1)
    best = int(np.argmin(total))
    apart = own - own[best]
    n = own.shape[1]
    return best, xr.Dataset(
        {
            "score": (RUNG, total),
            "score_difference": (RUNG, apart.sum(axis=1)),
            "score_difference_se": (RUNG, np.sqrt(n) * np.std(apart, axis=1, ddof=1)),
        },
        coords={RUNG: grid},
    )


def _as_calibration(split, grid, own, name: str, cost: str, extra: dict) -> Calibration:
    best, path = _flat_range(grid, own)
    within = path["score_difference"].values <= 2 * path["score_difference_se"].values
    low, high = float(grid[within].min()), float(grid[within].max())
    path = path.assign(extra).assign_attrs(
        {
            "x": RUNG, "criteria": "score_difference", "n_observations": own.shape[1],
            "indistinguishable_from": low, "indistinguishable_to": high,
        }
    )  # fmt: skip
    label, unit = label_of(split)
    return Calibration(
        float(grid[best]), np.nan, label, unit,
        f"{name}, a diagnostic: betas from {low:.3g} to {high:.3g} predict as well within two "
        "standard errors",
        (
            "observations are independent",
            "a score that is nearly flat in beta does not choose one: it says which are too hot or "
            "too cold to predict",
        ),
        cost, path,
    )  # fmt: skip


def predictive(
    model: pm.Model | None = None,
    *,
    betas: Sequence[float] | None = None,
    draws: int = 2000,
    random_seed=None,
    tempered=None,
) -> Calibration:
    r"""Leave-one-out predictive score against beta, by Pareto-smoothed importance sampling.

    .. math:: w_i(\theta) \propto e^{\beta\, \ell_i(\theta)}, \qquad
              \mathrm{score} = -\sum_i \log \sum_s \tilde w_{is}\, p(y_i | \theta_s)
              \quad\text{or}\quad \sum_i \sum_s \tilde w_{is}\, \ell_i(\theta_s)

    Parameters
    ----------
    model
        by default the one in context, with one tempered term along one axis.
    betas
        by default 13 from a tenth of the model's own to ten times it.
    draws
        of the posterior at each beta.
    random_seed
        of the draws.
    tempered
        as in `tempered_model`.

    Returns
    -------
    Calibration
        with the best beta, and in words those that cannot be told from it. ``path`` has over
        ``inverse_temperature`` ``score`` (minus elpd at power one for a likelihood, the expected
        loss for a loss) with its Monte Carlo error, ``score_difference`` to the best with its
        standard error over observations, and ``largest_pareto_k``.

    Raises
    ------
    CalibrationError
        several terms, losses along several axes, a single observation, too few draws.

    Warns
    -----
    ConvergenceWarning
        posteriors that did not mix.

    Notes
    -----
    A diagnostic and no selector: predictions mix over the posterior and hardly depend on its
    width (McLatchie, Fong, Frazier, Knoblauch (2024), arXiv:2408.08806). Where Pareto k is above
    0.7 take `predictive_kfold`. Source: Vehtari, Gelman, Gabry (2017), Stat. Comput. 27.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 10)
    ...     y = pm.Normal("y", mu, 1.0, observed=np.random.default_rng(1).normal(size=30))
    ...     found = pms.calibration.predictive(draws=400, random_seed=1)
    >>> bool(found.path.attrs["indistinguishable_to"] > 1.0)
    True
    """
    split = tempered_model(pm.modelcontext(model), tempered=tempered)
    check_one_axis(split)
    grid = _grid(betas, split)
    _check_size(split, draws)
    likelihood = split.terms[0].kind == "likelihood"
    refits = compile_refits(split, counted=True)
    losses_of = compile_losses(split, layout_of(split))
    rng = np.random.default_rng(seeds_of(random_seed))
    fit: Fit | None = None
    own, tails, errors, failed = [], [], [], 0
    for beta in grid:
        fit = (
            refits.first(float(beta), {}, draws, rng)
            if fit is None
            else refits.again(fit, float(beta), {}, draws, rng)
        )
        failed += not fit.converged
        pooled = fit.pooled()
        losses = losses_of(pooled)
        chains = losses.reshape(*fit.x.shape[:2], -1)
        tempered_density = xr.DataArray(-beta * chains, dims=["chain", "draw", "observation"])
        efficiency = float(np.mean(fit.ess)) / len(pooled)
        log_w, k = left_out_weights(tempered_density, efficiency)
        flat = log_w.transpose("chain", "draw", "observation").values.reshape(losses.shape)
        flat = flat - logsumexp(flat, axis=0)
        score, influence = _scores(losses, flat, likelihood)
        own.append(score)
        errors.append(_mcse(influence, fit.x.shape[0]))
        tails.append(float(np.max(k)))
    far = sum(k > LARGEST_TAIL for k in tails)
    told = f", at {far} of them Pareto k above 0.7 for some observation" if far else ""
    return _as_calibration(
        split, grid, np.array(own), "leave-one-out by PSIS", f"{_told(len(grid), failed)}{told}",
        {"largest_pareto_k": (RUNG, tails), "score_mcse": (RUNG, errors)},
    )  # fmt: skip


def predictive_kfold(
    model: pm.Model | None = None,
    *,
    folds: int = 10,
    betas: Sequence[float] | None = None,
    draws: int = 1000,
    cores: int | None = None,
    random_seed=None,
    progressbar: bool = True,
    tempered=None,
) -> Calibration:
    r"""Predictive score against beta by K-fold cross-validation, each fold fitted without its data.

    .. math:: \mathrm{score} = -\sum_i \log E\bigl[p(y_i | \theta) \,|\, y_{-k(i)}, \beta\bigr]
              \quad\text{or}\quad \sum_i E\bigl[\ell_i(\theta) \,|\, y_{-k(i)}, \beta\bigr]

    Parameters
    ----------
    model, betas, tempered
        as for `predictive`.
    folds
        K, of random observations, as even as can be; as many as observations leave out one each.
    draws
        of each posterior.
    cores
        threads; results do not depend on their number.
    random_seed
        of the folds and the draws.
    progressbar
        over posteriors.

    Returns
    -------
    Calibration
        as `predictive`'s, without Pareto k.

    Raises
    ------
    CalibrationError
        as `predictive`, and fewer than two folds or more than observations.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 10)
    ...     y = pm.Normal("y", mu, 1.0, observed=np.random.default_rng(1).normal(size=30))
    ...     found = pms.calibration.predictive_kfold(
    ...         folds=5, draws=400, random_seed=1, progressbar=False)
    >>> bool(found.path.attrs["indistinguishable_to"] > 1.0)
    True
    """
    from rich.progress import Progress

    split = tempered_model(pm.modelcontext(model), tempered=tempered)
    check_one_axis(split)
    grid = _grid(betas, split)
    _check_size(split, draws)
    n = split.terms[0].n_observations
    if not 2 <= folds <= n:
        raise CalibrationError(f"folds = {folds}: from 2 to the {n} observations.")
    likelihood = split.terms[0].kind == "likelihood"
    refits = compile_refits(split, counted=True)
    losses_of = compile_losses(split, layout_of(split))
    of_folds, of_first, *streams = seeds_of(random_seed).spawn(2 + folds)
    fold = np.random.default_rng(of_folds).permutation(np.arange(n) % folds)
    first = refits.first(split.target_beta, {}, draws, np.random.default_rng(of_first))
    own, errors = np.empty((len(grid), n)), np.empty((len(grid), folds))

    def run(k: int) -> tuple[int, int]:
        rng, fit, out = np.random.default_rng(streams[k]), first, fold == k
        data = {COUNTS: (~out).astype(float)}
        drawn = failed = 0
        for j, beta in enumerate(grid):
            log_w, effective = fit.log_weights(beta) if drawn else (np.empty(0), 0.0)
            if effective < max(FEWEST_REWEIGHTED, 0.5 * float(np.min(fit.ess))):
                fit = refits.again(fit, float(beta), data, draws, rng)
                log_w, drawn = fit.log_weights(beta)[0], drawn + 1
                failed += not fit.converged
            losses = losses_of(fit.pooled())[:, out]
            own[j, out], influence = _scores(losses, log_w[:, None], likelihood)
            errors[j, k] = _mcse(influence, fit.x.shape[0])
        return drawn, failed

    total = n_failed = 0
    with Progress(disable=not progressbar, transient=True) as bar, threads(cores) as pool:
        task = bar.add_task("Leaving out", total=folds)
        for _, (drawn, failed) in in_parallel(run, ((k,) for k in range(folds)), pool):
            total, n_failed = total + drawn, n_failed + failed
            bar.advance(task)
    return _as_calibration(
        split, grid, own, f"{folds}-fold cross-validation",
        _told(total + 1, n_failed + (not first.converged)),
        {"score_mcse": (RUNG, np.sqrt(np.sum(errors**2, axis=1)))},
    )  # fmt: skip
