r"""One-dimensional integrals by the double-exponential rule, where the integrand is not negligible.

.. math:: A(\eta) = \log \int_a^b h(x)\, e^{\eta \cdot T(x)}\, dx
          = \log \int g(t)\, dt, \qquad g(t) = h(x)\, e^{\eta \cdot T(x)}\, x'(t)

======================= ========================================================
a, b finite             x = a + (b - a) / (1 + e^{-y}), y = c + \pi \sinh t
a finite, b infinite    x = a + e^y,                    y = c + (\pi/2) \sinh t
a infinite, b finite    x = b - e^{-y},                 y = c + (\pi/2) \sinh t
both infinite           x = c + s \sinh y,              y = (\pi/2) \sinh t
======================= ========================================================

In t an integrand falls off double-exponentially at both ends, singular ones too, and the
trapezoidal rule converges exponentially in the number of nodes. Where the integrand is not
negligible is found first, with c = 0 and s = 1, by grids that each look closer at what the last one
left. Then c is put where it is largest, and s is how wide it is there, so that neither a shift of
x nor its unit make a difference, and the rule's nodes fill the window.
The sums over every second and fourth node differ from it by d_2 and d_4; the estimated error is
4 d_2^2 / d_4, or d_2 if that is less, too large for smooth integrands and enough for kinks, and
what lies beyond the window. There are more nodes until it is small. At breakpoints, where an
integrand is not smooth, the interval is cut in pieces, each with a rule of its own.

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
    NEGLIGIBLE,
    Terms,
    add_exponents,
    even,
    log_sum,
    narrowed,
    woven,
)

# points of the grids that look for the window, and cells of the rule in it
FIRST_GRID, NEXT_GRID, MOST_GRIDS = 65, 17, 30
FEWEST_CELLS, CELLS_OF_DRAWS, MOST_CELLS = 80, 320, 1280
# grids that leave more than this share of their window look no closer
SETTLED = 0.6
# points near the peak by which its width is told
FEWEST_NEAR = 3
# between these, powers of x up to the fourth and logarithms of x stay finite
LOG_LARGEST, LOG_SMALLEST = 172.0, -690.0
ACCEPTED, AIM = 1e-6, 1e-13
CELL = np.array([11.0, -93.0, 802.0, 802.0, -93.0, 11.0]) / 1440.0
NEWTON_STEPS = 5


@njit(cache=True, error_model="numpy")
def inner(low, high):
    """The factor of sinh t in y."""
    return np.pi if np.isfinite(low) and np.isfinite(high) else 0.5 * np.pi


@njit(cache=True, error_model="numpy")
def nearest(end):
    """Log of the least distance from an end that shows in floating point."""
    return max(LOG_SMALLEST, np.log(4e-16 * abs(end))) if end != 0.0 else LOG_SMALLEST


@njit(cache=True, error_model="numpy")
def y_limits(low, high):
    """First and last y, with c = 0, at which floating point tells x from the ends."""
    first, last = -LOG_LARGEST, LOG_LARGEST
    width = np.log(high - low) if np.isfinite(low) and np.isfinite(high) else 0.0
    if np.isfinite(low):
        first = nearest(low) - width
    if np.isfinite(high):
        last = width - nearest(high)
    return first, last


@njit(cache=True, error_model="numpy")
def points(t, low, high, centre, scale):
    """x(t), as far from either end as t says, and log x'(t), of nodes (n,)."""
    x, log_slopes = np.empty_like(t), np.empty_like(t)
    factor = inner(low, high)
    unbounded = not (np.isfinite(low) or np.isfinite(high))
    shift = 0.0 if unbounded else centre
    for i in range(len(t)):
        grown = np.exp(t[i])
        y = shift + 0.5 * factor * (grown - 1.0 / grown)
        slope = 0.5 * factor * (grown + 1.0 / grown)
        fallen = np.exp(-abs(y))
        if unbounded:
            half = np.sinh(y) if abs(y) < 1e-3 else 0.5 * (1.0 / fallen - fallen)
            half = -half if y < -1e-3 else half
            x[i] = centre + scale * half
            log_slopes[i] = np.log(0.5 * scale * slope * (1.0 + fallen * fallen)) + abs(y)
        elif np.isinf(high):
            x[i], log_slopes[i] = low + np.exp(y), np.log(slope) + y
        elif np.isinf(low):
            x[i], log_slopes[i] = high - np.exp(-y), np.log(slope) - y
        else:
            share = (high - low) * fallen / (1.0 + fallen)
            x[i] = low + share if y < 0.0 else high - share
            log_slopes[i] = np.log(slope * (high - low) / (1.0 + fallen) ** 2) - abs(y)
    return x, log_slopes


