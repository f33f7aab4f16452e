r"""Integer coordinates at one inverse temperature: heat bath for a few states, Metropolis for many.

Heat bath draws coordinate i from its conditional over all q states,

.. math:: P(x_i = s) = \frac{\pi_\beta(x_1, \dots, s, \dots, x_d)}
                            {\sum_{s'} \pi_\beta(x_1, \dots, s', \dots, x_d)}

and Metropolis adds a jump that is as likely up as down, accepted with probability
:math:`\min(1, \pi_\beta(x') / \pi_\beta(x))`.

Sources: Geman and Geman (1984), IEEE PAMI 6; Metropolis, Rosenbluth, Rosenbluth, Teller, Teller
(1953), J. Chem. Phys. 21.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.native_function import call_by_address
from pm_statmech.samplers.nuts import log_density

MOST_STATES = 32


@njit(cache=True)
def heat_bath_step(target, x, value, beta, i, low, high, uniform, new_value):
    """Draw x[i] in low..high from its conditional, in place.

    Parameters
    ----------
    target
        the energy function; x, value : (d,), (2 + 2 d,) the state.
    beta
        inverse temperature; i, low, high : the coordinate and its states, at most 32.
    uniform
        in [0, 1), all of the randomness; new_value : (2 + 2 d,) scratch.
    """
    n_states = int(high - low) + 1
    log_weights = np.empty(n_states)
    start = x[i]
    top = -np.inf
    for s in range(n_states):
        x[i] = low + s
        if x[i] == start:
            log_weights[s] = log_density(value, beta)
        else:
            call_by_address(target.address, x, new_value, target.words)
            log_weights[s] = log_density(new_value, beta)
        if np.isnan(log_weights[s]):
            log_weights[s] = -np.inf
        top = max(top, log_weights[s])
    total = 0.0
    for s in range(n_states):
        log_weights[s] = np.exp(log_weights[s] - top)
        total += log_weights[s]
    remaining = uniform * total
    chosen = start
    for s in range(n_states):
        if log_weights[s] > 0.0:
            chosen = low + s
            remaining -= log_weights[s]
            if remaining < 0.0:
                break
    x[i] = chosen
    if chosen != start:
        call_by_address(target.address, x, value, target.words)


@njit(cache=True)
def metropolis_step(target, x, value, beta, i, low, high, jump, uniform, new_value):
    """Add an integer jump to x[i] or stay, in place; returns the acceptance probability.

    `jump` must be as likely as -jump; with `uniform` it is all of the randomness.
    """
    start = x[i]
    if start + jump < low or start + jump > high:
        return 0.0
    x[i] = start + jump
    call_by_address(target.address, x, new_value, target.words)
    gain = log_density(new_value, beta) - log_density(value, beta)
    if np.log(uniform) < gain:
        value[:] = new_value
    else:
        x[i] = start
    return 0.0 if np.isnan(gain) else np.exp(min(0.0, gain))


@njit(cache=True)
def sweep_integers(target, x, value, beta, factor, rng, new_value):
    """Move integer coordinates once, or twice by jumps: one of 1, one of about its width.

    Nodes of networks are left to `network_sweeps`. The width of coordinate i is the
    diagonal entry of `factor`.
    """
    for k in target.alone:
        i = target.discrete[k]
        low, high = target.low[k], target.high[k]
        if high - low < MOST_STATES:
            heat_bath_step(target, x, value, beta, i, low, high, rng.random(), new_value)
        else:
            width = factor[i, 0] if factor.shape[1] == 1 else factor[i, i]
            for scale in (0.0, 2.0 * width):
                jump = 1.0 + np.floor(scale * rng.standard_exponential())
                if rng.random() < 0.5:
                    jump = -jump
                metropolis_step(target, x, value, beta, i, low, high, jump, rng.random(), new_value)
