r"""Statistics at any beta inside the ladder, from the draws of all rungs pooled (MBAR).

.. math:: E_\beta[A] = \sum_n w_n(\beta)\, A_n, \qquad
          w_n(\beta) \propto \frac{e^{-\beta E_n}}{\sum_j N_j\, e^{-\beta_j E_n} / Z(\beta_j)}

Source: Shirts and Chodera (2008), J. Chem. Phys. 129, 124105.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.special import logsumexp
from xarray import DataTree

from pm_statmech.datatree import RUNG, tempering_group
from pm_statmech.errors import EvidenceError, InverseTemperatureError
from pm_statmech.ladder import check_beta
from pm_statmech.stats.averages import mcse_of_mean
from pm_statmech.stats.evidence import check_ladder_of
from pm_statmech.stats.mbar import GROUPS, Mbar, Reweighting, grouped, solve_mbar

LEAST_OVERLAP = 1.0
# draws times inverse temperatures, from which on only effective scans are read
LARGE = 20_000_000
KEPT_ATTRIBUTES = ("target_beta", "tempered_terms", "n_observations", "reference", "prior_reason",
                   "log_partition_zero", "log_partition_zero_mcse")  # fmt: skip


def check_inside(betas: float | Sequence[float] | np.ndarray, rungs: np.ndarray) -> np.ndarray:
    """Return betas as a float array, or raise InverseTemperatureError where one is off the ladder.

    Nothing is extrapolated: beyond the last rung no draw says what the energy does.
    """
    asked = np.atleast_1d(np.asarray(betas, dtype=np.float64))
    if asked.ndim != 1 or asked.size == 0:
        raise InverseTemperatureError(
            f"betas has shape {asked.shape}: give one inverse temperature or a one-dimensional "
            "sequence of them."
        )
    for beta in asked:
        check_beta(beta)
        if not rungs[0] <= beta <= rungs[-1]:
            raise InverseTemperatureError(
                f"beta = {beta:g} lies outside the ladder, whose rungs go from {rungs[0]:g} to "
                f"{rungs[-1]:g}, and nothing is extrapolated. Sample again with betas=[{beta:g}]."
            )
    return asked


def overlaps(solution: Mbar) -> np.ndarray:
    r"""How many draws could be from either side of each gap between rungs: (K - 1,).

    .. math:: o_k = \sum_n c_{nk} (1 - c_{nk}), \qquad c_{nk} = \sum_{j \le k} s_{nj}

    with s_nj the share of rung j in the pooled draws at draw n. The variance of
    log Z(beta_{k+1}) / Z(beta_k) grows like 1 / o_k.
    """
    energy, counts = grouped(solution.energy, GROUPS)
    log_share = -np.outer(energy, solution.betas) - solution.log_z
    share = np.exp(log_share - logsumexp(log_share, axis=1, keepdims=True))
    hotter = np.cumsum(share[:, :-1], axis=1)
    return counts @ (hotter * (1 - np.minimum(hotter, 1.0)))


def thinning(energy: np.ndarray, n_betas: int) -> int:
    r"""Scans from one that is read to the next, where a curve of n_betas would read too many.

    .. math:: \lfloor S / \mathrm{ESS} \rfloor

    with the median effective size of the energies (chain, draw, K) of all rungs: scans between
    say little that the others do not. 1 below twenty million draws times betas.
    """
    if energy.size * n_betas < LARGE:
        return 1
    usable = np.where(np.isfinite(energy), energy, 0.0)
    error, spread = mcse_of_mean(usable), np.std(usable, axis=(0, 1))
    moving = error > 0
    if not np.any(moving):
        return 1
    size = np.median((spread[moving] / error[moving]) ** 2)
    return max(1, int(energy.shape[0] * energy.shape[1] / size))


def solve_ladder(dt: DataTree, *, thin: int = 1) -> Mbar:
    """Pool all rungs of a tree, every thin-th scan of it.

    Raises
    ------
    TreeError
        no tempered run.
    LadderError
        a single rung.
    EvidenceError
        two neighbouring rungs have less than one draw in common. What is computed across such a
        gap is an accident of the starting values, and so is its error.
    """
    group = tempering_group(dt)
    check_ladder_of(group)
    energy = group["energy"].transpose("chain", "draw", RUNG).values[:, ::thin]
    solution = solve_mbar(energy, group[RUNG].values)
    found = overlaps(solution)
    if np.any(found < LEAST_OVERLAP):
        k = int(np.argmin(found))
        low, high = solution.betas[k : k + 2]
        raise EvidenceError(
            f"the rungs beta = {low:.3g} and {high:.3g} have {found[k]:.1g} draws in common: "
            "neighbours that hardly overlap cannot be pooled. Add rungs between them with betas=, "
            "or tune longer."
        )
    return solution


def means_at(
    solution: Mbar, found: Reweighting, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Means of M quantities at a beta, and each scan's influence on them.

    .. math:: \bar A = \sum_n w_n A_n, \qquad
              \delta \bar A = \sum_n w_n (A_n - \bar A) \Big(1 + \sum_k s_{nk}\,\delta \log Z_k\Big)

    with s_nk the share of rung k in the pooled draws at draw n.

    Parameters
    ----------
    solution, found
        the solved ladder, and its weights at beta.
    values
        (chain, draw, K, M), read only where the weight is above 0.

    Returns
    -------
    means (M,), and influence (chain, draw, M) of mean 0. The same as `mean_at` for each.
    """
    heavy = found.weights[..., None] > 0
    usable = np.where(heavy, values, 0.0)
    means = np.tensordot(found.weights, usable, axes=3)
    deviation = found.weights[..., None] * np.where(heavy, usable - means, 0.0)
    count = found.weights.size
    # the rungs of a scan together, each relative to its own mean over scans
    influence = count * np.mean(deviation - np.mean(deviation, axis=(0, 1)), axis=2)
    influence += np.tensordot(solution.influence, solution.lean(deviation), axes=1)
    return means, influence


