r"""The pilot: annealed sequential Monte Carlo from the prior to the coldest rung.

Stage j holds N particles of pi_{beta_j} in two halves. The next beta is the one at which the
weights w_i = exp(-(beta' - beta) E_i) keep an effective sample size of half the particles; each
half is resampled (systematically) and moved by HMC, preconditioned by what the *other* half
looks like, since a preconditioner fitted on the particles that it moves biases log Z. The first
sweeps of a stage take three scales of the step, so that a narrow mode is not lost to a wide one's.

.. math:: \log\frac{Z(\beta')}{Z(\beta)} \approx \log \frac1N \sum_i w_i

Sources: Del Moral, Doucet, Jasra (2006), JRSS B 68(3); the effective-sample-size rule of Jasra,
Stephens, Doucet, Tsagaris (2011); the variance from family sizes of Lee and Whiteley (2018),
Biometrika 105(3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from pm_statmech.errors import StalledAnnealingError
from pm_statmech.samplers.crew import Crew
from pm_statmech.samplers.hmc import N_SUMS, SUM_ACCEPT, SUM_MOVES
from pm_statmech.samplers.moves import sweep_particles
from pm_statmech.samplers.whitening import preconditioner, scores_at

ESS_SHARE = 0.5
SCALES = (1.0, 0.5, 0.25)
MAX_SWEEPS = 12
STILL_CORRELATED = 0.3
UNEVEN = 0.03
TARGET_ACCEPT = 0.8
MAX_STAGES = 500
KEPT_STARTS = 512


@dataclass
class Population:
    """Two halves of N/2 particles: all arrays begin (2, N/2).

    Parameters
    ----------
    x, values
        positions (..., d) and energy function values (..., 2 + 2 d).
    family
        index of each particle's ancestor at beta = 0.
    work
        accumulated work sum_j (beta_{j+1} - beta_j) E along each particle's line.
    """

    x: np.ndarray
    values: np.ndarray
    family: np.ndarray
    work: np.ndarray

    @property
    def energies(self) -> np.ndarray:
        """(2, N/2)."""
        return self.values[..., 1]

    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions (N, d) and values (N, 2 + 2 d), halves one after the other."""
        return (
            self.x.reshape(-1, self.x.shape[-1]),
            self.values.reshape(-1, self.values.shape[-1]),
        )