@njit(cache=True, error_model="numpy")
def first_window(low, high):
    """First and last t at centre 0 and scale 1."""
    first, last = y_limits(low, high)
    return np.arcsinh(first / inner(low, high)), np.arcsinh(last / inner(low, high))


@njit(cache=True, error_model="numpy")
def is_one_mode(log_terms):
    """Whether a grid (n,) saw one mode, and not at an end."""
    top, n_runs, before = np.argmax(log_terms), 0, False
    for one in log_terms:
        seen = one > log_terms[top] - NEGLIGIBLE
        n_runs += seen and not before
        before = seen
    return n_runs == 1 and 0 < top < len(log_terms) - 1


@njit(cache=True, error_model="numpy")
def around_peak(x, log_density):
    """Of points (n,): the highest, the next to those within two nats of it, how many those are."""
    top = np.argmax(log_density)
    left, right = top, top
    while left > 0 and log_density[left] > log_density[top] - 2.0:
        left -= 1
    while right < len(x) - 1 and log_density[right] > log_density[top] - 2.0:
        right += 1
    return x[top], x[left], x[right], right - left - 1


@njit(cache=True, error_model="numpy")
def window_of(y_first, y_last, low, high, centre, scale):
    """First and last t of a window of y as it is with centre 0 and scale 1."""
    factor = inner(low, high)
    if np.isfinite(low) or np.isfinite(high):
        return np.arcsinh((y_first - centre) / factor), np.arcsinh((y_last - centre) / factor)
    t_first = np.arcsinh(np.arcsinh((np.sinh(y_first) - centre) / scale) / factor)
    return t_first, np.arcsinh(np.arcsinh((np.sinh(y_last) - centre) / scale) / factor)


@njit(cache=True, error_model="numpy")
def judge(log_terms, step):
    """Estimated relative error of a sum of (n,) terms, and whether it diverges."""
    total = log_sum(log_terms)
    if np.isinf(total):
        return (np.inf, True) if total > 0.0 else (0.0, False)
    # of the integrals, the step included
    d_2 = abs(np.expm1(log_sum(log_terms[::2]) + np.log(2.0) - total))
    d_4 = abs(np.expm1(log_sum(log_terms[::4]) + np.log(4.0) - total))
    # beyond an end where the integrand has not died out it falls off within a unit of t
    beyond = (np.exp(log_terms[0] - total) + np.exp(log_terms[-1] - total)) / step
    error = d_2 * min(1.0, 4.0 * d_2 / (d_4 + 1e-300)) + beyond
    at_end = max(log_terms[0], log_terms[-1]) >= np.max(log_terms)
    return error, at_end and error > ACCEPTED


@njit(cache=True, error_model="numpy")
def merged(first, second):
    """Terms of two pieces that follow each other."""
    one, other = log_sum(first.log_terms), log_sum(second.log_terms)
    total = log_sum(np.array([one, other]))
    error = 0.0
    for found, log_z in ((first, one), (second, other)):
        # a piece that does not count may err
        error += found.error * np.exp(log_z - total) if log_z > -np.inf else 0.0
    pieces = np.concatenate((first.pieces, second.pieces))
    pieces[len(first.pieces) :, 0] += len(first.t)
    return Terms(
        np.concatenate((first.t, second.t)), pieces, np.concatenate((first.T, second.T)),
        np.concatenate((first.log_terms, second.log_terms)), error,
        first.diverges or second.diverges, error <= ACCEPTED,
    )  # fmt: skip


