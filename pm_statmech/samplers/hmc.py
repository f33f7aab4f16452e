r"""Hamiltonian Monte Carlo of random length at one inverse temperature, the cheap move.

A momentum p ~ N(0, I), n leapfrog steps of size eps preconditioned by S = L L' (see `nuts`),
and a Metropolis decision on the change of :math:`\log\pi_\beta(x) - |p|^2/2`. The length and
the step are drawn anew for each move, so that no trajectory resonates with a mode.

Sources: Duane, Kennedy, Pendleton, Roweth (1987), Phys. Lett. B 195; Neal (2011), Handbook of
MCMC, chapter 5, for random lengths; Beskos, Pillai, Roberts, Sanz-Serna, Stuart (2013),
Bernoulli 19, for acceptance against step.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.special import ndtri

from pm_statmech.native_function import call_by_address
from pm_statmech.samplers.nuts import draw_momentum, drift, log_density, whitened_gradient

SHORTEST, LONGEST = 0.3, 2.2
JITTER = 0.25
MAX_STEPS = 40

# sums over moves, in the order they are recorded
SUM_ACCEPT, SUM_STEPS, SUM_NAN, SUM_MOVES = range(4)
N_SUMS = 4


@njit(cache=True)
def hmc_step(
    target, x, value, beta, step_size, n_steps, factor, momentum, uniform, work, sums
):  # fmt: skip
    """Move (x, value) in place by one HMC transition that leaves pi_beta invariant.

    Parameters
    ----------
    target
        the energy function.
    x, value
        (d,), (2 + 2 d,) the state.
    beta, step_size, n_steps, factor
        inverse temperature, leapfrog step, their number, preconditioner factor.
    momentum, uniform
        (d,) standard normals (overwritten) and one uniform: all of the randomness.
    work
        (4 + 4 d,) scratch.
    sums
        (4,) += acceptance, leapfrog steps, NaN energies, moves.
    """
    d = x.shape[0]
    new_x = work[:d]
    gradient = work[d : 2 * d]
    new_value = work[2 * d : 2 * d + 2 + 2 * d]
    kinetic = 0.0
    for i in range(d):
        new_x[i] = x[i]
        kinetic += 0.5 * momentum[i] ** 2
    start = log_density(value, beta) - kinetic
    whitened_gradient(value, beta, factor, gradient)
    finite = True
    for _ in range(n_steps):
        for i in range(d):
            momentum[i] += 0.5 * step_size * gradient[i]
        drift(new_x, momentum, factor, step_size)
        call_by_address(target.address, new_x, new_value, target.words)
        sums[SUM_STEPS] += 1.0
        if np.isnan(new_value[0]) or np.isnan(new_value[1]):
            sums[SUM_NAN] += 1.0
        if not log_density(new_value, beta) > -np.inf:
            finite = False
            break
        whitened_gradient(new_value, beta, factor, gradient)
        for i in range(d):
            momentum[i] += 0.5 * step_size * gradient[i]
    sums[SUM_MOVES] += 1.0
    if not finite:
        return
    kinetic = 0.0
    for i in range(d):
        kinetic += 0.5 * momentum[i] ** 2
    gain = log_density(new_value, beta) - kinetic - start
    if np.isnan(gain):
        return
    sums[SUM_ACCEPT] += min(1.0, np.exp(gain))
    if np.log(uniform) < gain:
        x[:] = new_x
        value[:] = new_value


@njit(cache=True)
def random_hmc_step(target, x, value, beta, step_size, scale, factor, rng, work, sums):
    """Move (x, value) by HMC of random length and jittered step; work : (4 + 5 d,) scratch.

    The number of steps is that of scale 1, so that a smaller scale costs the same and looks
    closer: a narrow mode rejects the steps that suit a wide one.
    """
    d = x.shape[0]
    momentum = work[:d]
    step = step_size * (1.0 - JITTER + 2.0 * JITTER * rng.random())
    length = SHORTEST + (LONGEST - SHORTEST) * rng.random()
    n_steps = min(MAX_STEPS, max(1, int(np.ceil(length / step))))
    draw_momentum(target, rng, momentum)
    hmc_step(
        target, x, value, beta, scale * step, n_steps, factor, momentum, rng.random(),
        work[d:], sums,
    )  # fmt: skip


def rescaled_steps(step_sizes: np.ndarray, accepted: np.ndarray, wanted: float) -> np.ndarray:
    r"""Steps (K,) that should be accepted as often as wanted, from how often they were.

    .. math:: a = 2\,\Phi(-\sigma(\epsilon) / 2), \qquad \sigma(\epsilon) \propto \epsilon^2

    with sigma the standard deviation of the energy error of a trajectory. A step changes by a
    factor of 3 at most: far from the wanted acceptance the law is only a direction.
    """
    # at an acceptance of exactly 1 there is no error to scale
    accepted = np.clip(accepted, 0.0, 1.0 - 1e-9)
    factors = np.sqrt(ndtri(wanted / 2) / ndtri(accepted / 2))
    return step_sizes * np.clip(factors, 1 / 3, 3.0)
