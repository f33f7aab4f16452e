r"""One-dimensional integrals by the double-exponential rule, where the integrand is not negligible.

.. math:: A(\eta) = \log \int_a^b h(x)\, e^{\eta \cdot T(x)}\, dx
          = \log \int g(t)\, dt, \qquad g(t) = h(x)\, e^{\eta \cdot T(x)}\, x'(t)

======================= ===================================================
a, b finite             x = a + (b - a) / (1 + e^{-\pi \sinh t})
a finite, b infinite    x = a + e^{(\pi/2) \sinh t}
a infinite, b finite    x = b - e^{-(\pi/2) \sinh t}
both infinite           x = \sinh((\pi/2) \sinh t)
======================= ===================================================

In t an integrand falls off double-exponentially at both ends, singular ones too, and the
trapezoidal rule converges exponentially in the number of nodes. Where the integrand is not
negligible is found first, by grids that each look closer at what the last one left; the rule's
nodes fill that window. The sums over every second and fourth node differ from it by d_2 and d_4;
the estimated error is 4 d_2^2 / d_4, or d_2 if that is less, too large for smooth integrands and
enough for kinks, and what lies beyond the window.

A draw inverts the cumulative probability. The rule gives that of every cell between nodes,

.. math:: \int_{t_j}^{t_{j+1}} g \approx \frac{h}{1440} \left(11 g_{j-2} - 93 g_{j-1} + 802 g_j
          + 802 g_{j+1} - 93 g_{j+2} + 11 g_{j+3}\right)

and a cubic with the density at both ends is inverted within the cell.

Source: Takahasi and Mori (1974), Publ. RIMS 9, 721-741.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.log_partition.terms import (
    Terms,
    add_exponents,
    even,
    log_sum,
    narrowed,
    woven,
)

# points of the grids that look for the window, and of the rule in it
FIRST_GRID, NEXT_GRID, N_CLOSER = 65, 17, 6
FEWEST_CELLS, MOST_CELLS = 80, 320
# grids that leave more than this share of their window look no closer
SETTLED = 0.6
# between these, powers of x up to the fourth and logarithms of x stay finite
LOG_LARGEST, LOG_SMALLEST = 172.0, -690.0
ACCEPTED, AIM = 1e-6, 1e-13
CELL = np.array([11.0, -93.0, 802.0, 802.0, -93.0, 11.0]) / 1440.0
NEWTON_STEPS = 5


@njit(cache=True)
def _inner(low, high):
    """The y = c sinh(t) that the exponentials are of: c."""
    return np.pi if np.isfinite(low) and np.isfinite(high) else 0.5 * np.pi


@njit(cache=True)
def _nearest(end):
    """Log of the least distance from an end that shows in floating point."""
    return max(LOG_SMALLEST, np.log(4e-16 * abs(end))) if end != 0.0 else LOG_SMALLEST


@njit(cache=True)
def limits(low, high):
    """First and last t at which floating point tells x from the ends."""
    first, last = -LOG_LARGEST, LOG_LARGEST
    width = np.log(high - low) if np.isfinite(low) and np.isfinite(high) else 0.0
    if np.isfinite(low):
        first = _nearest(low) - width
    if np.isfinite(high):
        last = width - _nearest(high)
    c = _inner(low, high)
    return np.arcsinh(first / c), np.arcsinh(last / c)


@njit(cache=True)
def points(t, low, high):
    """x(t), as far from either end as t says, and log x'(t), of nodes (n,)."""
    x, log_slopes = np.empty_like(t), np.empty_like(t)
    c = _inner(low, high)
    for i in range(len(t)):
        grown = np.exp(t[i])
        y = 0.5 * c * (grown - 1.0 / grown)
        slope = 0.5 * c * (grown + 1.0 / grown)
        if np.isfinite(low) and np.isfinite(high):
            fallen = np.exp(-abs(y))
            share = (high - low) * fallen / (1.0 + fallen)
            x[i] = low + share if y < 0.0 else high - share
            log_slopes[i] = np.log(slope * (high - low) / (1.0 + fallen) ** 2) - abs(y)
        elif np.isfinite(low):
            x[i], log_slopes[i] = low + np.exp(y), np.log(slope) + y
        elif np.isfinite(high):
            x[i], log_slopes[i] = high - np.exp(-y), np.log(slope) - y
        else:
            fallen = np.exp(-abs(y))
            half = 0.5 * (1.0 / fallen - fallen)
            x[i] = np.sinh(y) if abs(y) < 1e-3 else half if y > 0.0 else -half
            log_slopes[i] = np.log(0.5 * slope * (1.0 + fallen * fallen)) + abs(y)
    return x, log_slopes


