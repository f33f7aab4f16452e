"""sample_tempered: a model, its ladder of temperatures, and the posterior at its own."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter

import numpy as np
import pymc as pm
from threadpoolctl import threadpool_limits
from xarray import DataTree

from pm_statmech import datatree
from pm_statmech.energy_function import Layout, flat_point
from pm_statmech.errors import InverseTemperatureError, PhaseTransitionWarning
from pm_statmech.ladder import check_beta, check_ladder
from pm_statmech.samplers.checkpoint import check_same, locked
from pm_statmech.samplers.crew import assemble, stopping_on_interrupt
from pm_statmech.samplers.pilot import run_pilot
from pm_statmech.samplers.prior_draws import compile_prior_draws, refuse_flat_priors
from pm_statmech.samplers.progress import LadderProgress
from pm_statmech.samplers.reference_bridges import bridge_run
from pm_statmech.samplers.resumption import Journal, State, fingerprint, load, resume
from pm_statmech.samplers.rounds import (
    DRAW_ROUND,
    Record,
    block_length,
    from_pilot,
    place_initvals,
    run_round,
    tune_ladders,
)
from pm_statmech.tempering import TemperedModel, tempered_model

# a child of PyMC's logger, so that its messages look and obey like PyMC's own
_log = logging.getLogger("pymc.pm_statmech")

KEEP_LIMIT = 256 * 2**20
BRIDGES = 2


def required_rungs(betas: Sequence[float] | None, target_beta: float) -> np.ndarray:
    """The rungs a ladder must have: 0, the target exactly, and what the user asked for."""
    asked = check_ladder(betas) if betas is not None else np.empty(0)
    # a rung typed as 0.1 and a target computed as 0.1 + 1e-17 are one rung
    asked = asked[~np.isclose(asked, target_beta, rtol=1e-12, atol=0.0)]
    return np.unique(np.concatenate([[0.0, target_beta], asked]))


def _check_count(name: str, value, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        hint = " Pass the model as model=..." if isinstance(value, pm.Model) else ""
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}.{hint}")
    if value < least:
        raise ValueError(f"{name} = {value}: it must be at least {least}.")
    return int(value)


def _starts(
    initvals: Mapping | Sequence[Mapping] | None, split: TemperedModel, layout: Layout, chains: int
) -> list[np.ndarray]:
    """Flat starting points, one a chain, or none."""
    if initvals is None:
        return []
    each = [initvals] * chains if isinstance(initvals, Mapping) else list(initvals)
    if len(each) != chains:
        raise ValueError(f"initvals has {len(each)} points for {chains} chains: one a chain.")
    return [flat_point(split, layout, values) for values in each]


def _seeds(random_seed, saved: State | None) -> np.random.SeedSequence:
    """The run's seed; that of the checkpoint where the user gives none."""
    if random_seed is None and saved is not None:
        return np.random.SeedSequence(saved.entropy)
    if isinstance(random_seed, np.random.Generator):
        random_seed = int(random_seed.integers(2**63))
    return np.random.SeedSequence(random_seed)


def _entropy(seeds: np.random.SeedSequence) -> list[int]:
    """Entropy of a seed as a list of integers, which JSON keeps whatever their size."""
    entropy = seeds.entropy
    assert entropy is not None
    return [entropy] if isinstance(entropy, int) else [int(word) for word in entropy]


