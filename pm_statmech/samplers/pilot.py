"""The pilot of a run: how many particles it takes, what it found, and how far it is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np

from pm_statmech.bridges import PilotEvidence, pilot_evidence
from pm_statmech.energy_function import EnergyFunction, evaluate_all
from pm_statmech.samplers.annealing import Population, Stage, anneal
from pm_statmech.samplers.crew import Crew
from pm_statmech.samplers.mixture import Mixture
from pm_statmech.samplers.prior_draws import PriorDraws, PriorSample, checked_prior_sample
from pm_statmech.samplers.references import Reference, fit_reference, weighted_by
from pm_statmech.tempering import TemperedModel

LEAST_PARTICLES, MOST_PARTICLES = 256, 8192
BUDGET = 16_000.0
LARGEST_POPULATION = 2**22
N_HARVEST = 10


@dataclass(frozen=True)
class Pilot:
    """What the pilot found.

    Parameters
    ----------
    sample
        the prior draws it began with; stages, particles : of the annealing.
    reference
        fitted to its draws at the target, or None; evidence : by its bridges.
    proposal
        the reference with its modes weighted by the bridges.
    """

    sample: PriorSample
    stages: list[Stage]
    particles: Population
    reference: Reference | None
    evidence: PilotEvidence | None
    proposal: Mixture | None


def population_size(energy_function: EnergyFunction, points: np.ndarray) -> int:
    """Return a number of particles that takes seconds: 16000 over the microseconds of a gradient.

    From 256 to 8192. The cost is counted from the graph, so that equal seeds give equal
    results on every machine; only a model that takes over eight times what its graph suggests
    (a scan, an external Op) is timed, to a power of four.
    """
    target, keep = energy_function.bind()
    start = perf_counter()
    evaluate_all(target, points)
    measured = 1e6 * (perf_counter() - start) / len(points)
    del keep
    cost = energy_function.expected_cost
    if measured > 8 * cost:
        cost *= 4.0 ** np.floor(np.log(measured / cost) / np.log(4.0))
    most = min(MOST_PARTICLES, LARGEST_POPULATION // (2 + 3 * energy_function.size))
    return 2 * int(np.clip(BUDGET / cost, LEAST_PARTICLES, max(most, LEAST_PARTICLES)) // 2)


def is_stepwise(values: np.ndarray) -> bool:
    """Whether energies vary while all their gradients vanish, from values (n, 2 + 2 d)."""
    d = (values.shape[1] - 2) // 2
    energies = values[np.isfinite(values[:, 1]), 1]
    return bool(np.ptp(energies) > 0 and np.all(values[:, 2 + d :] == 0.0))


def run_pilot(
    crew: Crew,
    split: TemperedModel,
    energy_function: EnergyFunction,
    prior: PriorDraws,
    stops: np.ndarray,
    target: float,
    rng: np.random.Generator,
) -> Pilot:
    """Anneal, fit the references of the target and bridge them."""
    probe = checked_prior_sample(split, energy_function, prior, LEAST_PARTICLES, rng)
    n = population_size(energy_function, probe.x)
    sample = checked_prior_sample(split, energy_function, prior, n, rng)
    if is_stepwise(sample.values):
        crew.target = crew.target._replace(stepwise=1)
    stages, particles, harvest = anneal(
        crew, sample.x, sample.values, stops, explore_prior=not prior.exact, rng=rng,
        harvest_beta=target, n_harvest=N_HARVEST,
    )  # fmt: skip
    assert harvest is not None
    reference = fit_reference(harvest, energy_function, target, rng)
    if reference is None:
        return Pilot(sample, stages, particles, None, None, None)
    evidence = pilot_evidence(
        reference.pilot_log_ratio, reference.pilot_mode, reference.pilot_half,
        reference.pilot_family, reference.reference_log_ratio,
    )  # fmt: skip
    proposal = weighted_by(reference, evidence.weights)
    return Pilot(sample, stages, particles, reference, evidence, proposal)
