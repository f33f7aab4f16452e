r"""Independence Metropolis moves from a normalised reference q.

A draw x' of q is accepted with probability

.. math:: \min\left(1, \frac{\pi_\beta(x')\, q(x)}{\pi_\beta(x)\, q(x')}\right)

which is the swap of the target with a further rung of the ladder, q itself, refreshed by
independent draws: a second leg of one step, by which modes exchange at the rate of their mass. Any
q leaves pi_beta invariant; a poor one is only rarely accepted.

Source: Tierney (1994), Ann. Statist. 22; Surjanovic, Syed, Bouchard-Cote, Campbell (2022),
NeurIPS, for fitted references of a second leg.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.native_function import call_by_address
from pm_statmech.samplers.mixture_kernels import mixture_log_density
from pm_statmech.samplers.nuts import log_density


@njit(cache=True)
def independence_step(
    target, x, value, beta, proposal, uniform, new_value, log_weights, means, inverses
):  # fmt: skip
    """Move (x, value) in place to `proposal`, a draw of the mixture, or stay; the acceptance.

    Parameters
    ----------
    x, value
        (d,), (2 + 2 d,) the state; new_value : (2 + 2 d,) scratch.
    proposal, uniform
        (d,) a draw of the reference, and one uniform: all of the randomness.
    log_weights, means, inverses
        the reference, see `mixture.compiled_parameters`.
    """
    call_by_address(target.address, proposal, new_value, target.words)
    new_log = log_density(new_value, beta)
    if not new_log > -np.inf:
        return 0.0
    gain = (
        new_log
        - log_density(value, beta)
        + mixture_log_density(x, log_weights, means, inverses)
        - mixture_log_density(proposal, log_weights, means, inverses)
    )
    if np.isnan(gain):
        return 0.0
    if np.log(uniform) < gain:
        x[:] = proposal
        value[:] = new_value
    return np.exp(min(0.0, gain))
