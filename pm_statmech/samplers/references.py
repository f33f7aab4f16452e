r"""References fitted to draws: one normalised Gaussian mixture a mode of the target.

The draws of the pilot at the target fit a mixture q; components between which single moves
pass are one mode m. Space is divided into the regions A_m where mode m's components carry
most of q. With q_m the reference of mode m alone, fitted on one half of the draws (and nothing
of q but its number of components, since q has seen both halves),

.. math:: Z_m = \int_{A_m} \pi_0\, e^{-\beta E}, \qquad
          Z = \sum_m Z_m, \qquad \text{weight of mode } m = Z_m / Z

where each Z_m is estimated by bridge sampling between the *other* half's draws in A_m and draws
of q_m (whose density outside A_m counts as zero). A mode's share of the draws never enters, so
that a narrow mode's weight does not hang on how many particles found it.

A mode of one component is bridged after folding it about the reference's centre,

.. math:: \bar\pi(x) = \tfrac12 \pi(x) + \tfrac12 \pi(2\mu - x)

which has the same integral and no skewness left to cost overlap.

Sources: Meng and Wong (1996), Statistica Sinica 6; Meng and Schilling (2002), J. Comput. Graph.
Stat. 11, for folding (warp III); Overstall and Forster (2010), Comput. Stat. Data Anal. 54, for
fitting on one half; merging by passages is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from pm_statmech.bridges import bennett_ratio
from pm_statmech.energy_function import EnergyFunction
from pm_statmech.samplers import mixture
from pm_statmech.samplers.annealing import Harvest
from pm_statmech.samplers.mixture import Mixture
from pm_statmech.samplers.whitening import fisher_gaussian, scores_at

LEAST_PASSAGE = 0.01
HALF_ITERATIONS = 10
FEWEST_DRAWS = 10
LARGEST_DIMENSION = 200
N_TRIAL = 500


@dataclass(frozen=True)
class Partition:
    """Which mode each point belongs to.

    Parameters
    ----------
    mixture
        of all modes; mode_of_component : (K,) ints from 0, the heaviest mode first.
    """

    mixture: Mixture
    mode_of_component: np.ndarray

    @property
    def n_modes(self) -> int:
        """How many modes."""
        return int(np.max(self.mode_of_component)) + 1

    def mode_of(self, x: np.ndarray) -> np.ndarray:
        """Mode of the component with the largest share at each point (n, d): (n,)."""
        return self.mode_of_component[np.argmax(self.mixture.log_components(x), axis=1)]

    def of_mode(self, m: int) -> Mixture:
        """The components of mode m, as a normalised mixture."""
        return self.mixture.restricted(self.mode_of_component == m)


class Draws(NamedTuple):
    """Draws of the target x (n, d), with their scores (n, d) and log densities (n,)."""

    x: np.ndarray
    scores: np.ndarray
    log_density: np.ndarray

    def of(self, chosen: np.ndarray) -> Draws:
        """Those where `chosen` (n,) is true."""
        return Draws(*(array[chosen] for array in self))


@dataclass(frozen=True)
class TargetDensity:
    """Log pi_0 - beta E on the region of each mode.

    Parameters
    ----------
    energy_function
        of the model; beta : inverse temperature; partition : the modes.
    """

    energy_function: EnergyFunction
    beta: float
    partition: Partition

    def everywhere(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density (n,), -inf where it is not finite, and its gradient (n, d)."""
        values = self.energy_function(x)
        with np.errstate(invalid="ignore"):
            log_density = values[:, 0] - self.beta * values[:, 1]
        finite = np.isfinite(values[:, 1]) & ~np.isnan(log_density)
        return np.where(finite, log_density, -np.inf), scores_at(values, self.beta)

    def inside(self, x: np.ndarray, m: int) -> np.ndarray:
        """Log density (n,) in the region of mode m, -inf outside."""
        log_density, _ = self.everywhere(x)
        return np.where(self.partition.mode_of(x) == m, log_density, -np.inf)

    def log_ratio(self, x: np.ndarray, own: np.ndarray, m: int, q: Mixture) -> np.ndarray:
        """Folded log density less log q (n,), with log density `own` known at points x (n, d)."""
        if q.n_components == 1:
            mirrored = self.inside(2 * q.means[0] - x, m)
            own = np.logaddexp(own, mirrored) - np.log(2)
        return own - q.log_density(x)


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


