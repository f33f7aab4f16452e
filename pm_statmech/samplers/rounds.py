r"""Rounds of scans over all ladders: tuning ones, which move the rungs, and the final ones.

Tuning rounds double in length. At the end of each the chains' rejections, draws and step sizes
are pooled in a fixed order, and a new ladder is laid at equal rejection; the last tuning round
only settles the step sizes, and afterwards nothing is adapted and chains share nothing.

Source: Syed, Bouchard-Cote, Deligiannidis, Doucet (2022), JRSS B 84(2), algorithm 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pm_statmech import ladder
from pm_statmech.errors import EnergyError
from pm_statmech.samplers.annealing import Stage
from pm_statmech.samplers.crew import Crew
from pm_statmech.samplers.exchange import run_scans
from pm_statmech.samplers.hmc import rescaled_steps
from pm_statmech.samplers.mixture import Mixture, compiled_parameters
from pm_statmech.samplers.nuts import N_STATISTICS
from pm_statmech.samplers.prior_draws import PriorDraws

MAX_DEPTH = 10
ROUNDS = 1
DRAW_ROUND = 1_000_000
UNEVEN = 0.1


@dataclass
class Ladders:
    """State of all chains: C ladders of K rungs in d dimensions, m = 2 + 2 d.

    Parameters
    ----------
    betas
        (K,); target_rung : index of the model's own beta.
    x, values, replica
        (C, K, d), (C, K, m), (C, K).
    step_sizes, factors
        (K,), (K, d, d or 1), shared by the chains.
    reference
        proposes independent draws to the target rung, where there is one.
    """

    betas: np.ndarray
    target_rung: int
    x: np.ndarray
    values: np.ndarray
    replica: np.ndarray
    step_sizes: np.ndarray
    factors: np.ndarray
    reference: Mixture | None = None
    scans: int = 0


@dataclass
class Record:
    """What a round recorded, chains first.

    Parameters
    ----------
    energy, log_prior, replica
        (C, n, K); draws : (C, n, kept, d); statistics : (C, n, 5).
    swap_sums
        (C, K - 1, 2) acceptance and proposals; rung_sums : (C, K, 3) acceptance,
        divergences, NaN energies; reference_sums : (C, 2) acceptance and proposals of
        the reference's draws; scans : (C,) how many scans the sums are over, more than n
        after Ctrl-C, or where fewer draws are read than a checkpoint holds.
    """

    energy: np.ndarray
    log_prior: np.ndarray
    replica: np.ndarray
    draws: np.ndarray
    statistics: np.ndarray
    swap_sums: np.ndarray
    rung_sums: np.ndarray
    reference_sums: np.ndarray
    scans: np.ndarray

    def first(self, n: int) -> Record:
        """The first n scans, with the sums of all."""
        return replace(
            self,
            energy=self.energy[:, :n],
            log_prior=self.log_prior[:, :n],
            replica=self.replica[:, :n],
            draws=self.draws[:, :n],
            statistics=self.statistics[:, :n],
        )

    @property
    def acceptance(self) -> np.ndarray:
        """Mean acceptance of the moves of each rung (K,), chains pooled."""
        return np.sum(self.rung_sums[:, :, 0], axis=0) / max(int(np.sum(self.scans)), 1)

    @property
    def rejections(self) -> np.ndarray:
        """Swap rejection of each pair (K - 1,), chains pooled."""
        accepted, proposed = np.sum(self.swap_sums, axis=0).T
        return 1.0 - accepted / np.maximum(proposed, 1.0)


def stack_factors(factors: list[np.ndarray]) -> np.ndarray:
    """Factors of all rungs in one array: dense as soon as one of them is."""
    if all(factor.shape[1] == 1 for factor in factors):
        return np.ascontiguousarray(np.stack(factors))
    return np.ascontiguousarray(
        np.stack([f if f.shape[1] > 1 else np.diag(f[:, 0]) for f in factors])
    )


def from_pilot(
    stages: list[Stage],
    energy_function,
    required: np.ndarray,
    target_beta: float,
    chains: int,
    rng: np.random.Generator,
) -> Ladders:
    """Lay the first ladder at equal rejection of the pilot's energies, and start its rungs."""
    stage_betas = np.array([stage.beta for stage in stages])
    rejections = np.array(
        [
            ladder.rejection_between(
                cold.x_energies[np.isfinite(cold.x_energies)], hot.x_energies, cold.beta - hot.beta
            )
            for hot, cold in pairwise(stages)
        ]
    )
    betas = ladder.equal_rejection(stage_betas, rejections, required)
    d = stages[0].x.shape[1]
    x = np.empty((chains, len(betas), d))
    origin = np.searchsorted(stage_betas, betas, side="right") - 1
    for k, (beta, j) in enumerate(zip(betas, origin, strict=True)):
        stage = stages[j]
        log_weights = np.zeros(len(stage.x))
        if beta > stage.beta:
            log_weights = -(beta - stage.beta) * stage.x_energies
        elif beta > 0:
            log_weights[~np.isfinite(stage.x_energies)] = -np.inf
        weights = np.exp(log_weights - np.max(log_weights))
        x[:, k] = stage.x[rng.choice(len(stage.x), size=chains, p=weights / np.sum(weights))]
    return Ladders(
        betas=betas,
        target_rung=int(np.flatnonzero(betas == target_beta)[0]),
        x=x,
        values=energy_function(x),
        replica=np.tile(np.arange(len(betas)), (chains, 1)),
        step_sizes=np.array([stages[j].step_size for j in origin]),
        factors=stack_factors([stages[j].factor for j in origin]),
    )


