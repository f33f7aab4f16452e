r"""Multinomial NUTS at one inverse temperature, on the target log pi_0 - beta E.

With momentum p ~ N(0, I) and a factor L of the preconditioner S = L L' (dense or diagonal),
the leapfrog step of size eps is

.. math:: p \leftarrow p + \tfrac\epsilon2 L^\top \nabla \log\pi_\beta(x), \quad
          x \leftarrow x + \epsilon L p, \quad
          p \leftarrow p + \tfrac\epsilon2 L^\top \nabla \log\pi_\beta(x)

Trees grow by doubling; states are drawn by multinomial weights, uniformly within a new subtree
and biased towards it at the top.

Sources: Hoffman and Gelman (2014), JMLR 15; Betancourt (2017), arXiv:1701.02434, appendix A;
the U-turn checkpoints of Phan, Pradhan, Jankowiak (2019), arXiv:1912.11554, appendix A.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from pm_statmech.native_function import call_by_address

MAX_ENERGY_ERROR = 1000.0

# statistics of one step, in the order they are recorded
ACCEPT, N_STEPS, DEPTH, DIVERGING, N_NAN = range(5)
N_STATISTICS = 5


@njit(inline="never", cache=True)
def log_density(value, beta):
    """Log pi_0 - beta E from an energy function's value; E is not read at beta = 0."""
    if beta == 0.0:
        return value[0]
    return value[0] - beta * value[1]


@njit(inline="never", cache=True)
def whitened_gradient(value, beta, factor, gradient):
    """Gradient <- L' (grad log pi_0 - beta grad E)."""
    d = gradient.shape[0]
    if factor.shape[1] == 1:
        for i in range(d):
            slope = value[2 + i]
            if beta != 0.0:
                slope -= beta * value[2 + d + i]
            gradient[i] = factor[i, 0] * slope
        return
    for j in range(d):
        gradient[j] = 0.0
    for i in range(d):
        slope = value[2 + i]
        if beta != 0.0:
            slope -= beta * value[2 + d + i]
        for j in range(i + 1):
            gradient[j] += factor[i, j] * slope


# sums in any order, or 200 dimensions take four times as long
@njit(inline="never", cache=True, fastmath={"reassoc", "contract"})
def drift(x, momentum, factor, step):
    """Position <- position + step L p."""
    d = x.shape[0]
    if factor.shape[1] == 1:
        for i in range(d):
            x[i] += step * factor[i, 0] * momentum[i]
        return
    for i in range(d):
        move = 0.0
        for j in range(i + 1):
            move += factor[i, j] * momentum[j]
        x[i] += step * move


@njit(inline="never", cache=True)
def draw_momentum(target, rng, momentum):
    """Momentum <- N(0, I) on continuous coordinates and 0 on integer ones, which so stay."""
    for i in range(momentum.shape[0]):
        momentum[i] = rng.standard_normal()
    for k in range(target.discrete.shape[0]):
        momentum[target.discrete[k]] = 0.0


@njit(inline="never", cache=True)
def _turning(p_left, p_right, p_sum):
    left = 0.0
    right = 0.0
    for i in range(p_sum.shape[0]):
        inner = p_sum[i] - 0.5 * (p_left[i] + p_right[i])
        left += p_left[i] * inner
        right += p_right[i] * inner
    return left <= 0.0 or right <= 0.0


@njit(inline="never", cache=True)
def _log_add(a, b):
    high = max(a, b)
    if high == -np.inf:
        return high
    return high + np.log1p(np.exp(min(a, b) - high))


