"""The pilot of a run: how many particles it takes, what it found, and how far it is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from time import thread_time

import numpy as np

from pm_statmech.bridges import PilotEvidence, pilot_evidence
from pm_statmech.energy_function import EnergyFunction, evaluate_all
from pm_statmech.samplers.annealing import Harvest, Stage, anneal
from pm_statmech.samplers.crew import Crew
from pm_statmech.samplers.discrete import MOST_STATES
from pm_statmech.samplers.mixture import Mixture
from pm_statmech.samplers.mode_search import search
from pm_statmech.samplers.prior_draws import PriorDraws, PriorSample, checked_prior_sample
from pm_statmech.samplers.reference_bridges import Reference, fit_reference
from pm_statmech.samplers.references import (
    Partition,
    can_be_fitted,
    find_modes,
    weighted_by,
)
from pm_statmech.samplers.whitening import DENSE_LIMIT
from pm_statmech.tempering import TemperedModel

# times that a population is evaluated to see whether its graph tells its cost
N_TIMED = 3
LEAST_PARTICLES, MOST_PARTICLES = 256, 8192
BUDGET = 8_000.0
WHITENING_COST = 5e-4
# gradients of a trajectory, as many evaluations as integers may take beside it
TRAJECTORY = 16.0
LARGEST_POPULATION = 2**22
# microseconds of a sweep, a node's state and a bond
A_STATE, A_BOND = 0.01, 0.02
HARVEST, FEWEST_SWEEPS, MOST_SWEEPS = 80_000, 4, 10


@dataclass(frozen=True)
class Pilot:
    """What the pilot found.

    Parameters
    ----------
    sample
        the prior draws it began with; stages : of the annealing.
    reference
        fitted to its draws at the target, or None; evidence : by its bridges.
    proposal
        the reference with its modes weighted by the bridges.
    n_found
        modes that a search added to those of the particles; they are the last ones.
    """

    sample: PriorSample
    stages: list[Stage]
    reference: Reference | None
    evidence: PilotEvidence | None
    proposal: Mixture | None
    n_found: int


def population_size(energy_function: EnergyFunction, points: np.ndarray) -> int:
    """Return a number of particles that takes seconds: 8000 over the microseconds of a step.

    From 256 to 8192. A step is a gradient and two products with a preconditioner, which takes
    8 d particles to fit: it never makes them fewer. A sweep over integers takes as many evaluations
    as they have other states, and is given the time of a trajectory. The cost is counted from the
    graph, so that equal seeds give equal results on every machine; only a model that takes over
    eight times what its graph suggests (a scan, an external Op) is timed, to a power of four.
    """
    target, keep = energy_function.bind()
    # time of this thread alone, and the least of some: a busy machine must not change a result
    times = []
    for _ in range(N_TIMED):
        start = thread_time()
        evaluate_all(target, points)
        times.append(thread_time() - start)
    measured = 1e6 * min(times) / len(points)
    others = (target.high - target.low)[target.alone]
    evaluations = float(np.sum(np.where(others < MOST_STATES, others, 2.0)))
    networks = target.networks.sizes
    of_networks = A_STATE * np.sum(networks[:, 1] * networks[:, 2]) + A_BOND * np.sum(
        networks[:, 3]
    )
    continuous = energy_function.size - len(target.discrete)
    del keep
    cost = energy_function.native.expected_cost
    if measured > 8 * cost:
        cost *= 4.0 ** np.floor(np.log(measured / cost) / np.log(4.0))
    by_sweep = max(1.0, (evaluations + of_networks / cost) / TRAJECTORY)
    most = min(MOST_PARTICLES, LARGEST_POPULATION // (2 + 3 * energy_function.size))
    d = energy_function.size
    whitening = WHITENING_COST * d**2 if d <= DENSE_LIMIT else 0.0
    wanted = min(BUDGET / cost, max(BUDGET / (cost + whitening), 8.0 * continuous)) / by_sweep
    return 2 * int(np.clip(wanted, LEAST_PARTICLES, max(most, LEAST_PARTICLES)) // 2)


def is_stepwise(values: np.ndarray) -> bool:
    """Whether energies vary while all their gradients vanish, from values (n, 2 + 2 d)."""
    d = (values.shape[1] - 2) // 2
    energies = values[np.isfinite(values[:, 1]), 1]
    return bool(np.ptp(energies) > 0 and np.all(values[:, 2 + d :] == 0.0))


def _bridge(
    crew: Crew,
    harvest: Harvest,
    partition: Partition,
    energy_function: EnergyFunction,
    target: float,
    rng: np.random.Generator,
) -> tuple[Reference, PilotEvidence]:
    run = crew.pool.map
    reference = fit_reference(harvest, partition, energy_function, target, rng, run)
    bridged = reference.bridged
    return reference, pilot_evidence(
        bridged.log_ratio, bridged.mode, reference.half, reference.family,
        bridged.reference_log_ratio,
    )  # fmt: skip


def run_pilot(
    crew: Crew,
    split: TemperedModel,
    energy_function: EnergyFunction,
    prior: PriorDraws,
    stops: np.ndarray,
    target: float,
    starts: list[np.ndarray],
    rng: np.random.Generator,
) -> Pilot:
    """Anneal, look for modes that were missed, fit the references of the target, bridge them."""
    probe = checked_prior_sample(split, energy_function, prior, LEAST_PARTICLES, rng)
    n = population_size(energy_function, probe.x)
    sample = checked_prior_sample(split, energy_function, prior, n, rng)
    if is_stepwise(sample.values):
        crew.target = crew.target._replace(stepwise=1)
    stages, _, harvest = anneal(
        crew, sample.x, sample.values, stops, explore_prior=not prior.exact, rng=rng,
        family=sample.family, harvest_beta=target,
        n_harvest=int(np.clip(HARVEST // n, FEWEST_SWEEPS, MOST_SWEEPS)),
    )  # fmt: skip
    assert harvest is not None
    if not can_be_fitted(harvest, energy_function):
        return Pilot(sample, stages, None, None, None, 0)
    partition = find_modes(harvest, rng)
    reference, evidence = _bridge(crew, harvest, partition, energy_function, target, rng)
    n_found = 0
    if crew.target.stepwise == 0:
        harvest, partition, n_found = search(
            crew, energy_function, stages, harvest, partition, evidence.log_z, target, starts, rng
        )
    if n_found > 0:
        reference, evidence = _bridge(crew, harvest, partition, energy_function, target, rng)
    proposal = weighted_by(partition, evidence.weights)
    return Pilot(sample, stages, reference, evidence, proposal, n_found)
