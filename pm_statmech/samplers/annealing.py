r"""The pilot: annealed sequential Monte Carlo from the prior to the coldest rung.

Stage j holds N particles of pi_{beta_j}. The next beta is the one at which the weights
w_i = exp(-(beta' - beta) E_i) keep an effective sample size of half the particles; these are then
resampled (systematically) and moved by NUTS, preconditioned by their weighted covariance.
It places the first ladder and gives every rung a start, a scale and a step size.

Sources: Del Moral, Doucet, Jasra (2006), JRSS B 68(3); the effective-sample-size rule of Jasra,
Stephens, Doucet, Tsagaris (2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, types

from pm_statmech.errors import StalledAnnealingError
from pm_statmech.samplers.crew import Crew
from pm_statmech.samplers.nuts import (
    ACCEPT,
    GENERATOR,
    N_STATISTICS,
    nuts_step,
    start_averaging,
    update_step_size,
)

ESS_SHARE = 0.5
N_SWEEPS = 3
MAX_DEPTH = 8
MAX_STAGES = 500
DENSE_LIMIT = 200


@dataclass(frozen=True)
class Stage:
    """Particles (N, d) of one inverse temperature with their energies, and how they moved."""

    beta: float
    x: np.ndarray
    energies: np.ndarray
    factor: np.ndarray
    step_size: float


@njit(
    types.int64(
        types.int64,
        types.int64[::1],
        types.float64[:, ::1],
        types.float64[:, ::1],
        types.float64,
        types.float64[::1],
        types.float64,
        types.float64[:, ::1],
        types.int64,
        types.int64,
        GENERATOR,
        types.int64[::1],
    ),
    nogil=True,
    cache=True,
)
def move_particles(
    address, words, x, values, beta, averaging, target_accept, factor, n_sweeps, max_depth,
    rng, control,
):  # fmt: skip
    """Move each particle by NUTS, n_sweeps times, adapting one step size; counts the moves."""
    statistics = np.zeros(N_STATISTICS)
    moved = 0
    for _ in range(n_sweeps):
        for i in range(x.shape[0]):
            if control[1] != 0:
                return moved
            step = np.exp(averaging[0])
            nuts_step(
                address, words, x[i], values[i], beta, step, factor, max_depth, rng, statistics
            )
            update_step_size(averaging, statistics[ACCEPT], target_accept)
            moved += 1
    return moved


def preconditioner(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Factor L of the weighted covariance of x (n, d), shrunk towards its diagonal.

    (d, d) lower triangular, or (d, 1) beyond 200 dimensions or with fewer than 2 d effective
    draws, where a dense one would be noise.
    """
    n, d = x.shape
    weights = np.full(n, 1.0 / n) if weights is None else weights
    centred = x - weights @ x
    variances = weights @ centred**2
    bad = ~(np.isfinite(variances) & (variances > 0))
    variances = np.where(bad, 1.0, variances)
    n_effective = 1.0 / np.sum(weights**2)
    if d == 1 or d > DENSE_LIMIT or n_effective < 2 * d:
        return np.ascontiguousarray(np.sqrt(variances)[:, None])
    shrink = d / (d + n_effective)
    covariance = (1 - shrink) * (centred * weights[:, None]).T @ centred
    covariance[np.diag_indices(d)] = variances
    try:
        return np.ascontiguousarray(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError:
        return np.ascontiguousarray(np.sqrt(variances)[:, None])


def next_beta(energies: np.ndarray, beta: float, ceiling: float) -> float:
    """Largest beta' up to the ceiling whose weights keep half of the finite particles' ESS."""
    finite = energies[np.isfinite(energies)]
    excess = finite - np.min(finite)
    wanted = ESS_SHARE * len(finite)

    def ess(delta: float) -> float:
        weights = np.exp(-delta * excess)
        return float(np.sum(weights) ** 2 / np.sum(weights**2))

    if ess(ceiling - beta) >= wanted:
        return ceiling
    low, high = 0.0, ceiling - beta
    # energies span decades near the prior: halve until inside, then bisect
    while ess(high / 2) < wanted and high > 1e-300:
        high /= 2
    low = high / 2
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if ess(middle) >= wanted else (low, middle)
    return beta + low


def systematic_resample(weights: np.ndarray, uniform: float) -> np.ndarray:
    """Indices of N particles drawn systematically with one uniform number."""
    n = len(weights)
    cumulative = np.cumsum(weights)
    cumulative[-1] = 1.0
    return np.searchsorted(cumulative, (np.arange(n) + uniform) / n, side="right").clip(0, n - 1)


def _move(crew: Crew, x, values, beta, factor, step_size, target_accept):
    """Move all particles in one block a chain; returns the pooled step size."""
    blocks = np.array_split(np.arange(len(x)), crew.n_members)
    states = [start_averaging(np.array([step_size]))[0] for _ in blocks]
    parts = [(np.ascontiguousarray(x[b]), np.ascontiguousarray(values[b])) for b in blocks]

    def task(member):
        part_x, part_values = parts[member]
        return move_particles(
            crew.address, crew.words, part_x, part_values, beta, states[member], target_accept,
            factor, N_SWEEPS, MAX_DEPTH, crew.generators[member], crew.controls[member],
        )  # fmt: skip

    crew.run(task)
    for block, (part_x, part_values) in zip(blocks, parts, strict=True):
        x[block], values[block] = part_x, part_values
    return float(np.exp(np.mean([state[1] for state in states])))


def anneal(
    crew: Crew,
    x: np.ndarray,
    values: np.ndarray,
    stops: np.ndarray,
    *,
    explore_prior: bool,
    target_accept: float,
    rng: np.random.Generator,
) -> list[Stage]:
    """Anneal particles of pi_0 through every beta in `stops`.

    Parameters
    ----------
    x, values
        (N, d), (N, 2 + 2 d) particles at beta = 0 and the energy function there.
    stops
        increasing betas that must be stages; the last is the coldest.
    explore_prior
        whether the particles are only a start, to be moved at beta = 0 as well.
    """
    x, values = x.copy(), values.copy()
    factor = preconditioner(x)
    step_size = 0.5 / x.shape[1] ** 0.25
    if explore_prior:
        step_size = _move(crew, x, values, 0.0, factor, step_size, target_accept)
    beta = 0.0
    stages = [Stage(beta, x.copy(), values[:, 1].copy(), factor, step_size)]
    while beta < stops[-1]:
        ceiling = float(stops[np.searchsorted(stops, beta, side="right")])
        reached = next_beta(values[:, 1], beta, ceiling)
        if len(stages) > MAX_STAGES or reached <= beta:
            raise StalledAnnealingError(
                f"the pilot stalled at beta = {beta:.3g} on the way to {stops[-1]:.3g} after "
                f"{len(stages)} stages: the energies of its particles span "
                f"{np.ptp(values[np.isfinite(values[:, 1]), 1]):.3g} there. Narrow the prior, "
                "rescale the loss, or look for an energy with isolated deep wells."
            )
        log_weights = np.where(np.isfinite(values[:, 1]), -(reached - beta) * values[:, 1], -np.inf)
        weights = np.exp(log_weights - np.max(log_weights))
        weights /= np.sum(weights)
        factor = preconditioner(x, weights)
        chosen = systematic_resample(weights, rng.random())
        x, values = x[chosen], values[chosen]
        beta = reached
        step_size = _move(crew, x, values, beta, factor, step_size, target_accept)
        stages.append(Stage(beta, x.copy(), values[:, 1].copy(), factor, step_size))
    return stages
