"""The methods that `evidence` compares, each a function (problem, model, seed) -> Estimate.

What a method compiles, it compiles in its first call on a model and keeps, except where the
library does not let it (`pm.sample_smc`, and ours). Libraries beyond PyMC are imported on use, so
that one that is missing costs its own rows only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from bridge import bridge
from problems import Problem
from pymc.pytensorf import compile as pymc_compile
from pymc.pytensorf import join_nonshared_inputs
from pytensor.graph.replace import clone_replace, vectorize_graph

import pm_statmech as pms


class Estimate(NamedTuple):
    """log Z, the error that the method reports or NaN, and draws {variable: (n, ...)}."""

    log_z: float
    reported: float
    draws: dict[str, np.ndarray]


class NotAttemptedError(Exception):
    """A method that is not run on a problem, with the reason."""


class CallLimitWarning(UserWarning):
    """A method that was stopped before it was done."""


MOST_CALLS = 500_000


def _stacked(posterior) -> dict[str, np.ndarray]:
    """Draws of a posterior group with the chains one after the other."""
    variables = posterior.dataset.transpose("chain", "draw", ...).data_vars
    return {name: v.values.reshape(-1, *v.shape[2:]) for name, v in variables.items()}


def ours(problem: Problem, model: pm.Model, seed: int) -> Estimate:
    """The default call of `sample_tempered`, and `log_evidence`."""
    dt = pms.sample_tempered(
        model=model, random_seed=seed, cores=1, quiet=True, keep_tempered=False,
        idata_kwargs={"log_likelihood": False, "log_prior": False},
    )  # fmt: skip
    found = pms.log_evidence(dt)
    return Estimate(float(found["log_evidence"]), float(found["mcse"]), _stacked(dt["posterior"]))


def smc(problem: Problem, model: pm.Model, seed: int) -> Estimate:
    """PyMC's own sequential Monte Carlo, 4 runs of 2000 particles; it reports their spread."""
    trace = pm.sample_smc(
        2000, chains=4, cores=1, random_seed=seed, progressbar=False,
        compute_convergence_checks=False, model=model,
    )  # fmt: skip
    # one ragged list of stages a chain; the last finite entry is the evidence
    stages = trace["sample_stats"]["log_marginal_likelihood"].values
    chains = [np.concatenate([np.atleast_1d(np.asarray(v, dtype=float)) for v in row])
              for row in stages]  # fmt: skip
    last = np.array([chain[np.isfinite(chain)][-1] for chain in chains])
    spread = np.std(last, ddof=1) / np.sqrt(len(last))
    return Estimate(float(np.mean(last)), float(spread), _stacked(trace["posterior"]))


def _unflatten(model: pm.Model, flat: np.ndarray) -> dict[str, np.ndarray]:
    """Flat unconstrained draws (n, d) as draws of the variables that have no transform."""
    point, start, draws = model.initial_point(), 0, {}
    for rv, value in zip(model.free_RVs, model.value_vars, strict=True):
        shape = np.shape(point[value.name])
        stop = start + int(np.prod(shape))
        if model.rvs_to_transforms[rv] is None:
            draws[rv.name] = flat[:, start:stop].reshape(-1, *shape)
        start = stop
    return draws


def _densities(model: pm.Model):
    """Graphs log pi_0 and log likelihood, with Potentials, of the flat unconstrained vector."""
    return join_nonshared_inputs(
        model.initial_point(), [model.varlogp, model.datalogp], model.value_vars
    )


@lru_cache(maxsize=1)
def _from_cube(model: pm.Model) -> tuple[Callable, int]:
    """Map u (d,) of the unit cube to prior draws x = F^-1(u), unconstrained, and log likelihood.

    The priors of the problems are independent, so that each F is that of its own variable.
    """
    point = model.initial_point()
    sizes = [int(np.size(point[v.name])) for v in model.value_vars]
    u = pt.vector("u", shape=(sum(sizes),))
    pieces, start = [], 0
    for rv, value, size in zip(model.free_RVs, model.value_vars, sizes, strict=True):
        constrained = pm.icdf(rv, u[start : start + size].reshape(np.shape(point[value.name])))
        transform = model.rvs_to_transforms[rv]
        forward = constrained if transform is None else transform.forward(
            constrained, *rv.owner.inputs
        )  # fmt: skip
        pieces.append(forward)
        start += size
    (_, log_likelihood), x = _densities(model)
    flat = pt.concatenate([pt.flatten(piece) for piece in pieces])
    [at_cube] = clone_replace([log_likelihood], {x: flat})
    return pymc_compile([u], [flat, at_cube], trust_input=True), sum(sizes)


