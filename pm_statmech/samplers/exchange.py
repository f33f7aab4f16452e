r"""Non-reversible exchange between the rungs of one ladder, in one compiled loop.

A scan moves every rung: the target by a long move (NUTS) and by a draw of the fitted reference
(see `independence`), rung 0 by an independent prior draw where there is one, the others by a
short move (HMC of random length), which costs a fraction of NUTS, and every eighth time by a
long one; `moves` says what models with integers do. It then proposes swaps between the pairs of
one parity: even pairs in even scans, odd pairs in odd ones.
Neighbours swap states with probability

.. math:: \alpha_k = \min\left(1, \exp\left((\beta_{k+1} - \beta_k)(E_{k+1} - E_k)\right)\right)

Source: Syed, Bouchard-Cote, Deligiannidis, Doucet (2022), JRSS B 84(2), algorithm 1.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from pm_statmech.energy_function import TARGET
from pm_statmech.native_function import call_by_address
from pm_statmech.samplers.hmc import N_SUMS, SUM_ACCEPT, SUM_NAN
from pm_statmech.samplers.independence import independence_step
from pm_statmech.samplers.moves import long_move, short_move
from pm_statmech.samplers.nuts import (
    ACCEPT,
    DIVERGING,
    GENERATOR,
    N_NAN,
    N_STATISTICS,
)

LONG_EVERY = 8


@njit(cache=True)
def swap_probability(beta_low, beta_high, energy_low, energy_high):
    """Acceptance of a swap; an infinite energy never moves to a colder rung."""
    if energy_low == np.inf:
        return 1.0 if energy_high == np.inf else 0.0
    return np.exp(min(0.0, (beta_high - beta_low) * (energy_high - energy_low)))


@njit(cache=True)
def propose_swaps(x, values, replica, betas, parity, uniforms, acceptance):
    """Propose swaps between rungs (k, k + 1), k = parity, parity + 2, ...

    Parameters
    ----------
    x
        (K, d), values : (K, m), replica : (K,), all permuted in place, energies in column 1.
    betas
        (K,) increasing; parity : 0 or 1.
    uniforms
        (K - 1,) the randomness, one a pair.
    acceptance
        (K - 1,) <- swap probability of each proposed pair, -1 for the others.
    """
    for k in range(betas.shape[0] - 1):
        acceptance[k] = -1.0
    for k in range(parity, betas.shape[0] - 1, 2):
        accept = swap_probability(betas[k], betas[k + 1], values[k, 1], values[k + 1, 1])
        acceptance[k] = accept
        if uniforms[k] < accept:
            for i in range(x.shape[1]):
                x[k, i], x[k + 1, i] = x[k + 1, i], x[k, i]
            for i in range(values.shape[1]):
                values[k, i], values[k + 1, i] = values[k + 1, i], values[k, i]
            replica[k], replica[k + 1] = replica[k + 1], replica[k]


@njit(
    types.int64(
        TARGET,
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.int64[::1],
        types.float64[::1],
        types.float64[::1],
        types.float64[:, :, ::1],
        types.int64,
        types.float64[:, ::1],
        types.int64,
        types.int64,
        GENERATOR,
        types.int64[::1],
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.int32[:, ::1],
        types.float64[:, :, ::1],
        types.int64[::1],
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.int64,
        types.float64[:, ::1],
        types.float64[::1],
        types.float64[:, ::1],
        types.float64[:, :, ::1],
        types.float64[::1],
    ),
    nogil=True,
    cache=True,
)
def run_scans(
    target,
    x,
    values,
    replica,
    betas,
    step_sizes,
    factors,
    max_depth,
    prior_draws,
    n_scans,
    first_scan,
    rng,
    control,
    energy,
    log_prior,
    replicas,
    draws,
    kept_rungs,
    swap_sums,
    rung_sums,
    target_statistics,
    target_rung,
    reference_draws,
    log_weights,
    means,
    inverses,
    reference_sums,
):
    """Run scans of one ladder and record them; returns how many were finished.

    Parameters
    ----------
    x, values, replica
        (K, d), (K, 2 + 2 d), (K,) the ladder's state, changed in place.
    betas, step_sizes, factors
        rungs, with (K, d, d) or (K, d, 1) preconditioner factors.
    prior_draws
        (n_scans, d) independent draws of pi_0, or (0, d) to explore rung 0 by NUTS.
    control
        [finished scans, stop flag], shared with the thread that watches.
    energy, log_prior, replicas
        (n_scans, K); draws : (n_scans, len(kept_rungs), d).
    swap_sums
        (K - 1, 2) sum of acceptance, proposals; rung_sums : (K, 3) sum of acceptance,
        divergences, NaN energies.
    target_statistics
        (n_scans, 5) NUTS statistics of the target rung.
    reference_draws
        (n_scans, d) draws of the reference, proposed to the target rung, or (0, d); with
        log_weights, means, inverses, see `independence`.
    reference_sums
        (2,) += acceptance, proposals of these.
    """
    n_rungs = betas.shape[0]
    refresh = prior_draws.shape[0] > 0
    statistics = np.zeros(N_STATISTICS)
    acceptance = np.empty(max(n_rungs - 1, 0))
    new_value = np.empty(values.shape[1])
    work = np.empty(4 + 5 * x.shape[1])
    sums = np.empty(N_SUMS)
    for scan in range(n_scans):
        if control[1] != 0:
            return scan
        for k in range(n_rungs):
            if k == 0 and refresh:
                x[0, :] = prior_draws[scan]
                call_by_address(target.address, x[0], values[0], target.words)
                statistics[:] = 0.0
                statistics[ACCEPT] = 1.0
                if np.isnan(values[0, 1]):
                    statistics[N_NAN] = 1.0
                    values[0, 1] = np.inf
            else:
                if k == target_rung or (first_scan + scan) % LONG_EVERY == 0:
                    long_move(
                        target, x[k], values[k], betas[k], step_sizes[k], factors[k], max_depth,
                        rng, work, statistics,
                    )  # fmt: skip
                else:
                    statistics[:] = 0.0
                    sums[:] = 0.0
                    short_move(
                        target, x[k], values[k], betas[k], step_sizes[k], 1.0, factors[k], rng,
                        work, sums,
                    )  # fmt: skip
                    statistics[ACCEPT] = sums[SUM_ACCEPT]
                    statistics[N_NAN] = sums[SUM_NAN]
            rung_sums[k, 0] += statistics[ACCEPT]
            rung_sums[k, 1] += statistics[DIVERGING]
            rung_sums[k, 2] += statistics[N_NAN]
            if k == target_rung:
                target_statistics[scan, :] = statistics
                if reference_draws.shape[0] > 0:
                    reference_sums[0] += independence_step(
                        target, x[k], values[k], betas[k], reference_draws[scan],
                        rng.random(), new_value, log_weights, means, inverses,
                    )  # fmt: skip
                    reference_sums[1] += 1.0
        if n_rungs > 1:
            propose_swaps(
                x, values, replica, betas, (first_scan + scan) % 2,
                rng.random(n_rungs - 1), acceptance,
            )  # fmt: skip
            for k in range(n_rungs - 1):
                if acceptance[k] >= 0.0:
                    swap_sums[k, 0] += acceptance[k]
                    swap_sums[k, 1] += 1.0
        for k in range(n_rungs):
            energy[scan, k] = values[k, 1]
            log_prior[scan, k] = values[k, 0]
            replicas[scan, k] = replica[k]
        for j in range(kept_rungs.shape[0]):
            draws[scan, j, :] = x[kept_rungs[j]]
        control[0] += 1
    return n_scans
