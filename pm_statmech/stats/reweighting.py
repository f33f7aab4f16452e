r"""The posterior at a beta between the rungs, as plain draws.

.. math:: w_n \propto \frac{e^{-\beta E_n}}{\sum_j N_j\, e^{-\beta_j E_n} / Z(\beta_j)}

over the draws n of all rungs.

Sources: Shirts and Chodera (2008), J. Chem. Phys. 129, 124105; Kong (1992), Tech. Rep. 348,
Chicago, for the effective sample size of weights; Douc and Cappe (2005), ISPA, for resampling.
"""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.errors import ConvergenceWarning, TreeError
from pm_statmech.stats.averages import mcse_of_mean, pareto_tail
from pm_statmech.stats.mbar import Mbar, Reweighting, at_beta
from pm_statmech.stats.pooled import check_inside, means_at, solve_ladder

LEAST_ESS = 100.0
LARGEST_TAIL = 0.7
DEFAULT_SEED = 0
SCAN_DIMS = ("chain", "draw", RUNG)


def stratified_draws(
    weights: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Resample each chain to as many draws as it has scans: indices (chain, draw) of draw, rung.

    Weights (chain, draw, K) need not be normalised. One uniform number a stratum, since a single
    one for all (systematic resampling) falls into step with the even-odd swaps of a ladder. The
    order of the scans is kept, so that autocorrelation, and repeats, are seen by ArviZ.
    """
    chains, n, n_rungs = weights.shape
    picked = np.empty((chains, n), dtype=np.int64)
    for c in range(chains):
        cumulative = np.cumsum(weights[c].reshape(-1))
        points = (np.arange(n) + rng.random(n)) / n * cumulative[-1]
        picked[c] = np.searchsorted(cumulative, points, side="right").clip(0, n * n_rungs - 1)
    return picked // n_rungs, picked % n_rungs


def single_rung(energy: np.ndarray, beta: float) -> Mbar:
    """One rung's draws (chain, draw, 1) as a ladder, for weights e^{-(beta' - beta) E}."""
    return Mbar(np.array([beta]), np.zeros(1), energy, -beta * energy, np.zeros(energy.shape))


def columns_of(variable: xr.DataArray) -> np.ndarray:
    """Values (chain, draw, K, M) of a variable with any further dims."""
    values = variable.transpose(*SCAN_DIMS, ...).values
    return values.reshape(*values.shape[:3], -1).astype(np.float64)


def effective_sizes(
    solution: Mbar, found: Reweighting, columns: list[np.ndarray]
) -> tuple[float, float]:
    r"""Effective sample sizes of the weights alone, and with autocorrelation.

    .. math:: \mathrm{ESS}_{\mathrm{Kish}} = 1 / \sum_n w_n^2, \qquad
              \mathrm{ESS} = \min_f \mathrm{Var}_\beta(f) / \mathrm{mcse}(f)^2

    over every element of the columns (chain, draw, K, M) that varies.
    """
    smallest = np.inf
    for values in columns:
        means, influence = means_at(solution, found, values)
        usable = np.where(found.weights[..., None] > 0, values, 0.0)
        variance = np.tensordot(found.weights, (usable - means) ** 2, axes=3)
        error = mcse_of_mean(influence)
        varies = error > 0
        smallest = min(smallest, np.min(variance[varies] / error[varies] ** 2, initial=np.inf))
    return float(1.0 / np.sum(found.weights**2)), float(smallest)


def reweight(dt: DataTree, beta: float, *, random_seed: int = DEFAULT_SEED) -> DataTree:
    r"""Posterior at any beta inside the ladder, resampled to plain draws.

    .. math:: \pi_\beta(\theta) \propto \pi_0(\theta)\, e^{-\beta E(\theta)}

    The draws of all rungs are weighted by MBAR, and each chain is resampled in the order of its
    scans, so that chains stay independent and ArviZ's functions read the result as any trace.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`, with the draws of all rungs (``keep_tempered=True``).
        Without them the target's draws alone are weighted, for betas close by.
    beta
        inverse temperature from the smallest rung to the largest.
    random_seed
        of the resampling; 0 unless given, so that a call repeats itself.

    Returns
    -------
    DataTree
        ``posterior`` (chain, draw), with the data groups of `dt`. Attributes of the posterior:
        ``target_beta``; ``ess_weights``, Kish's effective size of the pooled draws with
        their weights; ``ess``, the smallest effective size over the energy and all variables,
        which knows of autocorrelation too (both before resampling, which keeps as many draws as
        there were scans); ``random_seed``.

    Raises
    ------
    InverseTemperatureError
        beta is negative, not finite, or outside the ladder.
    EvidenceError
        two neighbouring rungs have less than one draw in common.
    TreeError
        no draws of other rungs, and beta is too far from the target for its draws alone.

    Warns
    -----
    ConvergenceWarning
        an effective sample size is below 100.

    Notes
    -----
    Source: Shirts and Chodera (2008), J. Chem. Phys. 129, 124105.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(200, tune=200, model=system.model(), random_seed=1, quiet=True)
    >>> warm = pms.reweight(dt, 0.37)
    >>> warm["posterior"]["mu"].shape, warm["posterior"].attrs["target_beta"]
    ((4, 200), 0.37)
    """
    group = tempering_group(dt)
    asked = float(check_inside(beta, group[RUNG].values)[0])
    pooled = "tempered_posterior" in dt.children
    if pooled:
        draws = dt["tempered_posterior"].dataset
        solution = solve_ladder(dt)
    else:
        target = float(group.attrs["target_beta"])
        draws = dt["posterior"].dataset.expand_dims({RUNG: [target]})
        solution = single_rung(
            group["energy"].transpose(*SCAN_DIMS).sel({RUNG: [target]}).values, target
        )
    found = at_beta(solution, asked)
    finite = np.where(np.isfinite(solution.energy), solution.energy, 0.0)[..., None]
    columns = [finite, *(columns_of(variable) for variable in draws.data_vars.values())]
    ess_weights, ess = effective_sizes(solution, found, columns)
    smaller = min(ess_weights, ess)
    # weights of one rung have a tail; those of pooled rungs are bounded by the mixture
    tail = 0.0 if pooled else pareto_tail(found.weights[..., 0])
    if not pooled and (not smaller >= LEAST_ESS or tail > LARGEST_TAIL):
        raise TreeError(
            f"the draws of other rungs were not kept, and at beta = {asked:g} the target's own "
            f"draws are worth {smaller:.0f} (Pareto k = {tail:.2f} of their weights), less than "
            f"{LEAST_ESS:.0f} draws (k <= {LARGEST_TAIL:g}). Sample with keep_tempered=True, or "
            f"with target_beta={asked:g}."
        )
    if not smaller >= LEAST_ESS:
        warnings.warn(
            f"the posterior at beta = {asked:g} rests on {smaller:.0f} effective draws, fewer than "
            f"{LEAST_ESS:.0f}. Draw more, or sample with betas=[{asked:g}].",
            ConvergenceWarning,
            stacklevel=2,
        )
    draw, rung = stratified_draws(found.weights, np.random.default_rng(random_seed))
    picked = draws.drop_vars(["draw", RUNG]).isel(
        {
            "chain": xr.DataArray(np.arange(len(draw)), dims="chain"),
            "draw": xr.DataArray(draw, dims=("chain", "draw")),
            RUNG: xr.DataArray(rung, dims=("chain", "draw")),
        }
    )
    posterior = picked.transpose("chain", "draw", ...).assign_coords(draw=draws["draw"].values)
    posterior.attrs = {
        **draws.attrs,
        "target_beta": asked,
        "ess_weights": ess_weights,
        "ess": ess,
        "random_seed": random_seed,
    }
    data = {k: dt[k].dataset for k in ("observed_data", "constant_data") if k in dt.children}
    return DataTree.from_dict({"/posterior": posterior, **{f"/{k}": v for k, v in data.items()}})
