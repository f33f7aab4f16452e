r"""Spins that all see each other: sums over magnetisations, and integrals over fields.

Curie and Weiss: states of equal magnetisation M = n - 2k have equal weight,

.. math:: Z = \sum_{k=0}^{n} \binom{n}{k} \exp\Big(\frac{\beta M^2}{2n} + h M\Big)

Hopfield: a quadratic form of few patterns is a mean over Gaussian fields (Hubbard, Stratonovich),

.. math:: e^{\frac{\beta}{2n} \sum_\mu (\xi_\mu \cdot x)^2}
          = \Big(\frac{\beta n}{2\pi}\Big)^{p/2} \int e^{-\beta n |m|^2 / 2}
          \prod_i e^{\beta x_i \sum_\mu \xi_{\mu i} m_\mu}\, dm

so that the sum over each spin is 2 cosh; the integrand is analytic, and the trapezoidal rule on a
grid of p axes converges exponentially.

Sources: Kac (1968), in Statistical Physics, Phase Transitions and Superfluidity, 241-305; Hubbard
(1959), Phys. Rev. Lett. 3, 77-78.
"""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from numba import njit
from scipy.special import gammaln

from pm_statmech.log_partition.operations import CompiledFunction, connected

# of Gaussians of unit width: the rule's relative error is 2 exp(-2 pi^2 / STEP^2), below 1e-17
STEP, TAIL = 0.7, 9.0
MOST_TERMS = 2e8
# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 2


def log_terms(n: int, beta, field):
    """Log weights (..., n + 1) of 0, ..., n spins down, of beta (...) and field (...)."""
    k = np.arange(n + 1.0)
    M = pt.constant(n - 2.0 * k)
    log_number = pt.constant(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))
    beta, field = (pt.as_tensor_variable(v)[..., None] for v in (beta, field))
    return log_number + beta * M**2 / (2.0 * n) + field * M


def curie_weiss(n: int, beta, field):
    """Log Z (...) of beta (...) and field (...)."""
    return pt.logsumexp(log_terms(n, beta, field), axis=-1)


@njit(cache=True)
def _log_2_cosh(x):
    return abs(x) + np.log1p(np.exp(-2.0 * abs(x)))


@njit(cache=True)
def _axes(beta, patterns, counts):
    """Numbers of points to either side of 0 of each axis, beyond which Gaussians have died out."""
    n = np.sum(counts)
    points = np.empty(len(patterns), dtype=np.int64)
    for mu in range(len(patterns)):
        farthest = np.sqrt(beta / n) * np.sum(np.abs(patterns[mu]) * counts)
        points[mu] = int(np.ceil((farthest + TAIL) / STEP))
    return points


@njit(cache=True)
def _at(number, points, beta, patterns, counts, field, y, fields):
    """Log integrand at a point of the grid, which goes into y; fields (g,) of the groups."""
    n, log_f = np.sum(counts), 0.0
    for mu in range(len(points)):
        length = 2 * points[mu] + 1
        y[mu] = STEP * (number % length - points[mu])
        number //= length
        log_f -= 0.5 * y[mu] ** 2
    for g in range(len(counts)):
        total = 0.0
        for mu in range(len(points)):
            total += patterns[mu, g] * y[mu]
        fields[g] = np.sqrt(beta / n) * total + field[g]
        log_f += counts[g] * _log_2_cosh(fields[g])
    return log_f


@njit(cache=True)
def fields_of_patterns(beta, field, patterns, counts):
    """Log Z, its derivative by beta, and the mean spins (g,) of groups with equal patterns.

    Parameters
    ----------
    beta
        of the quadratic form, > 0; field : (g,), beta times the user's; patterns : (p, g); counts :
        (g,) spins in each group.
    """
    p, groups = patterns.shape
    n = np.sum(counts)
    if not (beta > 0.0 and beta < np.inf and np.all(np.isfinite(field))):
        return np.nan, np.nan, np.full(groups, np.nan)
    points = _axes(beta, patterns, counts)
    n_points = np.prod(2 * points + 1)
    # a random beta may be so large that nobody would wait for the grid
    if np.prod(2.0 * points + 1.0) * groups > MOST_TERMS:
        return np.nan, np.nan, np.full(groups, np.nan)
    y, fields = np.empty(p), np.empty(groups)
    top, total, slope, means = -np.inf, 0.0, 0.0, np.zeros(groups)
    for number in range(n_points):
        log_f = _at(number, points, beta, patterns, counts, field, y, fields)
        if log_f > top:
            shrink = np.exp(top - log_f)
            total *= shrink
            slope *= shrink
            means *= shrink
            top = log_f
        weight = np.exp(log_f - top)
        total += weight
        if weight < 1e-20 * total:
            continue
        for g in range(groups):
            mean = np.tanh(fields[g])
            means[g] += weight * mean
            slope += weight * counts[g] * mean * (fields[g] - field[g]) / (2.0 * beta)
    # of the diagonal, which is not coupled
    diagonal = 0.0
    for g in range(groups):
        for mu in range(p):
            diagonal += counts[g] * patterns[mu, g] ** 2 / (2.0 * n)
    log_z = top + np.log(total) + p * np.log(STEP / np.sqrt(2.0 * np.pi)) - beta * diagonal
    return log_z, slope / total - diagonal, means / total


@njit(cache=True)
def draws_of_patterns(beta, field, patterns, counts, group, u):
    """Spins (N, n) by uniform numbers (N, 1 + n): a point of the grid, then each spin given it."""
    points = _axes(beta, patterns, counts)
    n_points = np.prod(2 * points + 1)
    y, fields = np.empty(len(patterns)), np.empty(len(counts))
    log_f = np.empty(n_points)
    for number in range(n_points):
        log_f[number] = _at(number, points, beta, patterns, counts, field, y, fields)
    cumulative = np.cumsum(np.exp(log_f - np.max(log_f)))
    drawn = np.empty((len(u), len(group)))
    for i in range(len(u)):
        number = np.searchsorted(cumulative, u[i, 0] * cumulative[-1], side="right")
        _at(min(number, n_points - 1), points, beta, patterns, counts, field, y, fields)
        for k in range(len(group)):
            up = 1.0 / (1.0 + np.exp(-2.0 * fields[group[k]]))
            drawn[i, k] = 1.0 if u[i, 1 + k] < up else -1.0
    return drawn


class FieldsOfPatterns(CompiledFunction):
    """Log Z, its slope in beta and mean spins, see `fields_of_patterns`."""

    gufunc_signature = "(),(g),(p,g),(g)->(),(),(g)"
    kernel = staticmethod(fields_of_patterns)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Slope and means of all spins of a group; patterns are constants."""
        _, slope, means = outputs
        counts = inputs[3]
        if any(connected(cotangents)[1:]):
            return self.no_derivatives(inputs, "second derivatives of log Z of patterns")
        constants = self.no_derivatives(inputs, "patterns are constants")[2:]
        return [cotangents[0] * slope, cotangents[0] * means * counts, *constants]


class DrawsOfPatterns(CompiledFunction):
    """Spins by uniform numbers, see `draws_of_patterns`."""

    gufunc_signature = "(),(g),(p,g),(g),(n),(k,u)->(k,n)"
    kernel = staticmethod(draws_of_patterns)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Draws have no derivative."""
        return self.no_derivatives(inputs, "a draw's derivative")
