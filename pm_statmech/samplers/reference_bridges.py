r"""Bridges from draws of the target to references of its modes, each half to the other's.

With n_c draws of the target in a region A_m and n draws of its reference q_m, the error of log Z_m
is a part of order 1/n_c and one of order 1/n. References are drawn as often as makes the second,
judged by the first 8000 of them, no larger than the first would be of independent draws.

Source: Overstall and Forster (2010), Comput. Stat. Data Anal. 54, for fitting on one half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from pm_statmech.bridges import bridge_modes, in_half
from pm_statmech.energy_function import EnergyFunction
from pm_statmech.samplers.annealing import Harvest
from pm_statmech.samplers.mixture import Mixture
from pm_statmech.samplers.references import Draws, Partition, TargetDensity, fit_mode

# draws of a reference for each of the target: they cost one call, those of a run a hundred
PER_PARTICLE, PER_DRAW = 4, 8
LEAST_DRAWS, FIRST_DRAWS, MOST_DRAWS = 2000, 8000, 100_000

Run = Callable[[Callable, Iterable], Iterable]


@dataclass(frozen=True)
class Bridged:
    """Draws of the target against references fitted on their other half.

    Parameters
    ----------
    log_ratio, mode
        log pi_0 - beta E - log q_m at each draw, and its mode m.
    reference_log_ratio
        (half, mode, n) the same at draws of the half's q_m, -inf outside A_m.
    """

    log_ratio: np.ndarray
    mode: np.ndarray
    reference_log_ratio: np.ndarray


@dataclass(frozen=True)
class Reference:
    """The modes of the target, and the pilot's bridges to them.

    Parameters
    ----------
    partition
        of space into modes; bridged : (particle, sweep) draws of the pilot.
    half, family
        (particle,) half and ancestor at beta = 0.
    """

    partition: Partition
    bridged: Bridged
    half: np.ndarray
    family: np.ndarray


def _against(
    density: TargetDensity, here: Draws, mode: np.ndarray, references: list[Mixture]
) -> np.ndarray:
    """Log ratios (n,) of draws with their modes (n,) to the references of those modes."""
    log_ratio = np.full(len(here.x), -np.inf)
    for m, q in enumerate(references):
        own = mode == m
        log_ratio[own] = density.log_ratio(here.x[own], here.log_density[own], m, q)
    return log_ratio


def _drawn(density: TargetDensity, references: list[Mixture], n: int, rng) -> np.ndarray:
    """Log ratios (M, n) of draws of the references."""
    drawn = np.empty((len(references), n))
    for m, q in enumerate(references):
        draws = q.draw(n, rng)
        drawn[m] = density.log_ratio(draws, density.inside(draws, m), m, q)
    return drawn


def _draws_wanted(log_ratio: np.ndarray, mode: np.ndarray, drawn: np.ndarray) -> float:
    """Draws of the references with which they add as much variance as independent target draws."""
    bridges = bridge_modes(log_ratio, mode, drawn)
    if not np.any(np.isfinite(bridges.log_z)):
        return 0.0
    weights = np.exp(bridges.log_z - np.max(bridges.log_z))
    of_target = float(np.mean((weights @ bridges.on_target) ** 2)) / len(log_ratio)
    of_references = float(np.sum(weights**2 * bridges.reference_variance))
    # where both are the rounding of nothing, so is their ratio
    return drawn.shape[1] * of_references / of_target if of_target > 1e-20 else 0.0


def bridge_draws(
    density: TargetDensity,
    halves: tuple[Draws, Draws],
    ratio: int,
    rng: np.random.Generator,
    run: Run = map,
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Bridge two halves of draws, each against references fitted on the other.

    References are drawn at most `ratio` times as often as the target, and 100,000 times.

    Parameters
    ----------
    run
        maps a function over the two sides, in threads or not.

    Returns
    -------
    log ratios and modes of the draws of each half, and reference log ratios (2, M, n).
    """
    partition, sides = density.partition, (0, 1)
    streams = rng.spawn(2)
    most = int(np.clip(ratio * max(len(half.x) for half in halves), LEAST_DRAWS, MOST_DRAWS))
    least = min(FIRST_DRAWS, most)

    def begin(side: int):
        here, other = halves[side], halves[1 - side]
        mode, of_other = (partition.mode_of(half.x) for half in (here, other))
        references = [
            fit_mode(density, m, other.of(of_other == m), streams[side])
            for m in range(partition.n_modes)
        ]
        log_ratio = _against(density, here, mode, references)
        drawn = _drawn(density, references, least, streams[side])
        return references, log_ratio, mode, drawn, _draws_wanted(log_ratio, mode, drawn)

    references, log_ratio, mode, first, wanted = zip(*run(begin, sides), strict=True)
    n = int(np.clip(np.ceil(max(wanted)), least, most))

    def go_on(side: int) -> np.ndarray:
        return _drawn(density, references[side], n - least, streams[side])

    drawn = np.concatenate([np.stack(first), np.stack(list(run(go_on, sides)))], axis=2)
    return list(log_ratio), list(mode), drawn


def fit_reference(
    harvest: Harvest,
    partition: Partition,
    energy_function: EnergyFunction,
    beta: float,
    rng: np.random.Generator,
    run: Run = map,
) -> Reference:
    """Bridge the pilot's draws, half against half, with `run` mapping over the halves."""
    n_sweeps, _, half, _ = harvest.x.shape
    density = TargetDensity(energy_function, beta, partition)

    def side(values: np.ndarray, h: int) -> np.ndarray:
        return values[:, h].reshape(n_sweeps * half, *values.shape[3:])

    halves = [
        Draws(*(side(values, h) for values in (harvest.x, harvest.scores, harvest.log_target)))
        for h in (0, 1)
    ]
    log_ratio, mode, drawn = bridge_draws(density, (halves[0], halves[1]), PER_PARTICLE, rng, run)

    def by_particle(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([part.reshape(n_sweeps, half).T for part in parts])

    return Reference(
        partition,
        Bridged(by_particle(log_ratio), by_particle(mode), drawn),
        np.repeat([0, 1], half),
        harvest.family.ravel(),
    )


def bridge_run(
    partition: Partition,
    energy_function: EnergyFunction,
    beta: float,
    x: np.ndarray,
    rng: np.random.Generator,
) -> Bridged:
    """Bridge the draws x (chain, draw, d) of a run, first halves of chains against second ones."""
    density = TargetDensity(energy_function, beta, partition)
    sides = [in_half(x, side) for side in (0, 1)]

    def drawn_at(side: np.ndarray) -> Draws:
        points = side.reshape(-1, x.shape[-1])
        log_density, scores = density.everywhere(points)
        return Draws(points, scores, log_density)

    halves = (drawn_at(sides[0]), drawn_at(sides[1]))
    log_ratio, mode, drawn = bridge_draws(density, halves, PER_DRAW, rng)

    def joined(parts: list[np.ndarray]) -> np.ndarray:
        shaped = [p.reshape(side.shape[:2]) for p, side in zip(parts, sides, strict=True)]
        return np.concatenate(shaped, axis=1)

    return Bridged(joined(log_ratio), joined(mode), drawn)
