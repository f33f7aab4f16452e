"""Terms of a sum, of exponents of statistics at points, and what follows from them.

Kernels, for the engines that choose the points: `quadrature` and `lattice`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

# e^-45 of the largest term is not counted
NEGLIGIBLE = 45.0
# of terms of a statistic at an end, relative to its sum
DIED_OUT = 1e-7


class Terms(NamedTuple):
    """Terms of a sum, at n points.

    Parameters
    ----------
    t
        (n,) where they are; pieces : (P, 6) of each piece of them, the first one's number and what
        lies between two, and a rule's centre, scale and ends.
    T
        (n, m) statistics, finite; log_terms : (n,) logs of what they add to the sum.
    error
        relative, estimated or a bound; diverges : whether the sum is infinite; converged : whether
        the error is small enough.
    """

    t: np.ndarray
    pieces: np.ndarray
    T: np.ndarray
    log_terms: np.ndarray
    error: float
    diverges: bool
    converged: bool


@njit(cache=True, error_model="numpy")
def even(low, high, n):
    """Even points (n,) from low to high."""
    found = np.empty(n)
    for i in range(n):
        found[i] = low + (high - low) * (i / (n - 1))
    return found


@njit(cache=True, error_model="numpy")
def add_exponents(log_terms, T, weights):
    """Add statistics (n, m) times weights (k,) to log_terms (n,), and return finite statistics.

    The first k <= m statistics have weights. A sum that is no number, as of x^2 - x^4 far out,
    counts as -inf. Where the sum is infinite, statistics are 0.
    """
    T = np.ascontiguousarray(T)
    own = False
    for i in range(len(log_terms)):
        exponent, finite = 0.0, True
        for k in range(len(weights)):
            exponent += weights[k] * T[i, k]
        for k in range(T.shape[1]):
            finite = finite and np.isfinite(T[i, k])
        if not np.isfinite(exponent):
            exponent = np.inf if exponent == np.inf else -np.inf
        if not finite:
            if not own:
                T, own = T.copy(), True
            T[i] = 0.0
        # -inf + inf: what has no weight stays without
        log_terms[i] = -np.inf if log_terms[i] == -np.inf else log_terms[i] + exponent
    return T


@njit(cache=True, error_model="numpy")
def narrowed(log_terms, low, high):
    """Ends of where log terms on n even points from low to high are not negligible."""
    n = len(log_terms)
    least = np.max(log_terms) - NEGLIGIBLE
    left, right = 0, n - 1
    while left < n and not log_terms[left] > least:
        left += 1
    if left == n:
        # all are -inf, or some NaN: nothing tells where to look
        return low, high
    while not log_terms[right] > least:
        right -= 1
    step = (high - low) / (n - 1)
    return max(low, low + step * (left - 1)), min(high, low + step * (right + 1))


@njit(cache=True, error_model="numpy")
def woven(at_ends, between):
    """Values at ends (n + 1, ...) and between them (n, ...), in order (2 n + 1, ...)."""
    both = np.empty((len(at_ends) + len(between), *at_ends.shape[1:]))
    both[::2] = at_ends
    both[1::2] = between
    return both


@njit(cache=True, error_model="numpy")
def log_sum(log_terms):
    """Log of the sum of e^log_terms (n,)."""
    top = np.max(log_terms)
    if not np.isfinite(top):
        return top
    total = 0.0
    for one in log_terms:
        total += np.exp(one - top)
    return top + np.log(total)


@njit(cache=True, error_model="numpy")
def first_moments(found):
    """Log Z, E[T] (m,) and the error of Terms; +inf where they diverge, NaN if not converged.

    E[T] is NaN as well where the terms of T have not died out at an end, as of x under heavy tails.
    """
    n, m = found.T.shape
    mean = np.full(m, np.nan)
    if found.diverges:
        return np.inf, mean, found.error
    if not found.converged:
        return np.nan, mean, found.error
    mean[:] = 0.0
    top, total = np.max(found.log_terms), 0.0
    size = np.zeros(m)
    for i in range(n):
        p = np.exp(found.log_terms[i] - top)
        total += p
        for k in range(m):
            mean[k] += p * found.T[i, k]
            size[k] += p * abs(found.T[i, k])
    for i, bound in ((0, found.pieces[0, 4]), (n - 1, found.pieces[-1, 5])):
        p = np.exp(found.log_terms[i] - top)
        step = found.pieces[0, 1] if i == 0 else found.pieces[-1, 1]
        # nothing lies beyond a table, or an integer that is the last
        if step > 0.0 and found.t[i] != bound:
            for k in range(m):
                # beyond an end terms fall off within a unit of t at best
                if not p * abs(found.T[i, k]) <= DIED_OUT * min(step, 1.0) * size[k]:
                    mean[k] = np.nan
    return top + np.log(total), mean / total, found.error


@njit(cache=True, error_model="numpy")
def second_moments(found):
    """Cov[T] (m, m) of Terms, NaN where they are no sum."""
    n, m = found.T.shape
    log_z, mean, _ = first_moments(found)
    covariance = np.zeros((m, m))
    for i in range(n):
        p = np.exp(found.log_terms[i] - log_z)
        for k in range(m):
            lean = p * (found.T[i, k] - mean[k])
            for l in range(k + 1):
                covariance[k, l] += lean * (found.T[i, l] - mean[l])
    for k in range(m):
        covariance[:k, k] = covariance[k, :k]
    return covariance


@njit(cache=True, error_model="numpy")
def third_moments_along(found, G):
    r"""Third central moments of T with a matrix, (m,), of Terms and G (m, m).

    .. math:: E[(T - \mu)\, (T - \mu)^\top G\, (T - \mu)]
    """
    n, m = found.T.shape
    log_z, mean, _ = first_moments(found)
    along = np.zeros(m)
    for i in range(n):
        p = np.exp(found.log_terms[i] - log_z)
        lean = found.T[i] - mean
        form = 0.0
        for k in range(m):
            for l in range(m):
                form += lean[k] * G[k, l] * lean[l]
        along += p * form * lean
    return along
