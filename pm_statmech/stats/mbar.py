r"""All rungs at once: the multistate Bennett acceptance ratio (MBAR), by damped Newton.

With draws n of all rungs pooled, N_j of them from rung j, the log partition functions solve

.. math:: Z(\beta_k) = \sum_n \frac{e^{-\beta_k E_n}}{\sum_j N_j\, e^{-\beta_j E_n} / Z(\beta_j)}

which is the optimum of a convex function of log Z. The same sum gives log Z, and any
mean, at every beta inside the ladder:

.. math:: w_n(\beta) \propto \frac{e^{-\beta E_n}}{\sum_j N_j\, e^{-\beta_j E_n} / Z(\beta_j)},
          \qquad E_\beta[A] = \sum_n w_n(\beta)\, A_n

Errors come from each scan's influence on the estimate, summed over the rungs of the scan before
the effective sample size is taken, so that autocorrelation and swaps are in them. (The
asymptotic covariance of the original paper holds for independent draws only.)

Sources: Shirts and Chodera (2008), J. Chem. Phys. 129, 124105; Kong, McCullagh, Meng, Nicolae,
Tan (2003), JRSS B 65(3); Geyer (1994), Tech. Rep. 568, Minnesota, for correlated draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from pm_statmech.errors import EvidenceError
from pm_statmech.stats.evidence import pair_ratios

MAX_NEWTON = 100
TOLERANCE = 1e-11
MAX_RESIDUAL = 1e-6
# draws at a time, whose shares of every rung stay in the processor's cache
CHUNK = 2048
# draws times rungs whose shares are kept, 256 MB of them
KEPT_SHARES = 64_000_000
# stands for an infinite energy: it has weight 0 at every beta > 0, and times beta = 0 it is 0
VAST = 1e300
# the least log weight that single precision holds
LEAST = -80.0
# of draws of nearly equal energy: for error bars, and for Newton's start
GROUPS, START_GROUPS = 8192, 32_768


@dataclass(frozen=True)
class Mbar:
    """Pooled rungs with their log partition functions.

    Parameters
    ----------
    betas
        (K,) rungs.
    log_z
        (K,) log Z(beta_k) / Z(beta_0).
    energy
        (chain, draw, K) energies, which may be infinite at beta = 0.
    log_mixture
        (chain, draw, K) log (1/K) sum_j e^{-beta_j E} / Z(beta_j), the density of the pooled
        draws relative to pi_0.
    influence
        (chain, draw, K) of each scan on log_z, of mean 0.
    """

    betas: np.ndarray
    log_z: np.ndarray
    energy: np.ndarray
    log_mixture: np.ndarray
    influence: np.ndarray

    def share_blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Share of every rung in the mixture at the pooled draws (n, K), some scans at a time.

        In single precision: what they are for is error bars.
        """
        if self.energy.size * len(self.betas) <= KEPT_SHARES:
            yield slice(0, self.energy.size), self.shares
            return
        step = len(self.betas) * max(1, CHUNK // len(self.betas))
        for start in range(0, self.energy.size, step):
            part = slice(start, start + step)
            yield part, self._shares(part)

    @cached_property
    def shares(self) -> np.ndarray:
        """All shares (n, K) of the pooled draws."""
        found = np.empty((self.energy.size, len(self.betas)), dtype=np.float32)
        for start in range(0, self.energy.size, CHUNK):
            found[start : start + CHUNK] = self._shares(slice(start, start + CHUNK))
        return found

    def _shares(self, part: slice) -> np.ndarray:
        energy, mixture = self.energy.reshape(-1)[part], self.log_mixture.reshape(-1)[part]
        exponent = np.outer(np.where(np.isfinite(energy), energy, VAST), -self.betas)
        exponent -= self.log_z + np.log(len(self.betas))
        exponent -= mixture[:, None]
        return np.exp(np.maximum(exponent, LEAST, out=exponent).astype(np.float32))

    def lean(self, values: np.ndarray) -> np.ndarray:
        """How sums of values (chain, draw, K, ...) lean on each log Z(beta_k): (K, ...)."""
        flat = values.reshape(self.energy.size, -1)
        found = sum(share.T @ flat[part].astype(np.float32) for part, share in self.share_blocks())
        return np.asarray(found, dtype=np.float64).reshape(len(self.betas), *values.shape[3:])


@dataclass(frozen=True)
class Reweighting:
    """Pooled draws seen at one beta.

    Parameters
    ----------
    beta
        inverse temperature; log_z : log Z(beta) / Z(beta_0).
    weights
        (chain, draw, K), of sum 1.
    influence
        (chain, draw) of each scan on log_z, of mean 0.
    """

    beta: float
    log_z: float
    weights: np.ndarray
    influence: np.ndarray


def _tempered(energy: np.ndarray, beta: float) -> np.ndarray:
    """-beta E, and 0 at beta = 0 even where E is infinite."""
    return np.zeros_like(energy) if beta == 0 else -beta * energy


def grouped(energy: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean energy (G,) of groups of draws of nearly equal energy, and how many are in each.

    Sums of smooth functions over groups are those over draws but for the square of the width of a
    group: near enough for error bars. Infinite energies are a group of their own, at 1e300.

    Examples
    --------
    >>> grouped(np.array([3.0, np.inf, 1.0, 1.0]), 2)
    (array([1.e+000, 3.e+000, 1.e+300]), array([2, 1, 1]))
    """
    ordered = np.sort(energy, axis=None)
    finite = ordered[np.isfinite(ordered)]
    n_groups = min(n_groups, len(finite))
    edges = -(-len(finite) * np.arange(n_groups + 1) // max(n_groups, 1))
    counts = np.diff(edges)
    means = np.add.reduceat(finite, edges[:-1]) / counts
    n_infinite = len(ordered) - len(finite)
    if n_infinite:
        means, counts = np.append(means, VAST), np.append(counts, n_infinite)
    return means, counts


def _sums(flat: np.ndarray, betas: np.ndarray, log_z: np.ndarray, counts: np.ndarray | None = None):
    """F, the mean share of each rung (K,), the Hessian (K, K), and the log mixture (n,).

    Of draws, or of groups of so many draws each.
    """
    n_rungs = len(betas)
    weight = None if counts is None else counts * (len(flat) / np.sum(counts))
    log_mixture = np.empty(len(flat))
    share_sum, products = np.zeros(n_rungs), np.zeros((n_rungs, n_rungs))
    for start in range(0, len(flat), CHUNK):
        part = flat[start : start + CHUNK]
        terms = np.stack([_tempered(part, b) for b in betas]) - (log_z + np.log(n_rungs))[:, None]
        top = np.max(terms, axis=0)
        share = np.exp(terms - top)
        total = np.sum(share, axis=0)
        share /= total
        log_mixture[start : start + CHUNK] = top + np.log(total)
        weighted = share if weight is None else share * weight[start : start + CHUNK]
        share_sum += np.sum(weighted, axis=1)
        products += weighted @ share.T
    mean_share = share_sum / len(flat)
    hessian = np.diag(mean_share) - products / len(flat)
    value = np.average(log_mixture, weights=weight) + np.mean(log_z)
    return float(value), mean_share, hessian, log_mixture


def _newton(flat: np.ndarray, betas: np.ndarray, log_z: np.ndarray, counts=None):
    """Minimise F by Newton steps that are halved until F falls: log_z, and what `_sums` says."""
    at = _sums(flat, betas, log_z, counts)
    for _ in range(MAX_NEWTON):
        value, mean_share, hessian, _ = at
        gradient = 1.0 / len(betas) - mean_share
        if np.max(np.abs(gradient)) < TOLERANCE:
            break
        # adding a constant to every log Z changes nothing: z_0 stays 0
        step = np.zeros(len(betas))
        step[1:] = np.linalg.lstsq(hessian[1:, 1:], -gradient[1:], rcond=None)[0]
        length = 1.0
        trial = _sums(flat, betas, log_z + step, counts)
        while not trial[0] <= value + 1e-13 * (1 + abs(value)) and length > 1e-8:
            length /= 2
            trial = _sums(flat, betas, log_z + length * step, counts)
        if length <= 1e-8:
            break
        log_z, at = log_z + length * step, trial
    return log_z, at


def solve_mbar(energy: np.ndarray, betas: np.ndarray) -> Mbar:
    r"""Solve the MBAR equations for energies (chain, draw, K), as many at each rung.

    Starts from the stepping stones, and takes Newton steps, of many draws first on groups of
    nearly equal energy, on the convex function

    .. math:: F(z) = \frac1N \sum_n \log \sum_j e^{-\beta_j E_n - z_j} + \frac1K \sum_j z_j

    halved until F falls.

    Raises
    ------
    EvidenceError
        the equations have no solution in floating point: neighbouring rungs do not overlap.
    """
    n_rungs = len(betas)
    with np.errstate(divide="ignore", invalid="ignore"):
        # rungs that do not overlap have no error here, and are refused below by their residual
        start = pair_ratios(energy, betas)
    log_z = np.concatenate([[0.0], np.cumsum(start.log_ratio)])
    flat = energy.reshape(-1)
    if len(flat) > 2 * START_GROUPS:
        means, counts = grouped(flat, START_GROUPS)
        log_z, _ = _newton(means, betas, log_z, counts)
    log_z, (_, mean_share, hessian, log_mixture) = _newton(flat, betas, log_z)
    residual = np.max(np.abs(1.0 / n_rungs - mean_share))
    if not residual < MAX_RESIDUAL:
        raise EvidenceError(
            f"MBAR did not converge over {n_rungs} rungs (residual {residual:.1e}): neighbouring "
            "rungs hardly overlap. Add rungs with betas=, or tune longer; stepping_stone shows "
            "the pair."
        )
    solved = Mbar(betas, log_z, energy, log_mixture.reshape(energy.shape), np.zeros(energy.shape))
    # each scan moves the mean shares by their deviation from the means of its own rungs
    moved = np.concatenate(
        [share.reshape(-1, n_rungs, n_rungs).mean(axis=1) for _, share in solved.share_blocks()]
    ).astype(np.float64)
    moved -= np.mean(moved, axis=0)
    solved.influence[..., 1:] = (moved[:, 1:] @ _inverse(hessian).T).reshape(
        *energy.shape[:2], n_rungs - 1
    )
    return solved


def _inverse(hessian: np.ndarray) -> np.ndarray:
    """Inverse of the Hessian where z_0 stays 0."""
    return np.linalg.pinv(hessian[1:, 1:])


def sample_influence(solved: Mbar, k: int) -> np.ndarray:
    """Influence of each draw (chain, draw, K), not only of each scan, on log Z(beta_k)."""
    betas = solved.betas
    hessian = _sums(solved.energy.reshape(-1), betas, solved.log_z)[2]
    row = np.append(0.0, _inverse(hessian)[k - 1])
    own = np.concatenate([share @ row.astype(np.float32) for _, share in solved.share_blocks()])
    influence = own.astype(np.float64).reshape(solved.energy.shape)
    return (influence - np.mean(influence, axis=(0, 1))) / len(betas)


def _centred_by_rung(values: np.ndarray) -> np.ndarray:
    """Deviation of each scan (chain, draw) of values (chain, draw, K) from its rungs' means."""
    return np.mean(values - np.mean(values, axis=(0, 1)), axis=2)


def at_beta(solution: Mbar, beta: float) -> Reweighting:
    """Weights and log Z at any beta inside the ladder."""
    log_weights = _tempered(solution.energy, beta) - solution.log_mixture
    count = solution.energy.size
    total = float(logsumexp(log_weights))
    weights = np.exp(log_weights - total)
    # log Z(beta) moves with each draw's own weight, and with every log Z(beta_k) it leans on
    influence = _centred_by_rung(weights * count)
    influence += solution.influence @ solution.lean(weights)
    return Reweighting(beta, total - np.log(count), weights, influence)


def mean_at(solution: Mbar, found: Reweighting, values: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean of values (chain, draw, K) at a beta, and each scan's influence (chain, draw) on it."""
    usable = np.where(found.weights > 0, values, 0.0)
    mean = float(np.sum(found.weights * usable))
    deviation = np.where(found.weights > 0, found.weights * (usable - mean), 0.0)
    influence = _centred_by_rung(deviation * values.size)
    return mean, influence + solution.influence @ solution.lean(deviation)
