r"""One move of a particle or a rung: its continuous coordinates, then its integers.

The transition is the product of kernels that each leave :math:`\pi_\beta` invariant: HMC of random
length, or slices where the energy is piecewise constant; then heat bath or Metropolis of single
integers, and sweeps over the nodes of networks.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from pm_statmech.energy_function import TARGET
from pm_statmech.samplers.discrete import sweep_integers
from pm_statmech.samplers.hmc import SUM_ACCEPT, SUM_MOVES, SUM_STEPS, random_hmc_step
from pm_statmech.samplers.network_sweeps import sweep_networks
from pm_statmech.samplers.nuts import (
    ACCEPT,
    GENERATOR,
    N_STEPS,
    nuts_step,
)
from pm_statmech.samplers.slice import sweep_slices


@njit(cache=True)
def _move_integers(target, x, value, beta, factor, rng, work):
    if target.alone.shape[0] > 0:
        sweep_integers(target, x, value, beta, factor, rng, work[: value.shape[0]])
    if target.networks.addresses.shape[0] > 0:
        sweep_networks(target, x, value, beta, rng)


@njit(cache=True)
def short_move(target, x, value, beta, step_size, scale, factor, rng, work, sums):
    """Move (x, value) in place by HMC of about scale * step_size, and its integers.

    Parameters
    ----------
    target, x, value, beta, step_size, factor
        as in `nuts.nuts_step`.
    scale
        of the step, see `hmc.random_hmc_step`.
    work
        (4 + 5 d,) scratch; sums : (4,) += acceptance, steps, NaN energies, moves.
    """
    n_integers = target.discrete.shape[0]
    if n_integers < x.shape[0]:
        if target.stepwise == 1:
            calls = sweep_slices(target, x, value, beta, factor, scale, rng, work[: value.shape[0]])
            sums[SUM_STEPS] += calls
            sums[SUM_ACCEPT] += 1.0
            sums[SUM_MOVES] += 1.0
        else:
            random_hmc_step(target, x, value, beta, step_size, scale, factor, rng, work, sums)
    else:
        sums[SUM_ACCEPT] += 1.0
        sums[SUM_MOVES] += 1.0
    _move_integers(target, x, value, beta, factor, rng, work)


@njit(cache=True)
def long_move(target, x, value, beta, step_size, factor, max_depth, rng, work, statistics):
    """Move (x, value) in place by NUTS, or by slices, and its integers; see `short_move`.

    `statistics` (5,) <- those of `nuts.nuts_step`.
    """
    n_integers = target.discrete.shape[0]
    statistics[:] = 0.0
    statistics[ACCEPT] = 1.0
    if n_integers < x.shape[0]:
        if target.stepwise == 1:
            statistics[N_STEPS] = sweep_slices(
                target, x, value, beta, factor, 1.0, rng, work[: value.shape[0]]
            )
        else:
            nuts_step(target, x, value, beta, step_size, factor, max_depth, rng, statistics)
    _move_integers(target, x, value, beta, factor, rng, work)


@njit(
    types.void(
        TARGET,
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.float64,
        types.float64,
        types.float64,
        types.float64[:, ::1],
        GENERATOR,
        types.int64[::1],
        types.float64[::1],
    ),
    nogil=True,
    cache=True,
)
def sweep_particles(target, x, values, beta, step_size, scale, factor, rng, control, sums):
    """Move each of the particles x (n, d) once, by steps of about scale * step_size."""
    work = np.empty(4 + 5 * x.shape[1])
    for i in range(x.shape[0]):
        if control[1] != 0:
            return
        short_move(target, x[i], values[i], beta, step_size, scale, factor, rng, work, sums)
