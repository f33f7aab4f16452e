"""The state of a run between two blocks of scans: what a checkpoint holds, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np

from pm_statmech.bridges import PilotEvidence
from pm_statmech.energy_function import EnergyFunction
from pm_statmech.samplers import checkpoint
from pm_statmech.samplers.annealing import Stage
from pm_statmech.samplers.checkpoint import Fingerprint
from pm_statmech.samplers.crew import Crew
from pm_statmech.samplers.mixture import Mixture
from pm_statmech.samplers.pilot import Pilot
from pm_statmech.samplers.prior_draws import PriorSample
from pm_statmech.samplers.reference_bridges import Bridged, Reference
from pm_statmech.samplers.references import Partition
from pm_statmech.samplers.rounds import Ladders, Record
from pm_statmech.tempering import TemperedModel

SECONDS_BETWEEN = 5.0
# a write may take this share of the time
LARGEST_SHARE = 0.05


@dataclass(frozen=True)
class State:
    """A run after its pilot, after its tuning, or after some draws.

    Parameters
    ----------
    fingerprint
        whose it is; pilot, ladders, record : as they are now, record None before draws.
    generators
        state of each chain's random numbers.
    entropy
        of the run's seed, from which every block draws its own.
    tuned, keep_all
        whether tuning is over, and whether the draws of all rungs are kept.
    block, stepwise
        scans a block, which tuning must not change, and what the pilot learnt of the
        gradient, see `Target`.
    """

    fingerprint: Fingerprint
    pilot: Pilot
    ladders: Ladders
    record: Record | None
    generators: list
    entropy: list
    tuned: bool
    keep_all: bool
    block: int
    stepwise: int


CLASSES = {
    cls.__name__: cls
    for cls in (State, Fingerprint, Pilot, PriorSample, Stage, Reference, Partition, Mixture,
                Bridged, PilotEvidence, Ladders, Record)
}  # fmt: skip


def fingerprint(
    split: TemperedModel, energy_function: EnergyFunction, arguments: dict, entropy: list
) -> Fingerprint:
    """Identity of a run: model, data, arguments, seed and versions."""
    layout, digest = energy_function.layout, sha256()
    model = split.model
    for rv in model.observed_RVs:
        value = model.rvs_to_values[rv]
        digest.update(rv.name.encode() + np.ascontiguousarray(value.eval()).tobytes())
    for container in energy_function.native.shared:
        digest.update(np.ascontiguousarray(container.value).tobytes())
    point = np.concatenate([np.ravel(v) for v in _initial(split, layout.names)]).astype(float)
    nudges = 0.1 * np.random.default_rng(0).standard_normal((2, layout.size))
    nudges[:, energy_function.integers[0]] = 0.0
    values = energy_function(np.stack([point, *(point + nudges)]))
    return Fingerprint(
        model={
            "variables": [[n, list(s)] for n, s in zip(layout.names, layout.shapes, strict=True)],
            "terms": [[t.name, t.kind, t.beta] for t in split.terms],
        },
        data=digest.hexdigest(),
        probes=values[:, :2].copy(),
        arguments=arguments,
        seed=entropy,
        versions={p: version(p) for p in ("pm_statmech", "pymc", "pytensor", "numba", "numpy")},
    )


def _initial(split: TemperedModel, names: tuple[str, ...]) -> list[np.ndarray]:
    point = split.model.initial_point(random_seed=0)
    return [np.asarray(point[name]) for name in names]


def _slim(pilot: Pilot) -> Pilot:
    """The pilot without its prior draws, which nothing reads any more."""
    sample = pilot.sample
    return replace(
        pilot,
        sample=replace(sample, x=sample.x[:0], values=sample.values[:0], family=sample.family[:0]),
    )


class Journal:
    """Writes the state of one run to its checkpoint, at most every five seconds.

    Parameters
    ----------
    path, identity
        of the checkpoint and the run, or None to write nothing.
    crew, entropy
        of the run.
    """

    def __init__(
        self, path: Path | None, identity: Fingerprint | None, crew: Crew, entropy: list
    ) -> None:
        self._path, self._identity, self._crew, self._entropy = path, identity, crew, entropy
        self._due = 0.0

    def save(
        self, pilot: Pilot, ladders: Ladders, record: Record | None, *, tuned: bool, keep_all: bool,
        block: int, now: bool,
    ) -> None:  # fmt: skip
        """Write the state if it is due, or `now`."""
        if self._path is None or self._identity is None:
            return
        if not (now or perf_counter() >= self._due):
            return
        start = perf_counter()
        generators = [generator.bit_generator.state for generator in self._crew.generators]
        state = State(self._identity, _slim(pilot), ladders, record, generators, self._entropy,
                      tuned, keep_all, block, self._crew.target.stepwise)  # fmt: skip
        arrays: dict[str, np.ndarray] = {}
        tree = checkpoint.pack(state, "state", arrays)
        checkpoint.write(self._path, checkpoint.encode(tree, arrays))
        taken = perf_counter() - start
        self._due = perf_counter() + max(SECONDS_BETWEEN, taken / LARGEST_SHARE)


def resume(crew: Crew, saved: State) -> None:
    """Put the chains' random numbers, and what they know of the gradient, back as they were."""
    crew.target = crew.target._replace(stepwise=saved.stepwise)
    for generator, state in zip(crew.generators, saved.generators, strict=True):
        generator.bit_generator.state = state


def load(path: Path | None) -> State | None:
    """The state in a checkpoint, or None where there is none yet."""
    found = None if path is None else checkpoint.read(path)
    return None if found is None else checkpoint.unpack(found[0], found[1], CLASSES)