def mbar(dt: DataTree) -> xr.Dataset:
    r"""Log evidence at the target, and log Z at every rung, from all rungs at once (MBAR).

    .. math:: Z(\beta_k) = \sum_n
              \frac{e^{-\beta_k E_n}}{\sum_j N_j\, e^{-\beta_j E_n} / Z(\beta_j)}

    over the draws n of all rungs, N_j of them from rung j.

    Parameters
    ----------
    dt
        the tree of `sample_tempered`.

    Returns
    -------
    Dataset
        ``log_evidence`` and ``mcse`` in nats, at the target; ``log_partition`` and
        ``log_partition_mcse`` over ``inverse_temperature``. Relative to Z(0), see attrs.

    Raises
    ------
    TreeError
        no tempered run.
    EvidenceError
        two neighbouring rungs have less than one draw in common.

    Notes
    -----
    Errors come from each scan's influence on the estimate with ArviZ's effective sample size;
    the covariance of the original paper holds for independent draws only. Source: Shirts and
    Chodera (2008), J. Chem. Phys. 129, 124105.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    >>> dt = pms.sample_tempered(200, tune=200, model=system.model(), random_seed=1, quiet=True)
    >>> found = pms.mbar(dt)
    >>> bool(abs(found.log_evidence - system.log_partition(1.0)) < 5 * found.mcse)
    True
    """
    group = tempering_group(dt)
    betas = group[RUNG].values
    target = int(np.flatnonzero(betas == group.attrs["target_beta"])[0])
    solved = solve_ladder(dt)
    errors = mcse_of_mean(solved.influence)
    return xr.Dataset(
        {
            "log_evidence": solved.log_z[target],
            "mcse": errors[target],
            "log_partition": (RUNG, solved.log_z),
            "log_partition_mcse": (RUNG, errors),
        },
        coords={RUNG: betas},
        attrs={
            "method": "MBAR over all rungs",
            **{key: group.attrs[key] for key in KEPT_ATTRIBUTES},
        },
    )