def in_halves(x: np.ndarray, values: np.ndarray, family: np.ndarray | None = None) -> Population:
    """Population of particles (N, d) with values (N, 2 + 2 d), N even.

    Particles of one family (N,) are copies; by default each is its own.
    """
    n = len(x)
    family = np.arange(n) if family is None else family
    return Population(
        x.reshape(2, n // 2, -1).copy(),
        values.reshape(2, n // 2, -1).copy(),
        family.reshape(2, n // 2).copy(),
        np.zeros((2, n // 2)),
    )


@dataclass(frozen=True)
class Stage:
    """One inverse temperature of the pilot.

    Parameters
    ----------
    beta
        inverse temperature.
    x, x_energies
        (n, d) a few of its particles with their energies (n,).
    energies, family
        (N,) those of all, and the indices of their ancestors at beta = 0.
    factor, step_size
        preconditioner factor and HMC step.
    log_ratio
        (2,) log Z(beta) / Z(previous beta) by each half; 0 for the first stage.
    ess
        effective sample size of the weights that led here.
    n_families
        (2,) distinct ancestors at beta = 0; family_overlap : (2,) chance that two
        particles share one.
    sums
        (4,) acceptance, leapfrog steps, NaN energies and moves.
    """

    beta: float
    x: np.ndarray
    x_energies: np.ndarray
    energies: np.ndarray
    family: np.ndarray
    factor: np.ndarray
    step_size: float
    log_ratio: np.ndarray
    ess: float
    n_families: np.ndarray
    family_overlap: np.ndarray
    sums: np.ndarray


@dataclass(frozen=True)
class Harvest:
    """Draws of the particles at the target, S sweeps of two halves of N/2 particles.

    Parameters
    ----------
    x, scores
        (S, 2, N/2, d) and gradients of log pi_beta there; log_target : (S, 2, N/2)
        log pi_0 - beta E; family : (2, N/2).
    """

    x: np.ndarray
    scores: np.ndarray
    log_target: np.ndarray
    family: np.ndarray


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


def sweep(
    crew: Crew, population: Population, beta: float, factors, step_size: float, scale: float
) -> np.ndarray:
    """Move every particle once, each half by the factor given for it; returns the sums."""
    half = population.x.shape[1]
    blocks = np.array_split(np.arange(half), crew.n_members)
    sums = np.zeros((crew.n_members, N_SUMS))

    def task(member):
        rows = slice(blocks[member][0], blocks[member][-1] + 1)
        for side, factor in enumerate(factors):
            sweep_particles(
                crew.target, population.x[side, rows], population.values[side, rows],
                beta, step_size, scale, factor, crew.generators[member], crew.controls[member],
                sums[member],
            )  # fmt: skip

    crew.run(task)
    return np.sum(sums, axis=0)


def _correlation(now: np.ndarray, start: np.ndarray) -> float:
    """Absolute correlation over particles, of ranks, so that far energies do not carry it."""
    usable = np.isfinite(now) & np.isfinite(start)
    ranks = [np.argsort(np.argsort(v[usable])) for v in (now, start)]
    if usable.sum() < 3:
        return 0.0
    return float(abs(np.corrcoef(ranks[0], ranks[1])[0, 1]))


def equilibrate(
    crew: Crew, population: Population, beta: float, factors, step_size: float
) -> tuple[float, np.ndarray]:
    """Sweep until energies and prior densities forget where they were; the new step and sums."""
    start = population.values[..., :2].reshape(-1, 2).copy()
    total = np.zeros(N_SUMS)
    for number in range(MAX_SWEEPS):
        # a narrow mode rejects the steps that suit a wide one, so the first sweeps try smaller
        scale = SCALES[number] if number < len(SCALES) else 1.0
        sums = sweep(crew, population, beta, factors, step_size, scale)
        total += sums
        if scale == 1.0:
            # between sweeps only, so that each sweep leaves pi_beta invariant
            accepted = sums[SUM_ACCEPT] / max(sums[SUM_MOVES], 1.0)
            step_size *= float(np.exp(1.5 * (accepted - TARGET_ACCEPT)))
        if number + 1 >= len(SCALES):
            now = population.values[..., :2].reshape(-1, 2)
            if max(_correlation(now[:, i], start[:, i]) for i in range(2)) < STILL_CORRELATED:
                break
    return step_size, total


def _weights(energies: np.ndarray, delta: float) -> tuple[np.ndarray, float]:
    """Normalised weights exp(-delta E) and the log of their mean, of one half."""
    log_weights = np.where(np.isfinite(energies), -delta * energies, -np.inf)
    total = float(logsumexp(log_weights))
    return np.exp(log_weights - total), total - np.log(len(energies))


def half_factors(
    crew: Crew, population: Population, beta: float, weights: list[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Preconditioner of each half, fitted on the other half as it is, weighted, at beta."""
    return [
        preconditioner(
            population.x[other],
            scores_at(population.values[other], beta),
            crew.target.discrete,
            None if weights is None else weights[other],
        )
        for other in (1, 0)
    ]


def _stage(crew: Crew, beta, population: Population, step_size, log_ratio, ess, sums) -> Stage:
    x, values = population.pooled()
    # for the chains that start here, which both halves may inform
    factor = preconditioner(x, scores_at(values, beta), crew.target.discrete)
    stride = max(1, len(x) // KEPT_STARTS)
    counts = [np.unique(family, return_counts=True)[1] for family in population.family]
    half = population.x.shape[1]
    return Stage(
        beta, x[::stride].copy(), values[::stride, 1].copy(), values[:, 1].copy(),
        population.family.ravel().copy(), factor, step_size, log_ratio, ess,
        np.array([len(c) for c in counts]), np.array([np.sum((c / half) ** 2) for c in counts]),
        sums,
    )  # fmt: skip


def anneal(
    crew: Crew,
    x: np.ndarray,
    values: np.ndarray,
    stops: np.ndarray,
    *,
    explore_prior: bool,
    rng: np.random.Generator,
    family: np.ndarray | None = None,
    harvest_beta: float | None = None,
    n_harvest: int = 0,
) -> tuple[list[Stage], Population, Harvest | None]:
    """Anneal particles of pi_0 through every beta in `stops`.

    Parameters
    ----------
    x, values
        (N, d), (N, 2 + 2 d) particles at beta = 0 and the energy function there, N even.
    stops
        increasing betas that must be stages; the last is the coldest.
    explore_prior
        whether the particles are only a start, to be moved at beta = 0 as well.
    family
        (N,) which particles are copies of one draw, by default none.
    harvest_beta, n_harvest
        the stage at which as many further sweeps are kept, see `Harvest`.

    Returns
    -------
    the stages, the particles of the last one, and the harvest.
    """
    n, d = x.shape
    population = in_halves(x, values, family)
    factors = half_factors(crew, population, 0.0)
    step_size, sums, beta = 1.0 / d**0.25, np.zeros(N_SUMS), 0.0
    if explore_prior:
        step_size, sums = equilibrate(crew, population, 0.0, factors, step_size)
    stages = [_stage(crew, beta, population, step_size, np.zeros(2), float(n), sums)]
    harvest = None
    while beta < stops[-1]:
        ceiling = float(stops[np.searchsorted(stops, beta, side="right")])
        reached = next_beta(population.energies.ravel(), beta, ceiling)
        if len(stages) > MAX_STAGES or reached <= beta:
            energies = population.energies
            raise StalledAnnealingError(
                f"the pilot stalled at beta = {beta:.3g} on the way to {stops[-1]:.3g} after "
                f"{len(stages)} stages: the energies of its particles span "
                f"{np.ptp(energies[np.isfinite(energies)]):.3g} there. Narrow the prior, "
                "rescale the loss, or look for an energy with isolated deep wells."
            )
        delta = reached - beta
        weighted = [_weights(energies, delta) for energies in population.energies]
        ess = sum(1.0 / np.sum(weights**2) for weights, _ in weighted)
        factors = half_factors(crew, population, reached, [weights for weights, _ in weighted])
        for side, (weights, _) in enumerate(weighted):
            chosen = systematic_resample(weights, rng.random())
            population.work[side] += delta * np.where(weights > 0, population.energies[side], 0.0)
            for array in (population.x, population.values, population.family, population.work):
                array[side] = array[side][chosen]
        beta = reached
        step_size, sums = equilibrate(crew, population, beta, factors, step_size)
        log_ratio = np.array([log_mean for _, log_mean in weighted])
        stages.append(_stage(crew, beta, population, step_size, log_ratio, float(ess), sums))
        if beta == harvest_beta and n_harvest > 0:
            # what the particles look like now, no longer what weights made of the last stage
            factors = half_factors(crew, population, beta)
            harvest = gather(crew, population, beta, factors, step_size, n_harvest)
            draws, scores = (a.reshape(-1, d) for a in (harvest.x, harvest.scores))
            factor = preconditioner(draws, scores, crew.target.discrete)
            stages[-1] = replace(stages[-1], factor=factor)
    return stages, population, harvest


def uneven(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether particles that stayed in one sweep stayed in the next more often than the others."""
    by_chance = np.mean(first) * np.mean(second)
    return bool(np.mean(first & second) > by_chance + UNEVEN)


def gather(
    crew: Crew, population: Population, beta: float, factors, step_size: float, n_sweeps: int
) -> Harvest:
    """Sweep on at one beta and keep every state.

    Smaller steps are taken in turn where the full one keeps moving some particles and not
    others; elsewhere they would only make the states more alike.
    """
    shape = (n_sweeps, *population.x.shape[:2])
    x, scores = np.empty((2, *shape, population.x.shape[2]))
    log_target = np.empty(shape)
    scales: tuple[float, ...] = (1.0,)
    stayed: list[np.ndarray] = []
    for number in range(n_sweeps):
        before = population.x.copy()
        sweep(crew, population, beta, factors, step_size, scales[number % len(scales)])
        x[number] = population.x
        if number < 2:
            stayed.append(np.all(population.x == before, axis=-1))
        if number == 1 and uneven(*stayed):
            scales = SCALES
        scores[number] = scores_at(population.values, beta)
        log_target[number] = population.values[..., 0] - beta * population.values[..., 1]
    return Harvest(x, scores, log_target, population.family.copy())
