r"""A search for modes that no particle of the pilot carried to the target.

A mode whose width is a fraction s of another's holds about :math:`s^{d(1-\beta)}` of the mass at
:math:`\beta`, so that annealed particles may all miss it. Its basin for a minimiser can be wider
than its mass. Minimisers of :math:`-\log\pi_\beta` start from

- the user's own starting values,
- particles of hotter stages,
- images of target particles, reflected through the prior's mean as a whole or in one coordinate,
  since many posteriors have such symmetries up to their priors.

A minimum far from every known component is kept when its Laplace approximation
:math:`\log\pi(x^*) + \tfrac d2 \log 2\pi - \tfrac12 \log|H|` is within a factor 1000 of Z, and
particles started there stay. What it then weighs is for the bridges to say: a search can add a
mode, never change what one weighs.

Source: minimisation by L-BFGS of Liu and Nocedal (1989), Math. Program. 45, in SciPy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

from pm_statmech.energy_function import EnergyFunction
from pm_statmech.samplers.annealing import Harvest, Population, Stage, equilibrate, gather
from pm_statmech.samplers.crew import Crew
from pm_statmech.samplers.mixture import Mixture
from pm_statmech.samplers.references import Partition, TargetDensity

MOST_STARTS = 72
SHARE_OF_PILOT = 0.05
ITERATIONS = 60
LEAST_WEIGHT = 1e-3
DRAWS_PER_HALF = 1000
STAYING = 0.9


@dataclass(frozen=True)
class Basin:
    """A minimum of -log pi: its place (d,), covariance factor (d, d), and Laplace log Z."""

    x: np.ndarray
    factor: np.ndarray
    log_z: float


def starting_points(
    stages: list[Stage], x: np.ndarray, asked: list[np.ndarray], n: int, rng: np.random.Generator
) -> np.ndarray:
    """At most n points (m, d): what the user gave, hot particles and images of target ones x."""
    centre, d = np.mean(stages[0].x, axis=0), x.shape[1]
    hot = np.concatenate([stage.x[: max(1, n // 4)] for stage in stages[1:-1]] or [x[:1]])
    images = [2 * centre - x[i] for i in rng.integers(len(x), size=n // 4)]
    for i in rng.permutation(d)[: n // 4]:
        image = x[rng.integers(len(x))].copy()
        image[i] = 2 * centre[i] - image[i]
        images.append(image)
    n_hot = max(n - len(images), 0)
    chosen = hot[rng.permutation(len(hot))[:n_hot]]
    return np.concatenate([*(point[None] for point in asked), np.array(images), chosen])


def _descend(density: TargetDensity, start: np.ndarray) -> np.ndarray | None:
    """Where a minimiser of -log pi ends, or None where it cannot start."""

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        log_density, score = density.everywhere(x[None])
        if not (np.isfinite(log_density[0]) and np.all(np.isfinite(score))):
            return 1e250, np.zeros_like(x)
        return -float(log_density[0]), -score[0]

    if objective(start)[0] >= 1e250:
        return None
    return minimize(objective, start, jac=True, method="L-BFGS-B",
                    options={"maxiter": ITERATIONS}).x  # fmt: skip


def _basin(density: TargetDensity, x: np.ndarray, widths: np.ndarray) -> Basin | None:
    """Laplace approximation at a minimum, by differences of scores; None where not positive."""
    d = len(x)
    steps = 1e-4 * widths
    points = np.concatenate([x + np.diag(steps), x - np.diag(steps)])
    _, scores = density.everywhere(points)
    hessian = -(scores[:d] - scores[d:]) / (2 * steps[:, None])
    hessian = 0.5 * (hessian + hessian.T)
    if not np.all(np.isfinite(hessian)):
        return None
    try:
        lower = np.linalg.cholesky(hessian)
        factor = np.linalg.cholesky(np.linalg.inv(hessian))
    except np.linalg.LinAlgError:
        return None
    log_z = float(density.everywhere(x[None])[0][0]) + 0.5 * d * np.log(2 * np.pi)
    return Basin(x, factor, log_z - float(np.sum(np.log(np.diag(lower)))))


def _distance(x: np.ndarray, means: np.ndarray, factors: np.ndarray) -> float:
    """Least squared Mahalanobis distance from x to any of the components."""
    white = [solve_triangular(f, x - m, lower=True) for m, f in zip(means, factors, strict=True)]
    return min(float(w @ w) for w in white)


def find_basins(
    density: TargetDensity, starts: np.ndarray, log_z: float, widths: np.ndarray
) -> list[Basin]:
    """Minima far from every component and from each other, heavy enough to matter."""
    known = density.partition.mixture
    d = starts.shape[1]
    far = d + 6 * np.sqrt(2 * d) + 20
    basins: list[Basin] = []
    for start in starts:
        x = _descend(density, start)
        if x is None or _distance(x, known.means, known.factors) < far:
            continue
        if any(_distance(x, b.x[None], b.factor[None]) < far for b in basins):
            continue
        basin = _basin(density, x, widths)
        if basin is not None and basin.log_z > log_z + np.log(LEAST_WEIGHT):
            basins.append(basin)
    return basins


def _populate(
    crew: Crew, energy_function: EnergyFunction, beta: float, basin: Basin, n_sweeps: int, rng
) -> Harvest | None:
    """Draws of pi_beta around a minimum, from particles started there."""
    half, d = int(np.ceil(DRAWS_PER_HALF / n_sweeps)), len(basin.x)
    x = basin.x + rng.standard_normal((2, half, d)) @ basin.factor.T
    values = energy_function(x)
    if not np.all(np.isfinite(values[..., :2])):
        return None
    family = np.arange(2 * half).reshape(2, half)
    population = Population(x, values, family, np.zeros((2, half)))
    factors = [basin.factor, basin.factor]
    step_size, _ = equilibrate(crew, population, beta, factors, 1.0 / d**0.25)
    return gather(crew, population, beta, factors, step_size, n_sweeps)


def search(
    crew: Crew,
    energy_function: EnergyFunction,
    stages: list[Stage],
    harvest: Harvest,
    partition: Partition,
    log_z: float,
    beta: float,
    asked: list[np.ndarray],
    rng: np.random.Generator,
) -> tuple[Harvest, Partition, int]:
    """Look for modes the pilot missed.

    Parameters
    ----------
    stages, harvest, partition, log_z
        what the pilot found at `beta`; asked : starting points of the user's.

    Returns
    -------
    the harvest and the partition with the modes found, and how many.
    """
    x = harvest.x[-1].reshape(-1, harvest.x.shape[-1])
    budget = SHARE_OF_PILOT * sum(float(stage.sums[1]) for stage in stages) / ITERATIONS
    starts = starting_points(stages, x, asked, int(np.clip(budget, 8, MOST_STARTS)), rng)
    density = TargetDensity(energy_function, beta, partition)
    n_sweeps, n_found = harvest.x.shape[0], 0
    for basin in find_basins(density, starts, log_z, np.std(x, axis=0)):
        drawn = _populate(crew, energy_function, beta, basin, n_sweeps, rng)
        if drawn is None:
            continue
        added = _with_mode(partition, basin, log_z)
        new = added.n_modes - 1
        points = drawn.x.reshape(-1, x.shape[1])
        if np.mean(added.mode_of(points) == new) < STAYING:
            continue
        partition, n_found = added, n_found + 1
        first = int(np.max(harvest.family)) + 1
        harvest = Harvest(
            np.concatenate([harvest.x, drawn.x], axis=2),
            np.concatenate([harvest.scores, drawn.scores], axis=2),
            np.concatenate([harvest.log_target, drawn.log_target], axis=2),
            np.concatenate([harvest.family, first + drawn.family], axis=1),
        )
    return harvest, partition, n_found


def _with_mode(partition: Partition, basin: Basin, log_z: float) -> Partition:
    """The partition with one mode more, of the weight that Laplace gives it."""
    share = 1.0 / (1.0 + np.exp(np.clip(log_z - basin.log_z, -30.0, 30.0)))
    q = partition.mixture
    mixture = Mixture(
        np.append((1 - share) * q.weights, share),
        np.concatenate([q.means, basin.x[None]]),
        np.concatenate([q.factors, basin.factor[None]]),
    )
    labels = np.append(partition.mode_of_component, partition.n_modes)
    return replace(partition, mixture=mixture, mode_of_component=labels)
