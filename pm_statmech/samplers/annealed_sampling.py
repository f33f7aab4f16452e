r"""sample_annealed: independent populations of particles, annealed from the prior to the target.

A first pass is sequential Monte Carlo (see `annealing`); it lays the betas and tunes the kernels.
A second pass takes new prior draws along the same betas with the same kernels, without resampling,
and records the work done on each of them, which obeys Jarzynski's equality

.. math:: W = \sum_j (\beta_{j+1} - \beta_j)\, E(x_j), \qquad E\left[e^{-W}\right]
          = \frac{Z(\beta_*)}{Z(0)}

exactly, because nothing that moves a particle has seen it. Each interval of the first pass is
divided into a step for each sweep it took at each scale, since the work's variance falls with
their number: without resampling, weights that lose half of their effective sample size at each
of ten stages would be those of one particle in a thousand.

Sources: Del Moral, Doucet, Jasra (2006), JRSS B 68(3); Neal (2001), Stat. Comput. 11; Jarzynski
(1997), Phys. Rev. Lett. 78.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter

import numpy as np
import pymc as pm
from threadpoolctl import threadpool_limits
from xarray import DataTree

from pm_statmech import datatree
from pm_statmech.energy_function import EnergyFunction
from pm_statmech.errors import InverseTemperatureError
from pm_statmech.ladder import check_beta
from pm_statmech.samplers.annealing import SCALES, Population, Stage, anneal, in_halves, sweep
from pm_statmech.samplers.crew import Crew, assemble, stopping_on_interrupt
from pm_statmech.samplers.hmc import SUM_MOVES
from pm_statmech.samplers.parallel_tempering import KEEP_LIMIT, _check_count
from pm_statmech.samplers.pilot import is_stepwise
from pm_statmech.samplers.prior_draws import (
    PriorDraws,
    PriorSample,
    checked_prior_sample,
    compile_prior_draws,
    refuse_flat_priors,
)
from pm_statmech.samplers.progress import LadderProgress
from pm_statmech.tempering import TemperedModel, tempered_model

_log = logging.getLogger("pymc.pm_statmech")

# blocks of a population that threads may carry, with a generator each; fixed, so that a chain
# depends neither on the number of threads nor on that of chains
BLOCKS = 4


@dataclass(frozen=True)
class AnnealedChain:
    """One population and its second pass.

    Parameters
    ----------
    stages, particles
        of the sequential Monte Carlo.
    work
        (N,) of the particles of the second pass.
    samples
        the prior draws of both passes.
    """

    stages: list[Stage]
    particles: Population
    work: np.ndarray
    samples: tuple[PriorSample, PriorSample]


def work_increments(
    crew: Crew,
    stages: list[Stage],
    x: np.ndarray,
    values: np.ndarray,
    *,
    explore_prior: bool,
    watch: Callable[[float], None],
) -> np.ndarray:
    r"""Work on new particles of pi_0 in each interval of a frozen schedule.

    .. math:: W_j = \sum_{i=1}^{m_j} \frac{\beta_{j+1} - \beta_j}{m_j}\, E(x_{j, i-1})

    where x_{j, i} is x_{j, i-1} moved at :math:`\beta_j + (i / m_j)(\beta_{j+1} - \beta_j)` by the
    preconditioner and the step of stage j + 1, which took m_j / 3 sweeps.

    Parameters
    ----------
    stages
        (J,) of other particles; x, values : (N, d), (N, 2 + 2 d), N even.
    explore_prior
        whether to move at beta = 0 first, see `anneal`.
    watch
        told of the share that is done.

    Returns
    -------
    (J - 1, N).
    """
    population = in_halves(x, values)

    def move(stage: Stage, beta: float, number: int) -> None:
        scale = SCALES[number % len(SCALES)]
        sweep(crew, population, beta, (stage.factor, stage.factor), stage.step_size, scale)

    n_sweeps = [round(stage.sums[SUM_MOVES] / len(stage.energies)) for stage in stages]
    if explore_prior:
        for number in range(n_sweeps[0]):
            move(stages[0], 0.0, number)
    increments = np.zeros((len(stages) - 1, len(x)))
    for j, (hotter, colder) in enumerate(pairwise(stages)):
        betas = np.linspace(hotter.beta, colder.beta, len(SCALES) * n_sweeps[j + 1] + 1)
        for number, (before, after) in enumerate(pairwise(betas)):
            increments[j] += (after - before) * population.energies.ravel()
            move(colder, after, number)
        watch((j + 1) / len(increments))
    return increments


def anneal_chain(
    crew: Crew,
    split: TemperedModel,
    energy_function: EnergyFunction,
    prior: PriorDraws,
    n: int,
    target: float,
    rng: np.random.Generator,
    watch: Callable[[float], None],
) -> AnnealedChain:
    """Anneal n particles to the target, then take as many new ones the same way."""
    sample = checked_prior_sample(split, energy_function, prior, n, rng)
    crew.target = crew.target._replace(stepwise=int(is_stepwise(sample.values)))
    explore = not prior.exact
    stages, particles, _ = anneal(
        crew, sample.x, sample.values, np.array([target]), explore_prior=explore, rng=rng,
        family=sample.family,
    )  # fmt: skip
    again = checked_prior_sample(split, energy_function, prior, n, rng)
    work = work_increments(
        crew, stages, again.x, again.values, explore_prior=explore, watch=watch
    ).sum(axis=0)
    return AnnealedChain(stages, particles, work, (sample, again))


def sample_annealed(
    draws: int = 1000,
    *,
    chains: int = 4,
    cores: int | None = None,
    random_seed=None,
    progressbar: bool = True,
    quiet: bool = False,
    var_names: Sequence[str] | None = None,
    target_beta: float | None = None,
    tempered: Sequence[str] | None = None,
    idata_kwargs: dict | None = None,
    compile_kwargs: dict | None = None,
    model: pm.Model | None = None,
) -> DataTree:
    r"""Sample a model by annealed sequential Monte Carlo, with the work of annealed importance.

    .. math:: w_i = e^{-(\beta_{j+1} - \beta_j) E(x_i)}, \qquad
              \frac{Z(\beta_*)}{Z(0)} \approx \prod_j \frac1N \sum_i w_i
              \approx \frac1N \sum_i e^{-W_i}

    Each chain is a population of its own: prior draws are weighted from each beta to the next, the
    furthest at which their effective sample size is half of them, resampled and moved, until they
    are draws of the target. A second pass takes new prior draws through the same betas without
    resampling and records the work W done on each.

    Parameters
    ----------
    draws
        particles of a chain, at least 4, rounded up to even. They are not independent: those
        that descend from one prior draw are alike (``family``).
    chains, cores
        independent populations, one after another, and threads that carry each (results do
        not depend on `cores`; more than 4 change nothing).
    random_seed
        int, sequence of ints or NumPy Generator.
    progressbar, quiet
        a bar like PyMC's; `quiet` silences bar and messages.
    var_names
        variables of the posterior to keep.
    target_beta
        the temperature of ``posterior``; by default the model's own, see
        `tempered_model`.
    tempered
        names of the terms that form the energy, see `tempered_model`.
    idata_kwargs
        ``log_likelihood`` and ``log_prior``, as in `sample_tempered`.
    compile_kwargs
        for PyTensor.
    model
        by default the one in context.

    Returns
    -------
    DataTree
        ``posterior`` and ``sample_stats`` (lp) of the particles at the target; ``annealing``, of
        each chain and stage: beta, log_ratio of each half of the population, ess,
        acceptance_rate, NaN beyond a chain's last stage; of each chain and draw: energy and
        family of the particles, and ``work``, of the *second* pass; of each chain log_evidence
        and log_evidence_ais, see `annealed_evidence`; ``loss`` and ``log_likelihood``, free of
        beta; ``log_prior``, ``observed_data``, ``constant_data``.

    Raises
    ------
    ImproperPriorError, EnergyError, TemperedTermError, InverseTemperatureError,
    UnsupportedVariableError, StalledAnnealingError; KeyboardInterrupt after Ctrl-C, because
    particles on their way are draws of nothing asked for.

    Notes
    -----
    Sources: Del Moral, Doucet, Jasra (2006), Sequential Monte Carlo samplers, JRSS B 68(3);
    Neal (2001), Annealed importance sampling, Stat. Comput. 11; Jarzynski (1997), Phys. Rev.
    Lett. 78.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> with pm.Model():
    ...     mu = pm.Normal("mu", 0, 10)
    ...     y = pm.Normal("y", mu, 1, observed=[1.0, 2.0, 3.0])
    ...     dt = pms.sample_annealed(200, chains=2, random_seed=1, quiet=True)
    >>> dt["posterior"]["mu"].shape, dt["annealing"]["work"].shape
    ((2, 200), (2, 200))
    """
    n_draws = _check_count("draws", draws, 4)
    n_draws += n_draws % 2
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
    # a sweep needs a particle of each half in each block
    n_blocks = min(BLOCKS, n_draws // 2)
    n_cores = (os.cpu_count() or 1) if cores is None else _check_count("cores", cores, 1)
    refuse_flat_priors(model)
    energy_function = split.compile(compile_kwargs)
    prior = compile_prior_draws(split, energy_function, compile_kwargs)
    seeds = np.random.SeedSequence(
        random_seed.integers(2**63) if isinstance(random_seed, np.random.Generator) else random_seed
    )
    if not quiet:
        terms = ", ".join(term.name for term in split.terms)
        _log.info(
            f"Annealing [{terms}] to inverse_temperature {target:g}: {n_chains} populations of "
            f"{n_draws} particles in {min(n_cores, n_blocks)} threads, HMC on "
            f"[{', '.join(energy_function.layout.names)}]"
        )
    progress = LadderProgress(n_chains, n_draws, enabled=progressbar and not quiet)
    # the crew's members are blocks of particles, and the bar's rows are chains
    generators = [
        [np.random.default_rng(s) for s in stream.spawn(n_blocks + 1)]
        for stream in seeds.spawn(n_chains)
    ]
    crew = assemble(
        energy_function, generators[0][1:], n_cores, LadderProgress(n_blocks, 1, enabled=False)
    )
    runs: list[AnnealedChain] = []

    def watch(share: float) -> None:
        left = n_chains - len(runs) - 1
        progress.watch([n_draws] * len(runs) + [int(share * n_draws)] + [0] * left)

    compiled = perf_counter()
    with threadpool_limits(1), crew.pool, progress, stopping_on_interrupt(crew):
        progress.stage("anneal")
        for rng, *crew.generators in generators:
            runs.append(
                anneal_chain(crew, split, energy_function, prior, n_draws, target, rng, watch)
            )
    if crew.interrupted:
        raise KeyboardInterrupt
    sampled = perf_counter() - compiled
    tree = datatree.from_annealed(
        split,
        energy_function.layout,
        runs,
        var_names=var_names,
        attrs={
            "target_beta": target,
            "sampling_time": sampled,
            "compilation_time": compiled - started,
            "random_seed": "" if random_seed is None else str(random_seed),
            "complete": 1,
        },
    )
    left_out = datatree.add_densities(tree, split.model, split, target, options, KEEP_LIMIT)
    if left_out and not quiet:
        _log.info(
            f"Pointwise losses would take {left_out / 2**20:.0f} MiB and are left out; "
            "pm_statmech.compute_loss(dt) adds them."
        )
    if not quiet:
        most = max(len(run.stages) for run in runs)
        _log.info(
            f"Annealed {n_chains} populations of {n_draws} particles through at most {most} "
            f"stages in {perf_counter() - started:.0f} seconds."
        )
    return tree