def sample_tempered(
    draws: int = 1000,
    *,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    random_seed=None,
    progressbar: bool = True,
    quiet: bool = False,
    var_names: Sequence[str] | None = None,
    initvals: Mapping | Sequence[Mapping] | None = None,
    target_accept: float = 0.8,
    betas: Sequence[float] | None = None,
    target_beta: float | None = None,
    tempered: Sequence[str] | None = None,
    keep_tempered: bool | None = None,
    checkpoint: str | Path | None = None,
    idata_kwargs: dict | None = None,
    compile_kwargs: dict | None = None,
    model: pm.Model | None = None,
) -> DataTree:
    r"""Sample a model at a ladder of inverse temperatures by non-reversible parallel tempering.

    .. math:: \pi_{\beta_k}(\theta) \propto \pi_0(\theta)\, e^{-\beta_k E(\theta)},
              \qquad 0 = \beta_0 < \dots < \beta_K

    A pilot of annealed particles lays the ladder; tuning rounds that double re-lay it at equal
    swap rejection and settle a NUTS step size and preconditioner a rung; then `draws` scans are
    kept. Rung 0 is refreshed by independent prior draws. Chains are independent ladders.

    Parameters
    ----------
    draws, tune
        scans kept and scans for tuning, a chain.
    chains, cores
        independent ladders, and threads that carry them (results do not depend on
        `cores`).
    random_seed
        int, sequence of ints or NumPy Generator.
    progressbar, quiet
        a bar like PyMC's; `quiet` silences bar and messages.
    var_names
        variables of the posterior to keep.
    initvals
        {variable: value} for all chains, or one of them a chain, where the target rung starts;
        they may show a mode that the pilot missed, and never change log Z.
    target_accept
        acceptance that the NUTS step sizes are tuned to.
    betas
        rungs that must be present; others are added until neighbours swap. They may lie
        above the target.
    target_beta
        the temperature of ``posterior``; by default the model's own, see
        `tempered_model`.
    tempered
        names of the terms that form the energy, see `tempered_model`.
    keep_tempered
        keep the draws of all rungs (``tempered_posterior``); by default while
        they are under 256 MiB.
    checkpoint
        file to which the run is written at most every five seconds, see `checkpoint`. The
        same call goes on from it, bit for bit; more draws extend it; a finished run is read
        at once.
    idata_kwargs
        ``log_likelihood`` and ``log_prior``, as in ``pm.sample``; here both are
        true unless switched off or larger than 256 MiB.
    compile_kwargs
        for PyTensor.
    model
        by default the one in context.

    Returns
    -------
    DataTree
        ``posterior`` and ``sample_stats`` at the target; ``tempered_posterior``,
        ``tempering`` (energy, log_prior_unconstrained, replica over chain, draw,
        inverse_temperature) and ``ladder``; ``annealing`` and ``reference``, the pilot's stages
        and bridges, which `log_evidence` reads; ``loss`` and ``log_likelihood``, free of beta;
        ``log_prior``, ``observed_data``, ``constant_data``. After Ctrl-C it holds what is
        finished, with the attribute ``complete = 0``.

    Raises
    ------
    ImproperPriorError, EnergyError, LadderError, TemperedTermError, InverseTemperatureError,
    UnsupportedVariableError, StalledAnnealingError
        named, with what was seen and what to do.
    CheckpointError, CheckpointMismatchError
        a checkpoint that is damaged or in use, or that belongs to another model, data or seed.

    Warns
    -----
    PhaseTransitionWarning
        coexisting phases, vanishing restarts, ladders that disagree, or a mode that only a
        search found: see `transitions`.

    Notes
    -----
    Source: Syed, Bouchard-Cote, Deligiannidis, Doucet (2022), Non-reversible parallel
    tempering: a scalable highly parallel MCMC scheme, JRSS B 84(2), 321-350.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 10)
    ...     y = pm.Normal("y", mu, 1, observed=[1.0, 2.0, 3.0])
    ...     dt = pms.sample_tempered(200, tune=200, chains=2, random_seed=1, quiet=True)
    >>> list(dt["posterior"].data_vars), float(dt["tempering"].inverse_temperature[-1])
    (['mu'], 1.0)
    """
    n_draws = _check_count("draws", draws, 4)
    n_tune = _check_count("tune", tune, 0)
    n_chains = _check_count("chains", chains, 1)
    options = datatree.check_options(idata_kwargs)
    started = perf_counter()
    model = pm.modelcontext(model)
    split = tempered_model(model, tempered=tempered)
    target = check_beta(split.target_beta if target_beta is None else target_beta, "target_beta")
    if target == 0:
        raise InverseTemperatureError(
            "target_beta = 0 is the prior: draw it with pm.sample_prior_predictive."
        )
    datatree.check_dims(split.model)
    required = required_rungs(betas, target)
    n_cores = min(n_chains, os.cpu_count() or 1) if cores is None else cores
    refuse_flat_priors(model)
    energy_function = split.compile(compile_kwargs)
    prior = compile_prior_draws(split, energy_function, compile_kwargs)
    starts = _starts(initvals, split, energy_function.layout, n_chains)

    path = None if checkpoint is None else Path(checkpoint)
    with nullcontext() if path is None else locked(path):
        saved = load(path)
        seeds = _seeds(random_seed, saved)
        entropy = _entropy(seeds)
        identity = None
        if path is not None:
            identity = fingerprint(
                split,
                energy_function,
                {
                    "tune": n_tune,
                    "chains": n_chains,
                    "target_accept": target_accept,
                    "target_beta": target,
                    "required rungs": required.tolist(),
                    "initvals": [point.tolist() for point in starts],
                    "keep_tempered": keep_tempered,
                },
                entropy,
            )
            if saved is not None:
                check_same(path, saved.fingerprint, identity, seed_given=random_seed is not None)
        own, *streams = seeds.spawn(n_chains + 1)
        rng = np.random.default_rng(own)
        generators = [np.random.default_rng(stream) for stream in streams]
        if not quiet:
            terms = ", ".join(term.name for term in split.terms)
            _log.info(
                f"Tempering [{terms}] to inverse_temperature {target:g}: {n_chains} ladders in "
                f"{min(n_cores, n_chains)} threads, on "
                f"[{', '.join(energy_function.layout.names)}]"
            )
        progress = LadderProgress(n_chains, n_tune + n_draws, enabled=progressbar and not quiet)
        crew = assemble(energy_function, generators, n_cores, progress)
        journal = Journal(path, identity, crew, entropy)
        # many small products, which several threads of a BLAS only slow down
        with threadpool_limits(1), crew.pool, progress, stopping_on_interrupt(crew):
            compiled = perf_counter()
            if saved is None:
                pilot = run_pilot(
                    crew, split, energy_function, prior, required[1:], target, starts, rng
                )
                ladders = from_pilot(pilot.stages, energy_function, required, target, n_chains, rng)
                ladders.reference = pilot.proposal
                place_initvals(ladders, energy_function, starts)
                size = 8 * n_chains * n_draws * len(ladders.betas) * energy_function.size
                keep = size <= KEEP_LIMIT if keep_tempered is None else keep_tempered
                if not keep and keep_tempered is None and not quiet:
                    _log.info(
                        f"The draws of all {len(ladders.betas)} rungs would take "
                        f"{size / 2**20:.0f} MiB, so only those of the target are kept; "
                        "keep_tempered=True keeps them all."
                    )
                block = block_length(energy_function.native.expected_cost, len(ladders.betas))
                journal.save(
                    pilot, ladders, None, tuned=False, keep_all=keep, block=block, now=True
                )
            else:
                pilot, ladders, keep = saved.pilot, saved.ladders, saved.keep_all
                block = saved.block
                resume(crew, saved)
            if saved is None or not saved.tuned:
                progress.stage("tune", rungs=len(ladders.betas))
                ladders = tune_ladders(
                    crew, ladders, prior, n_tune, required, target_accept, entropy, block
                )
                journal.save(pilot, ladders, None, tuned=True, keep_all=keep, block=block, now=True)
            n_rungs, before = len(ladders.betas), None if saved is None else saved.record
            if before is not None:
                progress.close_block(before.energy.shape[1])
            progress.stage("draw", rungs=n_rungs)

            def after_block(record: Record) -> None:
                finished = record.energy.shape[1] == n_draws
                journal.save(
                    pilot, ladders, record, tuned=True, keep_all=keep, block=block, now=finished
                )

            record = run_round(
                crew, ladders, prior, n_draws, number=DRAW_ROUND, entropy=entropy, block=block,
                keep_partial=True, before=before,
                kept_rungs=np.arange(n_rungs) if keep else np.array([ladders.target_rung]),
                after_block=after_block if path is not None else None,
            )  # fmt: skip
    record = record.first(n_draws)
    n_finished = record.energy.shape[1]
    if n_finished < 4:
        raise KeyboardInterrupt
    at_target = np.ascontiguousarray(record.draws[:, :, ladders.target_rung if keep else 0])
    bridged = None
    if pilot.reference is not None:
        draws_of_references = np.random.default_rng(
            np.random.SeedSequence(entropy, spawn_key=(BRIDGES, 0, 0))
        )
        with threadpool_limits(1):
            bridged = bridge_run(
                pilot.reference.partition, energy_function, target, at_target, draws_of_references
            )
    sampled = perf_counter() - compiled
    tree = datatree.from_run(
        split,
        energy_function.layout,
        ladders,
        record,
        pilot,
        bridged,
        var_names=var_names,
        attrs={
            "target_beta": target,
            "tuning_steps": n_tune,
            "sampling_time": sampled,
            "compilation_time": compiled - started,
            "random_seed": "" if random_seed is None else str(random_seed),
            "complete": int(n_finished == n_draws),
        },
    )
    for sign in datatree.transitions(tree):
        warnings.warn(
            sign.sentence[0].upper() + sign.sentence[1:], PhaseTransitionWarning, stacklevel=2
        )
    left_out = datatree.add_densities(tree, split.model, split, target, options, KEEP_LIMIT)
    if left_out and not quiet:
        _log.info(
            f"Pointwise losses would take {left_out / 2**20:.0f} MiB and are left out; "
            "pm_statmech.compute_loss(dt) adds them."
        )
    if not quiet:
        rejections = record.rejections
        _log.info(
            f"{'Interrupted: kept' if n_finished < n_draws else 'Sampled'} {n_finished} draws of "
            f"{n_chains} ladders with {n_rungs} rungs (barrier {np.sum(rejections):.1f}, largest "
            f"swap rejection {np.max(rejections):.2f}) in {perf_counter() - started:.0f} seconds."
        )
    return tree
