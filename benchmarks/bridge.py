r"""Bridge sampling from posterior draws to a Gaussian, as the peer of a method that tempers.

With draws x of the posterior p = p* / Z and y of a normalised q, and the shares s1, s2 of
effective draws, the iteration

.. math:: \hat Z \leftarrow
    \frac{\frac1{n_2} \sum_j \frac{p^*(y_j)}{s_1 p^*(y_j) + s_2 \hat Z q(y_j)}}
         {\frac1{n_1} \sum_i \frac{q(x_i)}{s_1 p^*(x_i) + s_2 \hat Z q(x_i)}}

converges to the optimal bridge. Sources: Meng and Wong (1996), Statistica Sinica 6; the relative
error of Fruhwirth-Schnatter (2004), Econometrics Journal 7, with the draws' autocorrelation;
fitting q on draws that are not evaluated, Overstall and Forster (2010).
"""

from __future__ import annotations

from collections.abc import Callable

import arviz as az
import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

TOLERANCE = 1e-10
MAX_ITERATIONS = 1000


def _log_gaussian(x: np.ndarray, mean: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Log density of N(mean, L L') at points (n, d)."""
    white = solve_triangular(factor, (x - mean).T, lower=True)
    constant = np.sum(np.log(np.diag(factor))) + 0.5 * len(mean) * np.log(2 * np.pi)
    return -0.5 * np.sum(white**2, axis=0) - constant


def bridge(
    x: np.ndarray, log_density: Callable[[np.ndarray], float], rng: np.random.Generator
) -> tuple[float, float]:
    """Log Z and its error, from unconstrained draws (chain, draw, d) and log p*.

    The Gaussian is fitted on the first half of every chain, and evaluated on the second.
    """
    chains, n_draws, d = x.shape
    fitted_on = x[:, : n_draws // 2].reshape(-1, d)
    kept = x[:, n_draws // 2 :]
    points = kept.reshape(-1, d)
    mean = np.mean(fitted_on, axis=0)
    factor = np.linalg.cholesky(np.atleast_2d(np.cov(fitted_on, rowvar=False)))
    drawn = mean + rng.standard_normal(points.shape) @ factor.T
    # log p* / q at both sets of draws; a point outside the support weighs nothing
    at_draws, at_reference = (
        np.array([log_density(point) for point in each]) - _log_gaussian(each, mean, factor)
        for each in (points, drawn)
    )
    at_reference = np.where(np.isnan(at_reference), -np.inf, at_reference)
    effective = min(float(az.ess(at_draws.reshape(chains, -1))), len(points))
    log_s1 = np.log(effective / (effective + len(drawn)))
    log_s2 = np.log(len(drawn) / (effective + len(drawn)))

    def terms(log_z: float) -> tuple[np.ndarray, np.ndarray]:
        """Logs of the summands above and below, both divided by their mean up to Z."""
        above = at_reference - np.logaddexp(log_s1 + at_reference, log_s2 + log_z)
        below = -np.logaddexp(log_s1 + at_draws, log_s2 + log_z)
        return above, below

    log_z = float(np.median(at_draws))
    for _ in range(MAX_ITERATIONS):
        above, below = terms(log_z)
        update = logsumexp(above) - logsumexp(below) - np.log(len(drawn) / len(points))
        done = abs(update - log_z) < TOLERANCE
        log_z = float(update)
        if done:
            break
    above, below = (np.exp(t - np.max(t)) for t in terms(log_z))
    below_effective = float(az.ess(below.reshape(chains, -1)))
    relative = np.var(above) / np.mean(above) ** 2 / len(drawn)
    relative += np.var(below) / np.mean(below) ** 2 / below_effective
    return log_z, float(np.sqrt(relative))
