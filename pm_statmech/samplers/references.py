r"""References fitted to the pilot: one normalised Gaussian mixture a mode of the target.

The draws of the pilot at the target fit a mixture q; components between which single moves
pass are one mode m. Space is divided into the regions A_m where mode m's components carry
most of q. With q_m the mixture of mode m alone, fitted on one half of the particles,

.. math:: Z_m = \int_{A_m} \pi_0\, e^{-\beta E}, \qquad
          Z = \sum_m Z_m, \qquad \text{weight of mode } m = Z_m / Z

where each Z_m is estimated by bridge sampling between the *other* half's draws in A_m and draws
of q_m (whose density outside A_m counts as zero). A mode's share of the particles never enters, so
that a narrow mode's weight does not hang on how many particles found it.

Sources: Meng and Wong (1996), Statistica Sinica 6; Overstall and Forster (2010), Comput. Stat.
Data Anal. 54, for fitting on one half; merging by passages is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pm_statmech.energy_function import EnergyFunction
from pm_statmech.samplers import mixture
from pm_statmech.samplers.annealing import Harvest
from pm_statmech.samplers.mixture import Mixture

LEAST_PASSAGE = 0.01
HALF_ITERATIONS = 10
LARGEST_DIMENSION = 200


@dataclass(frozen=True)
class BridgedDraws:
    """The run's draws at the target, and the references' own, for bridges between them.

    Parameters
    ----------
    log_ratio, mode
        (chain, draw) log pi_0 - beta E - log q_m at the draws, and their modes.
    reference_log_ratio
        (mode, n) at independent draws of q_m, -inf outside A_m.
    """

    log_ratio: np.ndarray
    mode: np.ndarray
    reference_log_ratio: np.ndarray


@dataclass(frozen=True)
class Reference:
    """A mixture of the target with the mode of each component, and what its bridges need.

    Parameters
    ----------
    mixture
        fitted on all draws, its modes weighted as the bridges say.
    mode_of_component
        (K,) ints from 0, the heaviest mode first.
    pilot_log_ratio, pilot_mode
        (particle, sweep) log pi_0 - beta E - log q_m by the other half's q_m, and m.
    pilot_half, pilot_family
        (particle,) half and ancestor at beta = 0.
    reference_log_ratio
        (half, mode, n) the same at draws of the half's q_m, -inf outside A_m.
    """

    mixture: Mixture
    mode_of_component: np.ndarray
    pilot_log_ratio: np.ndarray
    pilot_mode: np.ndarray
    pilot_half: np.ndarray
    pilot_family: np.ndarray
    reference_log_ratio: np.ndarray

    @property
    def n_modes(self) -> int:
        """How many modes."""
        return int(np.max(self.mode_of_component)) + 1

    def mode_of(self, x: np.ndarray) -> np.ndarray:
        """Mode whose region holds each point (n, d): (n,)."""
        return regions(self.mixture, self.mode_of_component, x)


def regions(fitted: Mixture, mode_of_component: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Mode of the component with the largest share at each point (n, d): (n,)."""
    return mode_of_component[np.argmax(fitted.log_components(x), axis=1)]


def merge(labels: np.ndarray, n_components: int) -> np.ndarray:
    """Modes of components from their labels along each particle (sweep, particle).

    Two components are one mode when in a sweep more than 1% of the lesser one's particles pass
    to the other or back, over at least four passages.
    """
    passages = np.zeros((n_components, n_components))
    np.add.at(passages, (labels[:-1].ravel(), labels[1:].ravel()), 1.0)
    sizes = np.maximum(np.bincount(labels[:-1].ravel(), minlength=n_components), 1)
    parent = np.arange(n_components)

    def root(k: int) -> int:
        while parent[k] != k:
            k = parent[k]
        return k

    for i in range(n_components):
        for j in range(i):
            both = passages[i, j] + passages[j, i]
            if both >= 4 and both / 2 > LEAST_PASSAGE * min(sizes[i], sizes[j]):
                parent[root(i)] = root(j)
    roots = np.array([root(k) for k in range(n_components)])
    # the heaviest mode is mode 0
    heaviest = sorted(set(roots), key=lambda r: -np.sum(sizes[roots == r]))
    return np.array([heaviest.index(r) for r in roots])


