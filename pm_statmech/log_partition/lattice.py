r"""Sums over all integers on a side, or on both, with a bound on what is left out.

.. math:: A(\eta) = \log \sum_{k} h(k)\, e^{\eta \cdot T(k)}

Integers that count are found by grids in log(1 + |k|) that each look closer at what the last one
left. Up to a million are summed one by one. Where there are more than 1024 that fall off on both
sides and are smooth, 1024 points spread over them serve as well: half their number gives the same
sum to within the square root of the error, which is the estimate. Terms are smooth if 64 integers
in a row, and the halves between them, have second differences below .01; a statistic that tells
integers apart, as x % 10 does, is not. Nor may half of the points give another E[T], as they would
of a step. Beyond the last, K, where ratios of neighbours no longer grow,

.. math:: \sum_{k > K} f(k) \le f(K)\, \frac{r}{1 - r}, \qquad
          r = \max_{k \ge K} \frac{f(k + 1)}{f(k)}

with the largest ratio r among K and points ever further out; so too below the first.

Source: Shmueli, Minka, Kadane, Borle, Boatwright (2005), Appl. Statist. 54(1), for the bound.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.log_partition.terms import Terms, add_exponents, even, log_sum, narrowed

FIRST_GRID, NEXT_GRID, MOST_GRIDS = 65, 17, 30
# grids that leave more than this share of their window look no closer
SETTLED = 0.6
# more integers than the first are replaced by as many even points, if they may be
N_EVEN, MOST_TERMS = 1024, 2**20
# how far out terms are looked for, as log(1 + |k|)
LOG_LARGEST = np.log(1e12)
FURTHER = np.round(np.geomspace(1.0, 1e12, 17)) - 1.0
ACCEPTED, ROUNDING, UNEVEN = 1e-10, 1e-14, 1e-9
# 64 integers in a row and the halves between them, whose terms have second differences below this
HALVES, ROUGH = 0.5 * np.arange(129.0) - 32.0, 0.01


@njit(cache=True, error_model="numpy")
def integers(s, low, high):
    """Integers at s (n,) = +- log(1 + distance) from a finite end, or from 0."""
    k = np.empty_like(s)
    for i in range(len(s)):
        distance = np.round(np.expm1(abs(s[i])))
        if np.isfinite(low):
            k[i] = low + distance
        elif np.isfinite(high):
            k[i] = high - distance
        else:
            k[i] = distance if s[i] > 0.0 else -distance
    return k


@njit(cache=True, error_model="numpy")
def blank(k, low, high):
    """Integers (n,) moved into the support, and log terms: 0 where they were inside, or -inf."""
    inside, log_terms = np.empty_like(k), np.zeros_like(k)
    for i in range(len(k)):
        inside[i] = min(max(k[i], low), high)
        if inside[i] != k[i]:
            log_terms[i] = -np.inf
    return inside, log_terms


@njit(cache=True, error_model="numpy")
def between(lowest, highest, is_even):
    """Integers from lowest to highest, or even points."""
    if is_even:
        return even(lowest, highest, N_EVEN)
    return lowest + np.arange(highest - lowest + 1.0)


@njit(cache=True, error_model="numpy")
def is_rough(log_terms):
    """Whether second differences of a row of log terms are large."""
    return not np.max(np.abs(np.diff(np.diff(log_terms)))) <= ROUGH


@njit(cache=True, error_model="numpy")
def tail(at_end, steps, log_total):
    """Bound on the tail relative to the sum, and whether the tail is infinite.

    Parameters
    ----------
    at_end
        log of the last term; steps : (n,) logs of ratios of neighbours from there on.
    """
    largest = farthest = -np.inf
    for step in steps:
        # NaN where both terms are 0
        largest = step if step > largest else largest
        farthest = step if not np.isnan(step) else farthest
    if largest >= 0.0:
        return np.inf, farthest >= 0.0
    if at_end == -np.inf or largest == -np.inf:
        return 0.0, False
    return np.exp(at_end - log_total) / np.expm1(-largest), False


@njit(cache=True, error_model="numpy")
def are_uneven(T, log_terms):
    """Whether half of the even points give other means of the statistics (n, m)."""
    top = np.max(log_terms)
    for k in range(T.shape[1]):
        total, half, mean, of_half, square = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(len(log_terms)):
            p = np.exp(log_terms[i] - top)
            total += p
            mean += p * T[i, k]
            square += p * T[i, k] ** 2
            if i % 2 == 0:
                half += p
                of_half += p * T[i, k]
        mean, of_half = mean / total, of_half / half
        if abs(of_half - mean) > UNEVEN * np.sqrt(square / total):
            return True
    return False


def terms_of(statistics, n_own):
    """Function (weights (m,), low, high, fewest) -> Terms.

    Of a function of points (n,) and weights -> (statistics (n, m),), of which the exponent is the
    first n_own by their weights; the others are only averaged.

    How many terms there are follows from the weights, and not from `fewest`.
    """

    def terms(weights, low, high, fewest):
        own = weights[:n_own]
        last = np.log1p(high - low) if np.isfinite(low) and np.isfinite(high) else LOG_LARGEST
        last = min(last, LOG_LARGEST)
        first = 0.0 if np.isfinite(low) or np.isfinite(high) else -last
        n, width = FIRST_GRID, 0.0
        for _ in range(MOST_GRIDS):
            k, log_terms = blank(integers(even(first, last, n), low, high), low, high)
            add_exponents(log_terms, statistics(k, weights)[0], own)
            width = last - first
            first, last = narrowed(log_terms, first, last)
            n = NEXT_GRID
            if last - first > SETTLED * width:
                break
        ends = integers(np.array([first, last]), low, high)
        lowest, highest = max(np.min(ends), low), min(np.max(ends), high)
        is_even = highest - lowest >= N_EVEN and lowest > low and highest < high
        too_many = highest - lowest >= MOST_TERMS
        error = 0.0
        if is_even:
            # k and log_terms are those of the closest grid
            around, log_row = blank(k[np.argmax(log_terms)] + HALVES, low, high)
            add_exponents(log_row, statistics(around, weights)[0], own)
            if is_rough(log_row):
                is_even = False
        for _ in range(2):
            if too_many and not is_even:
                error, highest = np.inf, lowest + N_EVEN - 1.0
            states, log_terms = blank(between(lowest, highest, is_even), low, high)
            step = states[1] - states[0] if is_even else 1.0
            log_terms += np.log(step)
            T = add_exponents(log_terms, statistics(states, weights)[0], own)
            if not (is_even and are_uneven(T, log_terms)):
                break
            is_even = False
        total = log_sum(log_terms)
        if is_even:
            error = np.expm1(log_sum(log_terms[::2]) + np.log(2.0) - total) ** 2
        diverges = total == np.inf
        for end, sign, bound in ((-1, 1.0, high), (0, -1.0, low)):
            if states[end] != bound:
                far, log_far = blank(states[end] + sign * FURTHER, low, high)
                farther, log_farther = blank(far + sign, low, high)
                add_exponents(log_far, statistics(far, weights)[0], own)
                add_exponents(log_farther, statistics(farther, weights)[0], own)
                of_tail, is_infinite = tail(log_terms[end], log_farther - log_far, total)
                error += of_tail
                diverges = diverges or (is_infinite and np.isinf(bound))
        # no sum is better than the rounding of its largest exponent
        converged = error <= ACCEPTED + ROUNDING * abs(total)
        pieces = np.array([[0.0, step, 0.0, 1.0, low, high]])
        return Terms(states, pieces, T, log_terms, error, diverges, converged)

    return terms


@njit(cache=True, error_model="numpy")
def inverse(found, u):
    """First integers at which the cumulative probability exceeds u (n,); NaN without a sum."""
    if found.diverges or not found.converged:
        return np.full(len(u), np.nan)
    p = np.exp(found.log_terms - np.max(found.log_terms))
    cumulative = np.cumsum(p)
    drawn, step = np.empty(len(u)), found.pieces[0, 1]
    for i in range(len(u)):
        wanted = u[i] * cumulative[-1]
        j = min(np.searchsorted(cumulative, wanted, side="right"), len(p) - 1)
        # where a point stands for several integers, the rest of u says for which
        above = (cumulative[j] - wanted) / p[j] if step > 1.0 else 0.5
        drawn[i] = np.round(found.t[j] + step * (0.5 - above))
    return drawn