def dynesty(problem: Problem, model: pm.Model, seed: int) -> Estimate:
    """Nested sampling by dynesty: 500 live points, random walks, its own stopping rule.

    Its default below ten dimensions, uniform draws from ellipsoids, took 15 times the calls of
    random walks on the two bananas.
    """
    from dynesty import NestedSampler

    from_cube, d = _from_cube(model)
    if d > 12:
        raise NotAttemptedError(f"takes many minutes in {d} dimensions")
    sampler = NestedSampler(
        lambda u: float(from_cube(u)[1]), np.copy, d, sample="rwalk",
        rstate=np.random.default_rng(seed),
    )  # fmt: skip
    sampler.run_nested(print_progress=False, maxcall=MOST_CALLS)
    found = sampler.results
    if np.sum(found.ncall) >= MOST_CALLS:
        warnings.warn(f"stopped after {MOST_CALLS} calls", CallLimitWarning, stacklevel=2)
    cube = found.samples_equal(rstate=np.random.default_rng(seed))
    flat = np.array([from_cube(u)[0] for u in cube]) if problem.mode_of else np.empty((0, d))
    return Estimate(float(found.logz[-1]), float(found.logzerr[-1]), _unflatten(model, flat))


@lru_cache(maxsize=1)
def _compiled_nuts(model: pm.Model) -> tuple:
    """Return nutpie's model, and log posterior density and flat vector as compiled functions."""
    import nutpie

    parts, x = _densities(model)
    constrained = [rv.type() for rv in model.free_RVs]
    pieces = []
    for rv, value in zip(model.free_RVs, constrained, strict=True):
        transform = model.rvs_to_transforms[rv]
        pieces.append(value if transform is None else transform.forward(value, *rv.owner.inputs))
    flat = pt.concatenate([pt.flatten(piece) for piece in pieces])
    batches = [pt.tensor(dtype=v.dtype, shape=(None, *v.type.shape)) for v in constrained]
    stacked = vectorize_graph(flat, dict(zip(constrained, batches, strict=True)))
    return (
        nutpie.compile_pymc_model(model),
        pymc_compile([x], sum(parts), trust_input=True),
        pymc_compile(batches, stacked),
    )


def nuts_bridge(problem: Problem, model: pm.Model, seed: int) -> Estimate:
    """NUTS by nutpie, 4 chains of 1000, and bridge sampling to a Gaussian."""
    import nutpie

    compiled, log_density, to_flat = _compiled_nuts(model)
    trace = nutpie.sample(
        compiled, draws=1000, tune=1000, chains=4, cores=1, seed=seed, progress_bar=False
    )
    draws = _stacked(trace["posterior"])
    x = to_flat(*(draws[rv.name] for rv in model.free_RVs)).reshape(4, 1000, -1)
    log_z, error = bridge(x, log_density, np.random.default_rng(seed))
    return Estimate(log_z, error, draws)


@lru_cache(maxsize=1)
def _compiled_smc_hmc(model: pm.Model) -> tuple[Callable, Callable, int]:
    """Return BlackJAX's sampler, (key, particles) -> (particles, weights, log Z), compiled."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from smc_hmc import sampler

    from_cube, d = _from_cube(model)
    graphs, x = _densities(model)
    return jax.jit(sampler([x], graphs)), from_cube, d


def blackjax(problem: Problem, model: pm.Model, seed: int) -> Estimate:
    """BlackJAX's adaptive tempered SMC, 1000 particles, HMC tuned by them; reports no error."""
    import jax

    run, from_cube, d = _compiled_smc_hmc(model)
    rng = np.random.default_rng(seed)
    start = np.array([from_cube(u)[0] for u in rng.uniform(size=(1000, d))])
    particles, weights, log_z = map(np.asarray, run(jax.random.key(seed), start))
    # its particles are those of the last temperature but one, with weights to the last
    chosen = rng.choice(len(particles), size=len(particles), p=weights / weights.sum())
    return Estimate(float(log_z), np.nan, _unflatten(model, particles[chosen]))


METHODS: dict[str, Callable[[Problem, pm.Model, int], Estimate]] = {
    "ours": ours,
    "smc": smc,
    "blackjax": blackjax,
    "dynesty": dynesty,
    "nuts+bridge": nuts_bridge,
}