def terms_of(statistics, n_own):
    """Function (weights (m,), low, high, fewest) -> Terms.

    Of a function of points (n,) and weights -> (statistics (n, m),), of which the exponent is the
    first n_own by their weights; the others are only averaged.

    With at least `fewest` cells, or `MOST_CELLS` times a power of 1/2.
    """

    def terms(weights, low, high, fewest):
        own = weights[:n_own]
        first, last = first_window(low, high)
        n, factor = FIRST_GRID, inner(low, high)
        for _ in range(MOST_GRIDS):
            t = even(first, last, n)
            x, slopes = points(t, low, high, 0.0, 1.0)
            log_terms = slopes.copy()
            add_exponents(log_terms, statistics(x, weights)[0], own)
            width = last - first
            first, last = narrowed(log_terms, first, last)
            n = NEXT_GRID
            if last - first > SETTLED * width:
                break
        centre, scale = 0.0, 1.0
        # of separate modes the others would be looked at less closely
        if is_one_mode(log_terms):
            if np.isfinite(low) or np.isfinite(high):
                centre = factor * np.sinh(t[np.argmax(log_terms)])
            else:
                log_density = log_terms - slopes
                for _ in range(MOST_GRIDS):
                    centre, left, right, n_near = around_peak(x, log_density)
                    scale = 0.25 * (right - left)
                    if n_near >= FEWEST_NEAR:
                        break
                    x, log_density = even(left, right, NEXT_GRID), np.zeros(NEXT_GRID)
                    add_exponents(log_density, statistics(x, weights)[0], own)
            y_first, y_last = factor * np.sinh(first), factor * np.sinh(last)
            first, last = window_of(y_first, y_last, low, high, centre, scale)
        n_cells = max(FEWEST_CELLS, fewest)
        t = even(first, last, n_cells + 1)
        x, log_terms = points(t, low, high, centre, scale)
        T = add_exponents(log_terms, statistics(x, weights)[0], own)
        error, diverges = judge(log_terms, t[1] - t[0])
        while error > AIM and n_cells < MOST_CELLS:
            between = 0.5 * (t[1:] + t[:-1])
            x, log_between = points(between, low, high, centre, scale)
            T_between = add_exponents(log_between, statistics(x, weights)[0], own)
            n_cells *= 2
            t, log_terms = woven(t, between), woven(log_terms, log_between)
            T = woven(T, T_between)
            error, diverges = judge(log_terms, t[1] - t[0])
        step = t[1] - t[0]
        log_terms += np.log(step)
        pieces = np.array([[0.0, step, centre, scale, low, high]])
        return Terms(t, pieces, T, log_terms, error, diverges, error <= ACCEPTED)

    return terms


def pieces_of(terms, breakpoints):
    """The same function of an interval that is cut at breakpoints (P,), in order."""

    def in_pieces(weights, low, high, fewest):
        start, found = low, terms(weights, low, min(high, breakpoints[0]), fewest)
        for i in range(len(breakpoints)):
            start = breakpoints[i]
            end = breakpoints[i + 1] if i + 1 < len(breakpoints) else np.inf
            if start < high:
                found = merged(found, terms(weights, start, min(end, high), fewest))
        return found

    return in_pieces


@njit(cache=True, error_model="numpy")
def inverse(found, u):
    """The x at which the cumulative probability of Terms is u (n,); NaN where they are no sum."""
    x = np.full(len(u), np.nan)
    if found.diverges or not found.converged:
        return x
    n, n_pieces = len(found.log_terms), len(found.pieces)
    density = np.exp(found.log_terms - log_sum(found.log_terms))
    # of the cell before each node; pieces begin anew
    below, at = np.zeros(n), np.zeros(n, dtype=np.int64)
    for i in range(n_pieces):
        begin = int(found.pieces[i, 0])
        end = int(found.pieces[i + 1, 0]) if i + 1 < n_pieces else n
        at[begin:end] = i
        for j in range(begin, end):
            cell = 0.0
            for k in range(6):
                if j > begin and begin <= j - 3 + k < end:
                    cell += CELL[k] * density[j - 3 + k]
            # far out, where nothing is, the rule may be below 0
            below[j] = (below[j - 1] if j > 0 else 0.0) + max(cell, 0.0)
    for i in range(len(u)):
        wanted = u[i] * below[-1]
        j = max(min(np.searchsorted(below, wanted, side="right"), n - 1), 1)
        if at[j - 1] != at[j]:
            j += 1
        left, right, cell = density[j - 1], density[j], below[j] - below[j - 1]
        rest = wanted - below[j - 1]
        square, cube = 3.0 * cell - 2.0 * left - right, left + right - 2.0 * cell
        s = min(max(rest / max(cell, 1e-300), 0.0), 1.0)
        for _ in range(NEWTON_STEPS):
            slope = left + s * (2.0 * square + 3.0 * cube * s)
            s -= (s * (left + s * (square + cube * s)) - rest) / max(slope, 1e-300)
            s = min(max(s, 0.0), 1.0)
        _, step, centre, scale, low, high = found.pieces[at[j]]
        x[i] = points(np.array([found.t[j - 1] + step * s]), low, high, centre, scale)[0][0]
    return x