def overlap(density: TargetDensity, x, own, m: int, q: Mixture, rng) -> float:
    """Share of its own draws that a reference has in common with a mode, seen at draws x."""
    drawn = q.draw(N_TRIAL, rng)
    hot = density.log_ratio(drawn, density.inside(drawn, m), m, q)
    if not np.any(np.isfinite(hot)):
        return 0.0
    r, _, _ = bennett_ratio(hot, density.log_ratio(x[:N_TRIAL], own[:N_TRIAL], m, q))
    return float(np.mean(expit(hot - r)))


def _gaussian_by_scores(x: np.ndarray, scores: np.ndarray) -> Mixture | None:
    found = fisher_gaussian(x, scores) if np.all(np.isfinite(scores)) else None
    if found is None:
        return None
    mean, factor = found
    return Mixture(np.ones(1), mean[None], factor[None])


def fit_mode(density: TargetDensity, m: int, draws: Draws, rng: np.random.Generator) -> Mixture:
    """Reference of mode m from draws in it.

    The Gaussian with the draws' moments, the one nearest by their scores, or, where the partition
    gives the mode several components, as many fitted afresh: whichever, fitted to three
    quarters of the draws, overlaps most with the rest. Fewer than 10 d draws lean on their
    variances; fewer than ten leave the partition's component.
    """
    x, scores, own = draws
    q = density.partition.of_mode(m)
    n, d = x.shape
    if n < FEWEST_DRAWS:
        return q
    order = rng.permutation(n)
    train, test = order[: 3 * n // 4], order[3 * n // 4 :]
    moments = mixture.gaussian if n >= 10 * d else mixture.leaning
    trials = [moments(x[train]), _gaussian_by_scores(x[train], scores[train])]
    if q.n_components > 1 and n >= 10 * d:
        several = x[train[: mixture.SUBSAMPLE]]
        trials.append(mixture.fit(several, q.n_components, rng, mixture.gaussian(several)))
    shared = [
        -1.0 if trial is None else overlap(density, x[test], own[test], m, trial, rng)
        for trial in trials
    ]
    best = int(np.argmax(shared))
    if best == 2 and trials[2] is not None:
        return trials[2]
    by_scores = _gaussian_by_scores(x, scores) if best == 1 else None
    return moments(x) if by_scores is None else by_scores


def find_modes(harvest: Harvest, rng: np.random.Generator) -> Partition:
    """Mixture of the pilot's draws at the target, and which of its components are one mode."""
    n_sweeps, _, half, d = harvest.x.shape
    sides = [harvest.x[:, side].reshape(-1, d) for side in (0, 1)]
    chosen = mixture.select(sides[0], sides[1], rng)
    pooled = np.concatenate(sides)
    subset = pooled[rng.permutation(len(pooled))[: 2 * mixture.SUBSAMPLE]]
    # a mode that only the second half saw is missing from what the first was fitted on
    full = mixture.extended(chosen, subset, HALF_ITERATIONS)
    component = np.argmax(full.log_components(harvest.x.reshape(-1, d)), axis=1)
    return Partition(full, merge(component.reshape(n_sweeps, 2 * half), full.n_components))


def can_be_fitted(harvest: Harvest, energy_function: EnergyFunction) -> bool:
    """Whether references can be fitted: not beyond 200 dimensions, nor from a few particles.

    Nor where some coordinates are integers.
    """
    n_sweeps, _, half, d = harvest.x.shape
    few = n_sweeps * half < 10 * d
    return d <= LARGEST_DIMENSION and not few and len(energy_function.integers[0]) == 0


def weighted_by(partition: Partition, weights: np.ndarray) -> Mixture:
    """The partition's mixture with its modes weighted anew (n_modes,)."""
    q = partition.mixture
    share = np.zeros(partition.n_modes)
    np.add.at(share, partition.mode_of_component, q.weights)
    factor = weights / share
    renewed = q.weights * factor[partition.mode_of_component]
    return Mixture(renewed / np.sum(renewed), q.means, q.factors)
