r"""Moments of the energy at many inverse temperatures, from the draws of all rungs (MBAR).

.. math:: U = \sum_n w_n E_n, \qquad \mu_j = \sum_n w_n (E_n - U)^j

with the weights :math:`w_n(\beta)` of MBAR. What `means_at` does for any quantities at one beta is
done here for powers of the energy at many, in two passes over the draws.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import comb, logsumexp

from pm_statmech.stats.mbar import GROUPS, LEAST, VAST, Mbar, grouped

# weights held at a time, which stay in the processor's cache
BLOCK = 200_000
# betas at a time, whose influences by every scan are held together
MOST_BETAS = 100


class Moments(NamedTuple):
    """log Z (B,), mean (B,) and central moments 2, 3, ... (B, M - 1) of the energy at B betas."""

    log_z: np.ndarray
    mean: np.ndarray
    central: np.ndarray


class Influences(NamedTuple):
    """Of each scan on log Z (chain, draw, B) and on mean and central moments (chain, draw, B, M).

    That of the mean on central moments of odd order is not among them, see `energy_cumulants`.
    """

    log_z: np.ndarray
    moments: np.ndarray


def _pooled(solution: Mbar) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energies in weights and in moments, and log mixture, each (scan, K)."""
    shape = (-1, len(solution.betas))
    energy = solution.energy.reshape(shape)
    finite = np.isfinite(energy)
    return (
        np.where(finite, energy, VAST),
        np.where(finite, energy, 0.0),
        solution.log_mixture.reshape(shape),
    )


def _blocks(n_scans: int, width: int) -> list[slice]:
    step = max(1, BLOCK // width)
    return [slice(start, min(start + step, n_scans)) for start in range(0, n_scans, step)]


def central_moments(solution: Mbar, betas: np.ndarray, order: int = 2) -> Moments:
    """Find log Z and moments of the energy at betas (B,) inside the ladder.

    Examples
    --------
    >>> from pm_statmech.stats.mbar import solve_mbar
    >>> rungs = np.array([0.0, 0.2, 1.0])
    >>> energy = np.random.default_rng(1).gamma(3.0, 1 / (1 + rungs), size=(4, 500, 3))
    >>> found = central_moments(solve_mbar(energy, rungs), np.array([0.5]))
    >>> bool(abs(found.mean[0] - 3 / 1.5) < 0.1)
    True
    """
    weighing, energy, log_mixture = _pooled(solution)
    rungs = solution.betas
    # log Z is convex: the line between rungs lies above it, and no weight overflows
    above = np.interp(betas, rungs, solution.log_z)
    # sums are taken about a typical energy, so that large numbers do not cancel
    typical = np.interp(betas, rungs, np.median(energy, axis=0))
    sums = np.zeros((order + 1, len(betas)))
    for scans in _blocks(len(energy), len(betas) * len(rungs)):
        e = energy[scans].ravel()
        weights = -betas[:, None] * weighing[scans].ravel()
        weights -= log_mixture[scans].ravel()
        weights -= above[:, None]
        np.exp(weights, out=weights)
        gap = e - typical[:, None]
        for j in range(order + 1):
            sums[j] += np.sum(weights, axis=1)
            if j < order:
                weights *= gap
    total, about = sums[0], sums / sums[0]
    central = [
        np.sum([comb(j, i) * about[i] * (-about[1]) ** (j - i) for i in range(j + 1)], axis=0)
        for j in range(2, order + 1)
    ]
    return Moments(
        above + np.log(total / energy.size),
        typical + about[1],
        np.array(central).reshape(-1, len(betas)).T,
    )


def influences(solution: Mbar, betas: np.ndarray, found: Moments) -> Influences:
    r"""Influence of each scan on the moments that `central_moments` found at betas (B,).

    .. math:: \delta \mu_j = \sum_n w_n \big((E_n - U)^j - \mu_j\big)
              \Big(1 + \sum_k s_{nk}\,\delta \log Z_k\Big)

    with s_nk the share of rung k in the pooled draws at draw n, and the sum over the draws of a
    scan for its own part. In single precision, and the second part by groups of draws of nearly
    equal energy: these are error bars.
    """
    weighing, energy, log_mixture = _pooled(solution)
    n_scans, n_rungs = energy.shape
    order, n_betas = found.central.shape[1] + 1, len(betas)
    own = np.empty((order + 1, n_betas, n_scans), dtype=np.float32)
    # in standard deviations, whose powers single precision holds
    unit = np.sqrt(np.where(found.central[:, 0] > 0, found.central[:, 0], 1.0))
    for scans in _blocks(n_scans, n_betas * n_rungs):
        weighed, mixture = weighing[scans].ravel(), log_mixture[scans].ravel()
        exponent = -np.outer(betas, weighed) - found.log_z[:, None] - mixture
        weights = np.exp(np.maximum(exponent, LEAST).astype(np.float32))
        gap = ((energy[scans].ravel() - found.mean[:, None]) / unit[:, None]).astype(np.float32)
        for j in range(order + 1):
            own[j][:, scans] = np.mean(weights.reshape(n_betas, -1, n_rungs), axis=2)
            if j < order:
                weights *= gap
    lean = _lean_on_rungs(solution, betas, found)
    # deviations from the moments: the mean's own is 0
    moments = np.concatenate([np.zeros((1, n_betas)), found.central.T])[:, :, None]
    whole = own * (unit ** np.arange(order + 1)[:, None])[:, :, None]
    whole[1:] -= moments * whole[0]
    lean[1:] -= moments * lean[0]
    whole -= np.mean(whole, axis=2, keepdims=True)
    whole += lean @ solution.influence.reshape(n_scans, n_rungs).T
    shaped = np.moveaxis(whole, 2, 0).reshape(*solution.energy.shape[:2], order + 1, n_betas)
    return Influences(shaped[..., 0, :], np.moveaxis(shaped[..., 1:, :], -1, -2))


def _lean_on_rungs(solution: Mbar, betas: np.ndarray, found: Moments) -> np.ndarray:
    """Sums over draws of w (E - U)^j s_k: (M + 1, B, K), by groups of draws."""
    weighing, counts = grouped(solution.energy, GROUPS)
    energy = np.where(weighing < VAST, weighing, 0.0)
    level = solution.log_z + np.log(len(solution.betas))
    log_share = -np.outer(weighing, solution.betas) - level
    mixture = logsumexp(log_share, axis=1)
    share = np.exp(log_share - mixture[:, None])
    weights = np.exp(-np.outer(betas, weighing) - found.log_z[:, None] - mixture)
    weights *= counts / solution.energy.size
    gap = energy - found.mean[:, None]
    lean = []
    for _ in range(found.central.shape[1] + 2):
        lean.append(weights @ share)
        weights = weights * gap
    return np.array(lean)