@njit(cache=True)
def judge(log_terms, step):
    """Estimated relative error of a sum of (n,) terms, and whether it diverges."""
    total = log_sum(log_terms)
    if total == np.inf:
        return np.inf, True
    # of the integrals, the step included
    d_2 = abs(np.expm1(log_sum(log_terms[::2]) + np.log(2.0) - total))
    d_4 = abs(np.expm1(log_sum(log_terms[::4]) + np.log(4.0) - total))
    # beyond an end where the integrand has not died out it falls off within a unit of t
    beyond = (np.exp(log_terms[0] - total) + np.exp(log_terms[-1] - total)) / step
    error = d_2 * min(1.0, 4.0 * d_2 / (d_4 + 1e-300)) + beyond
    at_end = max(log_terms[0], log_terms[-1]) >= np.max(log_terms)
    return error, at_end and error > ACCEPTED


def terms_of(statistics):
    """Function (weights (m,), low, high, fewest) -> Terms, of points (n,) -> (statistics (n, m),).

    With at least `fewest` cells, or `MOST_CELLS` times a power of 1/2.
    """

    def terms(weights, low, high, fewest):
        first, last = limits(low, high)
        n, width = FIRST_GRID, 0.0
        for _ in range(N_CLOSER + 1):
            x, log_terms = points(even(first, last, n), low, high)
            add_exponents(log_terms, statistics(x)[0], weights)
            width = last - first
            first, last = narrowed(log_terms, first, last)
            n = NEXT_GRID
            if last - first > SETTLED * width:
                break
        n_cells = max(FEWEST_CELLS, fewest)
        t = even(first, last, n_cells + 1)
        x, log_terms = points(t, low, high)
        T = add_exponents(log_terms, statistics(x)[0], weights)
        error, diverges = judge(log_terms, t[1] - t[0])
        while error > AIM and n_cells < MOST_CELLS:
            between = 0.5 * (t[1:] + t[:-1])
            x, log_between = points(between, low, high)
            T_between = add_exponents(log_between, statistics(x)[0], weights)
            n_cells *= 2
            t, log_terms = woven(t, between), woven(log_terms, log_between)
            T = woven(T, T_between)
            error, diverges = judge(log_terms, t[1] - t[0])
        step = t[1] - t[0]
        return Terms(t, step, T, log_terms + np.log(step), error, diverges, error <= ACCEPTED)

    return terms


@njit(cache=True)
def inverse(found, u, low, high):
    """The x at which the cumulative probability of Terms is u (n,); NaN where they are no sum."""
    if found.diverges or not found.converged:
        return np.full(len(u), np.nan)
    n = len(found.log_terms)
    density = np.exp(found.log_terms - log_sum(found.log_terms))
    below = np.zeros(n)
    for j in range(n - 1):
        cell = 0.0
        for i in range(6):
            k = j - 2 + i
            if 0 <= k < n:
                cell += CELL[i] * density[k]
        # far out, where nothing is, the rule may be below 0
        below[j + 1] = below[j] + max(cell, 0.0)
    t = np.empty(len(u))
    for i in range(len(u)):
        wanted = u[i] * below[-1]
        j = min(np.searchsorted(below[1:], wanted, side="right"), n - 2)
        left, right, cell = density[j], density[j + 1], below[j + 1] - below[j]
        rest = wanted - below[j]
        square, cube = 3.0 * cell - 2.0 * left - right, left + right - 2.0 * cell
        s = min(max(rest / max(cell, 1e-300), 0.0), 1.0)
        for _ in range(NEWTON_STEPS):
            slope = left + s * (2.0 * square + 3.0 * cube * s)
            s -= (s * (left + s * (square + cube * s)) - rest) / max(slope, 1e-300)
            s = min(max(s, 0.0), 1.0)
        t[i] = found.t[j] + found.step * s
    return points(t, low, high)[0]
