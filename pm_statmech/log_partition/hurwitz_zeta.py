r"""Sums of powers without end: the Hurwitz zeta function, with two derivatives, and its inverse.

.. math:: \zeta(s, q) = \sum_{k \ge 0} (q + k)^{-s}
          = \sum_{k < N} (q + k)^{-s} + \frac{x^{1 - s}}{s - 1} + \frac{x^{-s}}{2}
          + \sum_{j \ge 1} \frac{B_{2j}}{(2j)!}\, s (s + 1) \cdots (s + 2j - 2)\, x^{-s - 2j + 1}

with x = q + N, by Euler and Maclaurin, and so A(s) = log zeta(s, q) of the distribution of powers,
A' = -E[log k] and A'' = Var log k. Terms are relative to the first, which no power makes vanish.

Source: DLMF 25.11.28.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.log_partition.operations import CompiledFunction, connected

# B_2j / (2j)!
COEFFICIENTS = np.array(
    [1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000,
     1 / 74724249600, -3617 / 10670622842880000]
)  # fmt: skip
# x from which the expansion is good for small powers, and what a term must add to matter
LEAST_X, NEGLIGIBLE = 12.0, 1e-18
# the largest integer that double precision tells from the next
LARGEST = 2.0**53
# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 1


@njit(cache=True, error_model="numpy")
def log_zeta(s, q):
    """Log zeta(s, q) and its first and second derivative in s; NaN unless s > 1 and q > 0."""
    if not (1.0 < s < np.inf and 0.0 < q < np.inf):
        return np.nan, np.nan, np.nan
    total, first, second = 0.0, 0.0, 0.0
    x = q
    while x < LEAST_X + s:
        log_x = np.log(x / q)
        term = np.exp(-s * log_x)
        total += term
        first -= term * log_x
        second += term * log_x**2
        x += 1.0
        if term * (1.0 + log_x**2) * x < NEGLIGIBLE * (s - 1.0):
            break
    # everything by its logarithmic derivatives in s: d log term and d^2 log term
    log_x, power = np.log(x / q), np.exp(-s * np.log(x / q))
    term, slope, bend = power * x / (s - 1.0), -log_x - 1.0 / (s - 1.0), 1.0 / (s - 1.0) ** 2
    total += term
    first += term * slope
    second += term * (slope**2 + bend)
    total += 0.5 * power
    first -= 0.5 * power * log_x
    second += 0.5 * power * log_x**2
    rising, slope, bend = power * s / x, 1.0 / s - log_x, -1.0 / s**2
    for j in range(len(COEFFICIENTS)):
        term = COEFFICIENTS[j] * rising
        total += term
        first += term * slope
        second += term * (slope**2 + bend)
        for factor in (s + 2.0 * j + 1.0, s + 2.0 * j + 2.0):
            rising *= factor / x
            slope += 1.0 / factor
            bend -= 1.0 / factor**2
    mean = first / total
    return np.log(total) - s * np.log(q), mean - np.log(q), second / total - mean**2


@njit(cache=True, error_model="numpy")
def rank_above(s, u):
    """The least k with P(rank > k) <= u, where P(rank = k) is k^-s / zeta(s); NaN above 2^53."""
    whole = log_zeta(s, 1.0)[0]
    wanted = np.log(u) + whole
    if not log_zeta(s, LARGEST)[0] <= wanted:
        return np.nan
    low, high = 0.0, 1.0
    while log_zeta(s, high + 1.0)[0] > wanted:
        low, high = high, 2.0 * high
    while high - low > 1.0:
        middle = np.floor(0.5 * (low + high))
        if log_zeta(s, middle + 1.0)[0] > wanted:
            low = middle
        else:
            high = middle
    return high


class LogZeta(CompiledFunction):
    """Log zeta(s, q) and its first and second derivative in s; see `log_zeta`."""

    gufunc_signature = "(),()->(),(),()"
    kernel = staticmethod(log_zeta)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Derivatives in s; q, a count, has none."""
        s = inputs[0]
        _, first, second = outputs
        with_log_z, with_first, with_second = connected(cotangents)
        if with_second:
            return self.no_derivatives(inputs, "third derivatives of log zeta")
        to_s = first * cotangents[0] if with_log_z else s.zeros_like()
        if with_first:
            to_s = to_s + second * cotangents[1]
        return [to_s, *self.no_derivatives(inputs, "log zeta by its offset")[1:]]


class RankAbove(CompiledFunction):
    """The rank whose upper tail is first below a uniform number; see `rank_above`."""

    gufunc_signature = "(),()->()"
    kernel = staticmethod(rank_above)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Draws have no derivative."""
        return self.no_derivatives(inputs, "a draw's derivative")