def place_initvals(ladders: Ladders, energy_function, points: list[np.ndarray]) -> None:
    """Start the target rung of each chain at a point of the user's, one a chain.

    They may show a mode that no particle of the pilot saw; exchange then weighs it, so that
    they change where the run starts and not what it tends to.
    """
    for c, point in enumerate(points):
        value = energy_function(point)
        if not np.all(np.isfinite(value[:2])):
            raise EnergyError(
                f"initvals: log prior {value[0]:g} and energy {value[1]:g} at the values for chain "
                f"{c}. Start where both are finite."
            )
        ladders.x[c, ladders.target_rung] = point
        ladders.values[c, ladders.target_rung] = value


def _run_block(
    crew: Crew,
    ladders: Ladders,
    n: int,
    refresh: np.ndarray,
    proposals: np.ndarray,
    kept_rungs: np.ndarray,
    keep_partial: bool,
    before: Record | None,
) -> Record:
    """Run n scans of every ladder and return what all of them finished.

    Sums go on from those of the block before, scan by scan, so that where a run was cut changes
    no bit of them.
    """
    chains, n_rungs, d = ladders.x.shape
    energy, log_prior = np.empty((2, chains, n, n_rungs))
    replica = np.empty((chains, n, n_rungs), dtype=np.int32)
    draws = np.empty((chains, n, len(kept_rungs), d))
    statistics = np.empty((chains, n, N_STATISTICS))
    swap_sums = np.zeros((chains, n_rungs - 1, 2)) if before is None else before.swap_sums.copy()
    rung_sums = np.zeros((chains, n_rungs, 3)) if before is None else before.rung_sums.copy()
    reference_sums = np.zeros((chains, 2)) if before is None else before.reference_sums.copy()
    parameters: tuple[np.ndarray, ...] = (
        (np.empty(0), np.empty((0, d)), np.empty((0, d, d)))
        if ladders.reference is None
        else compiled_parameters(ladders.reference)
    )

    def task(c: int) -> int:
        return run_scans(  # type: ignore[call-arg]
            crew.target, ladders.x[c], ladders.values[c], ladders.replica[c],
            ladders.betas, ladders.step_sizes, ladders.factors, MAX_DEPTH, refresh[c], n,
            ladders.scans, crew.generators[c], crew.controls[c], energy[c], log_prior[c],
            replica[c], draws[c], kept_rungs,
            swap_sums[c], rung_sums[c], statistics[c], ladders.target_rung,
            proposals[c], *parameters, reference_sums[c],
        )  # fmt: skip

    scans = np.array(crew.run(task, keep_partial=keep_partial))
    done = int(np.min(scans))
    ladders.scans += n
    return Record(
        energy[:, :done],
        log_prior[:, :done],
        replica[:, :done],
        draws[:, :done],
        statistics[:, :done],
        swap_sums,
        rung_sums,
        reference_sums,
        scans if before is None else before.scans + scans,
    )


def _join(blocks: list[Record]) -> Record:
    """One record of consecutive blocks; each block's sums already hold those before it."""
    names = ("energy", "log_prior", "replica", "draws", "statistics")
    joined = {n: np.concatenate([getattr(block, n) for block in blocks], axis=1) for n in names}
    return replace(blocks[-1], **joined)


def block_length(expected_cost: float, n_rungs: int) -> int:
    """Scans of about a second, from 16 to 256, by microseconds a gradient and rungs."""
    return int(np.clip(1e6 / (10.0 * expected_cost * n_rungs), 16, 256))


def _independent_draws(
    ladders: Ladders, prior: PriorDraws, n: int, seeds: np.random.SeedSequence
) -> tuple[np.ndarray, np.ndarray]:
    """Prior draws and draws of the reference for n scans, (chain, n, d) each, or (chain, 0, d)."""
    chains, _, d = ladders.x.shape
    rng = np.random.default_rng(seeds)
    refresh, proposals = np.empty((2, chains, 0, d))
    if prior.exact:
        refresh = np.stack([prior.draw(n, int(rng.integers(2**31))) for _ in range(chains)])
    if ladders.reference is not None:
        proposals = np.stack([ladders.reference.draw(n, rng) for _ in range(chains)])
    return refresh, proposals