@njit(cache=True)
def nuts_step(
    target, x, value, beta, step_size, factor, max_depth, rng, statistics
):  # fmt: skip
    """Move (x, value) in place by one NUTS transition that leaves pi_beta invariant.

    Parameters
    ----------
    target
        the energy function; its integer coordinates get no momentum and stay.
    x
        (d,) unconstrained position; value : (2 + 2 d,) the energy function there.
    beta
        inverse temperature; step_size : leapfrog step; factor : (d, d) lower triangular, or
        (d, 1) for a diagonal preconditioner.
    max_depth
        at most 2**max_depth - 1 leapfrog steps.
    rng
        NumPy Generator, the only source of randomness.
    statistics
        (5,) <- acceptance, steps, depth, diverging, NaN energies met.
    """
    d = x.shape[0]
    # edges of the trajectory: 0 is the left, 1 the right
    edge_x = np.empty((2, d))
    edge_p = np.empty((2, d))
    edge_g = np.empty((2, d))
    p_sum = np.empty(d)
    sub_sum = np.empty(d)
    inner = np.empty(d)
    saved_p = np.empty((max_depth + 1, d))
    saved_sum = np.empty((max_depth + 1, d))
    new_value = np.empty(2 + 2 * d)
    sub_x = np.empty(d)
    sub_value = np.empty(2 + 2 * d)

    gradient = np.empty(d)
    whitened_gradient(value, beta, factor, gradient)
    kinetic = 0.0
    draw_momentum(target, rng, p_sum)
    for i in range(d):
        edge_p[0, i] = p_sum[i]
        edge_p[1, i] = p_sum[i]
        kinetic += 0.5 * p_sum[i] * p_sum[i]
        edge_x[0, i] = x[i]
        edge_x[1, i] = x[i]
        edge_g[0, i] = gradient[i]
        edge_g[1, i] = gradient[i]
    initial = log_density(value, beta) - kinetic
    log_weight = 0.0
    accept_sum = 0.0
    n_steps = 0
    n_nan = 0
    depth = 0
    diverging = False
    outside = False

    while depth < max_depth:
        side = 1 if rng.random() < 0.5 else 0
        signed = step_size if side == 1 else -step_size
        sub_weight = -np.inf
        turning = False
        for i in range(d):
            sub_sum[i] = 0.0
        for leaf in range(1 << depth):
            for i in range(d):
                edge_p[side, i] += 0.5 * signed * edge_g[side, i]
            drift(edge_x[side], edge_p[side], factor, signed)
            call_by_address(target.address, edge_x[side], new_value, target.words)
            whitened_gradient(new_value, beta, factor, edge_g[side])
            kinetic = 0.0
            for i in range(d):
                edge_p[side, i] += 0.5 * signed * edge_g[side, i]
                kinetic += 0.5 * edge_p[side, i] ** 2
            n_steps += 1
            if np.isnan(new_value[1]) or np.isnan(new_value[0]):
                n_nan += 1
            gain = log_density(new_value, beta) - kinetic - initial
            if not gain > -MAX_ENERGY_ERROR:
                # leaving the support ends the trajectory, but is no error of the integrator
                outside = gain == -np.inf
                diverging = not outside
                break
            accept_sum += min(1.0, np.exp(gain))
            sub_weight = _log_add(sub_weight, gain)
            if leaf == 0 or np.log(rng.random()) < gain - sub_weight:
                sub_x[:] = edge_x[side]
                sub_value[:] = new_value
            for i in range(d):
                sub_sum[i] += edge_p[side, i]
            # an even leaf opens subtrees: save it; an odd one closes some: check those
            n_open = 0
            bits = leaf >> 1
            while bits > 0:
                n_open += bits & 1
                bits >>= 1
            if leaf % 2 == 0:
                saved_p[n_open] = edge_p[side]
                saved_sum[n_open] = sub_sum
            else:
                closing = leaf
                slot = n_open
                while closing & 1:
                    for i in range(d):
                        inner[i] = sub_sum[i] - saved_sum[slot, i] + saved_p[slot, i]
                    if _turning(saved_p[slot], edge_p[side], inner):
                        turning = True
                        break
                    slot -= 1
                    closing >>= 1
                if turning:
                    break
        if diverging or turning or outside:
            break
        if np.log(rng.random()) < sub_weight - log_weight:
            x[:] = sub_x
            value[:] = sub_value
        log_weight = _log_add(log_weight, sub_weight)
        for i in range(d):
            p_sum[i] += sub_sum[i]
        depth += 1
        if _turning(edge_p[0], edge_p[1], p_sum):
            break
    statistics[ACCEPT] = accept_sum / max(n_steps, 1)
    statistics[N_STEPS] = n_steps
    statistics[DEPTH] = depth
    statistics[DIVERGING] = 1.0 if diverging else 0.0
    statistics[N_NAN] = n_nan


GENERATOR = types.NumPyRandomGeneratorType("NumPyRandomGeneratorType")
