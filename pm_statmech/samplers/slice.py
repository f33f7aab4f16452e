r"""Coordinate slice sampling at one inverse temperature: no gradient, no step size to tune.

A level :math:`\log y = \log\pi_\beta(x) + \log u` is drawn, an interval around x_i steps out by a
width until its ends lie below the level, and points of it are drawn until one lies above,
each failure shrinking the interval towards x_i. It serves energies that are piecewise constant
(zero-one losses, ranks), which no gradient can follow.

Source: Neal (2003), Ann. Statist. 31(3), figures 3 and 5.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.native_function import call_by_address
from pm_statmech.samplers.nuts import log_density

MOST_STEPS_OUT = 16
MOST_SHRINKS = 60


@njit(cache=True)
def _log_density_at(target, x, beta, i, position, new_value):
    """Log density with x[i] at `position`; NaN counts as outside."""
    x[i] = position
    call_by_address(target.address, x, new_value, target.words)
    level = log_density(new_value, beta)
    return -np.inf if np.isnan(level) else level


@njit(cache=True)
def slice_step(target, x, value, beta, i, width, rng, new_value):
    """Move x[i] in place by one slice transition that leaves pi_beta invariant.

    Parameters
    ----------
    target
        the energy function; x, value : (d,), (2 + 2 d,) the state.
    beta
        inverse temperature; i, width : the coordinate and its guessed width.
    rng
        the only source of randomness; new_value : (2 + 2 d,) scratch.

    Returns
    -------
    how often the energy was evaluated.
    """
    start = x[i]
    level = log_density(value, beta) - rng.standard_exponential()
    left = start - width * rng.random()
    right = left + width
    # the steps are split at random beforehand, which keeps the move reversible
    steps_left = int(MOST_STEPS_OUT * rng.random())
    steps_right = MOST_STEPS_OUT - 1 - steps_left
    calls = 0
    while steps_left > 0 and _log_density_at(target, x, beta, i, left, new_value) > level:
        left -= width
        steps_left -= 1
        calls += 1
    while steps_right > 0 and _log_density_at(target, x, beta, i, right, new_value) > level:
        right += width
        steps_right -= 1
        calls += 1
    for _ in range(MOST_SHRINKS):
        position = left + (right - left) * rng.random()
        calls += 1
        if _log_density_at(target, x, beta, i, position, new_value) > level:
            value[:] = new_value
            return calls
        if position < start:
            left = position
        else:
            right = position
    x[i] = start
    return calls


@njit(cache=True)
def sweep_slices(target, x, value, beta, factor, scale, rng, new_value):
    """Move every continuous coordinate once, by a width of 2 scale sd; returns the calls."""
    calls = 0
    m = 0
    for i in range(x.shape[0]):
        if m < target.discrete.shape[0] and target.discrete[m] == i:
            m += 1
            continue
        variance = 0.0
        for j in range(factor.shape[1]):
            variance += factor[i, j] ** 2
        width = 2.0 * scale * np.sqrt(variance)
        calls += slice_step(target, x, value, beta, i, width, rng, new_value)
    return calls