def run_round(
    crew: Crew,
    ladders: Ladders,
    prior: PriorDraws,
    n_scans: int,
    *,
    number: int,
    entropy: list,
    block: int,
    kept_rungs: np.ndarray,
    keep_partial: bool = False,
    before: Record | None = None,
    after_block: Callable[[Record], None] | None = None,
) -> Record:
    """Run `n_scans` scans of every ladder, in blocks, and pool what they recorded.

    Every block draws its independent randomness from (entropy, number of the round, number of
    the block), so that a round cut anywhere between blocks goes on as if it had not been.

    Parameters
    ----------
    number, entropy, block
        of the round, of the run's seed, and scans a block.
    kept_rungs
        rungs whose draws are recorded.
    keep_partial
        whether Ctrl-C keeps what is finished, instead of raising.
    before
        record of the scans already run, which count towards `n_scans`.
    after_block
        is given the record so far after each whole block.
    """
    record = before
    finished = 0 if record is None else record.energy.shape[1]
    blocks = [] if record is None else [record]
    while finished < n_scans and not crew.interrupted:
        first = finished % block
        n = min(block - first, n_scans - finished)
        seeds = np.random.SeedSequence(entropy, spawn_key=(ROUNDS, number, finished // block))
        refresh, proposals = (
            np.ascontiguousarray(draws[:, first : first + n])
            for draws in _independent_draws(ladders, prior, block, seeds)
        )
        new = _run_block(
            crew, ladders, n, refresh, proposals, kept_rungs, keep_partial,
            blocks[-1] if blocks else None,
        )  # fmt: skip
        blocks.append(new)
        finished += n
        crew.progress.close_block(new.energy.shape[1])
        if after_block is not None and not crew.interrupted:
            # joined once and for all, so that a long run is not joined over and over
            blocks = [_join(blocks)]
            after_block(blocks[0])
    return _join(blocks)


def round_lengths(n_tune: int) -> list[int]:
    """Tuning rounds that double, 1/16, 1/8, 1/4 of the scans, and the rest to settle steps."""
    if n_tune < 64:
        return [n_tune] if n_tune else []
    lengths = [n_tune // 16, n_tune // 8, n_tune // 4]
    return [*lengths, n_tune - sum(lengths)]


def relay(ladders: Ladders, record: Record, required: np.ndarray) -> Ladders:
    """Lay a new ladder from a round's rejections; its rungs start where their nearest were."""
    betas = ladder.equal_rejection(ladders.betas, record.rejections, required)
    level = np.interp(betas, ladders.betas, ladder.barrier(np.maximum(record.rejections, 1e-3)))
    old_level = ladder.barrier(np.maximum(record.rejections, 1e-3))
    origin = np.argmin(np.abs(level[:, None] - old_level[None, :]), axis=1)
    x = np.ascontiguousarray(ladders.x[:, origin])
    values = np.ascontiguousarray(ladders.values[:, origin])
    # a rung moved off beta = 0 cannot start from a state of infinite energy
    for c, k in np.argwhere(~np.isfinite(values[:, :, 1]) & (betas > 0)):
        colder = int(np.flatnonzero(np.isfinite(values[c, k:, 1]))[0]) + k
        x[c, k], values[c, k] = x[c, colder], values[c, colder]
    return replace(
        ladders,
        betas=betas,
        target_rung=int(np.flatnonzero(betas == ladders.betas[ladders.target_rung])[0]),
        x=x,
        values=values,
        replica=np.tile(np.arange(len(betas)), (len(x), 1)),
        step_sizes=ladders.step_sizes[origin],
        factors=np.ascontiguousarray(ladders.factors[origin]),
    )


def tune_ladders(
    crew: Crew,
    ladders: Ladders,
    prior: PriorDraws,
    n_tune: int,
    required: np.ndarray,
    target_accept: float,
    entropy: list,
    block: int,
) -> Ladders:
    """Run the tuning rounds and return the ladders as they stay from then on.

    Rounds double, and re-lay the ladder, until its rejections are equal; a last one, as long as
    the first, settles the step sizes. `n_tune` scans are the most that is used.
    """
    lengths = round_lengths(n_tune)
    settled = False
    for number, planned in enumerate(lengths):
        last = settled or number == len(lengths) - 1
        length = lengths[0] if settled else planned
        record = run_round(
            crew, ladders, prior, length, number=number, entropy=entropy, block=block,
            kept_rungs=np.empty(0, dtype=np.int64),
        )  # fmt: skip
        moved = slice(1 if prior.exact else 0, None)
        ladders.step_sizes[moved] = rescaled_steps(
            ladders.step_sizes[moved], record.acceptance[moved], target_accept
        )
        if not last:
            settled = even(record.rejections)
            ladders = relay(ladders, record, required)
        crew.progress.stage(
            "tune", rungs=len(ladders.betas), barrier=float(np.sum(record.rejections))
        )
        if last:
            break
    ladders.replica[:] = np.arange(len(ladders.betas))
    return ladders


def even(rejections: np.ndarray) -> bool:
    """Whether no pair rejects more than 0.1 above the mean of all."""
    return bool(np.max(rejections) <= np.mean(rejections) + UNEVEN)