def fit_reference(
    harvest: Harvest,
    energy_function: EnergyFunction,
    beta: float,
    rng: np.random.Generator,
) -> Reference | None:
    """Fit the references of all modes and evaluate what their bridges need.

    None in more than 200 dimensions, with too few particles for a covariance, or where
    some coordinates are integers.
    """
    n_sweeps, _, half, d = harvest.x.shape
    n_integers = len(energy_function.integers[0])
    if d > LARGEST_DIMENSION or n_sweeps * half < 10 * d or n_integers > 0:
        return None
    sides = [harvest.x[:, side].reshape(-1, d) for side in (0, 1)]
    chosen = mixture.select(sides[0], sides[1], rng)
    pooled = np.concatenate(sides)
    subset = pooled[rng.permutation(len(pooled))[: 4 * mixture.SUBSAMPLE]]
    full = mixture.improve(chosen, subset, HALF_ITERATIONS)
    component = np.argmax(full.log_components(harvest.x.reshape(-1, d)), axis=1)
    mode_of_component = merge(component.reshape(n_sweeps, -1), full.n_components)
    mode = mode_of_component[component].reshape(n_sweeps, 2, half)
    n_modes = int(np.max(mode_of_component)) + 1

    n_draws = max(2000, n_sweeps * half // n_modes)
    pilot = np.full((n_sweeps, 2, half), -np.inf)
    drawn = np.full((2, n_modes, n_draws), -np.inf)
    for side in (0, 1):
        own = subset_of(sides[1 - side], rng)
        fitted = mixture.improve(full, own, HALF_ITERATIONS)
        if fitted.n_components != full.n_components:
            fitted = full
        for m in range(n_modes):
            q = fitted.restricted(mode_of_component == m)
            here = mode[:, side] == m
            points = harvest.x[:, side][here]
            pilot[:, side][here] = harvest.log_target[:, side][here] - q.log_density(points)
            drawn[side, m] = _at_reference(
                q, full, mode_of_component, m, energy_function, beta, n_draws, rng
            )
    particles = np.moveaxis(pilot.reshape(n_sweeps, -1), 0, 1)
    return Reference(
        full,
        mode_of_component,
        particles,
        np.moveaxis(mode.reshape(n_sweeps, -1), 0, 1),
        np.repeat([0, 1], half),
        harvest.family.ravel(),
        drawn,
    )


def subset_of(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At most 8000 of the draws (n, d)."""
    return x[rng.permutation(len(x))[: 2 * mixture.SUBSAMPLE]]


def weighted_by(reference: Reference, weights: np.ndarray) -> Mixture:
    """The reference's mixture with its modes weighted anew (n_modes,)."""
    q = reference.mixture
    share = np.zeros(reference.n_modes)
    np.add.at(share, reference.mode_of_component, q.weights)
    factor = weights / share
    renewed = q.weights * factor[reference.mode_of_component]
    return Mixture(renewed / np.sum(renewed), q.means, q.factors)


def _at_reference(
    q: Mixture, full: Mixture, mode_of_component, m: int, energy_function, beta, n: int, rng
) -> np.ndarray:
    """Log pi_0 - beta E - log q_m at n draws of q_m, -inf outside the region of mode m."""
    draws = q.draw(n, rng)
    values = energy_function(draws)
    energy = np.where(np.isnan(values[:, 1]), np.inf, values[:, 1])
    log_target = np.where(np.isfinite(energy), values[:, 0] - beta * energy, -np.inf)
    inside = (regions(full, mode_of_component, draws) == m) & ~np.isnan(log_target)
    return np.where(inside, log_target - q.log_density(draws), -np.inf)


def bridge_to_draws(
    reference: Reference | None, energy_function: EnergyFunction, beta: float, x: np.ndarray,
    log_target: np.ndarray, rng: np.random.Generator,
) -> BridgedDraws | None:  # fmt: skip
    """Evaluate the references at draws x (chain, draw, d) of the target, and draw from them."""
    if reference is None:
        return None
    points = x.reshape(-1, x.shape[-1])
    mode = reference.mode_of(points)
    log_ratio = log_target.reshape(-1).copy()
    drawn = np.empty((reference.n_modes, len(points)))
    for m in range(reference.n_modes):
        q = reference.mixture.restricted(reference.mode_of_component == m)
        here = mode == m
        if np.any(here):
            log_ratio[here] -= q.log_density(points[here])
        drawn[m] = _at_reference(
            q, reference.mixture, reference.mode_of_component, m, energy_function, beta,
            len(points), rng,
        )  # fmt: skip
    shape = x.shape[:2]
    return BridgedDraws(log_ratio.reshape(shape), mode.reshape(shape), drawn)
