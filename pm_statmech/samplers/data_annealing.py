r"""Posteriors of the first 0, 1, ..., n observations at one beta: annealing over data.

.. math:: \pi^{(i)}(\theta) \propto \pi_0(\theta)
          \exp\Bigl(-\beta \sum_{j \le i} \ell_j(\theta)\Bigr)

Particles of the prior take in one observation after another, or the share of one that leaves half
of their effective number; then they are resampled and moved until they forget where they were.

Source: Chopin (2002), A sequential particle filter method for static models, Biometrika 89; the
shares and the halves are those of `annealing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from pm_statmech.energy_function import EnergyFunction, evaluate_all
from pm_statmech.errors import EnergyError, StalledAnnealingError
from pm_statmech.samplers.annealing import (
    ESS_SHARE,
    Population,
    equilibrate,
    half_factors,
    in_halves,
    systematic_resample,
)
from pm_statmech.samplers.crew import Crew
from pm_statmech.samplers.pilot import is_stepwise

# shares that one observation may be taken in by, before the particles have lost their way
MOST_SHARES = 60


class Forecasts(NamedTuple):
    """Losses of each observation before it was taken in (n,), in the order of taking.

    `mixed` is the posterior mean of its loss, `plugged` its loss at the posterior mean. `influence`
    (N,) is what each particle of the prior adds to the Monte Carlo error of the sum of `mixed`
    until it is first moved, `later` the variance of what comes after; `n_moves` how often the
    particles were resampled.
    """

    mixed: np.ndarray
    plugged: np.ndarray
    influence: np.ndarray
    later: float
    n_moves: int

    @property
    def mcse(self) -> float:
        """Monte Carlo error of the sum of `mixed`."""
        return float(np.sqrt(np.sum(self.influence**2) + self.later))

    def mcse_beside(self, other: Forecasts) -> float:
        """Monte Carlo error of the difference to another sum from the same particles."""
        common = np.sum((self.influence - other.influence) ** 2)
        return float(np.sqrt(common + self.later + other.later))


def reachable_share(losses: np.ndarray, log_w: np.ndarray, beta: float, left: float) -> float:
    """Largest share (at most `left`) of an observation that keeps half of the particles' ESS."""

    def ess(share: float) -> float:
        moved = log_w - beta * share * losses
        w = np.exp(moved - np.max(moved))
        return float(np.sum(w) ** 2 / np.sum(w**2))

    wanted = ESS_SHARE * len(log_w)
    if ess(left) >= wanted:
        return left
    low, high = 0.0, left
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if ess(middle) >= wanted else (low, middle)
    return low


def _move(
    crew: Crew, population: Population, log_w: np.ndarray, beta: float, step_size: float,
    rng: np.random.Generator,
) -> float:  # fmt: skip
    """Resample each half by its weights and move it under the counts as they are now."""
    for side in range(2):
        population.values[side] = evaluate_all(crew.target, population.x[side])
    weights = [np.exp(w - logsumexp(w)) for w in log_w.reshape(2, -1)]
    factors = half_factors(crew, population, beta, weights)
    for side, w in enumerate(weights):
        chosen = systematic_resample(w, rng.random())
        population.x[side] = population.x[side][chosen]
        population.values[side] = population.values[side][chosen]
    step_size, _ = equilibrate(crew, population, beta, factors, step_size)
    return step_size


def one_by_one(
    crew: Crew,
    energy_function: EnergyFunction,
    counts_name: str,
    x: np.ndarray,
    order: np.ndarray,
    beta: float,
    losses_of: Callable[[np.ndarray], np.ndarray],
    mean_losses_of: Callable[[np.ndarray, np.ndarray], np.ndarray],
    rng: np.random.Generator,
) -> Forecasts:
    """Take in the observations in the given order at one beta, foretelling each.

    Parameters
    ----------
    crew
        the threads; its target is bound here to the counts of the observations.
    counts_name
        of the shared weights of observations in the energy function.
    x
        (N, d) draws of the prior, N even.
    order
        (n,) of the observations.
    losses_of
        points (N, d) -> losses (N, n); mean_losses_of : points and weights (N,) -> losses (n,) at
        the mean of the constrained parameters.
    """
    n, d = len(order), x.shape[1]
    # the kernels read this array where it lies, so that counting an observation binds nothing anew
    counts = np.zeros(n)
    crew.target, crew.keep_alive = energy_function.bind({counts_name: counts})
    population = in_halves(x, evaluate_all(crew.target, x))
    counts[:] = 1.0
    stepwise = is_stepwise(evaluate_all(crew.target, x))
    counts[:] = 0.0
    crew.target = crew.target._replace(stepwise=int(stepwise))
    log_w = np.full(len(x), -np.log(len(x)))
    losses, step_size, n_moves = losses_of(x), 1.0 / d**0.25, 0
    mixed, plugged = np.empty((2, n))
    # what each particle adds to the error of the sum since it was last moved
    influence, first, later = np.zeros(len(x)), np.zeros(len(x)), 0.0
    for k, i in enumerate(order):
        w = np.exp(log_w - logsumexp(log_w))
        mixed[k] = w @ losses[:, i]
        if not np.isfinite(mixed[k]):
            lost = np.mean(~np.isfinite(losses[:, i]))
            raise EnergyError(
                f"the loss of observation {i} is not finite at {lost:.1%} of the draws that "
                f"foretell it at beta = {beta:.3g}: its forecast has no value. Such is a law whose "
                "support depends on its parameters."
            )
        plugged[k] = mean_losses_of(population.x.reshape(-1, d), w)[i]
        influence += w * (losses[:, i] - mixed[k])
        shares = 0
        while counts[i] < 1.0:
            share = reachable_share(losses[:, i], log_w, beta, 1.0 - counts[i])
            shares += 1
            if not share > 0 or shares > MOST_SHARES:
                raise StalledAnnealingError(
                    f"observation {i} could not be taken in at beta = {beta:.3g}: its losses span "
                    f"{np.ptp(losses[:, i]):.3g} over the particles. Narrow the prior, or rescale."
                )
            log_w = log_w - beta * share * losses[:, i]
            counts[i] += share
            if counts[i] > 1.0 - 1e-12:
                counts[i] = 1.0
                break
            step_size = _move(crew, population, log_w, beta, step_size, rng)
            log_w = np.full(len(x), -np.log(len(x)))
            losses, n_moves = losses_of(population.x.reshape(-1, d)), n_moves + 1
            if n_moves == 1:
                first = influence.copy()
            else:
                later += float(np.sum(influence**2))
            influence[:] = 0.0
    if n_moves == 0:
        first = influence
    else:
        later += float(np.sum(influence**2))
    return Forecasts(mixed, plugged, first, later, n_moves)
