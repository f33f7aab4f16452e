"""Bugs that samplers of this family really had, put into this code line by line: each must die.

A mutant is a function of the package compiled anew with one piece of its source replaced. Every
check is passed by the code as it is. KS tests on draws miss most of these; what kills them is

1. a swap overwrites a state: the enumerated transition matrix
2. swap ratio transposed: the same (another in `test_exchange`)
3. p for 1 - p: the same (another in `test_exchange`)
4. energies not moved with the state: consistency in the enumeration (another in `test_exchange`)
5. chain-to-rung map wrong: consistency in the enumeration, round trips by hand, and the mean
   energy of each rung of a run
6. increments of uniform weights after a skipped resampling: unbiasedness of Z by annealing
7. a sign error hidden by Gaussian targets: moves on a skewed target; integration of a curve with
   a third cumulant; the minimiser of an asymmetric loss
8. integration with an improper prior: refusal, and Z of a prior cut in two (`test_integration`
   has energies that are infinite, or without a mean, at beta = 0)
"""

import inspect
import textwrap

import numba
import numpy as np
import pymc as pm
import pytest
from scipy import stats

import pm_statmech as pms
from pm_statmech import errors, losses, tempering
from pm_statmech.datatree import run as tree_of_run
from pm_statmech.losses import location
from pm_statmech.samplers import annealing, exchange, independence, parallel_tempering
from pm_statmech.samplers.crew import assemble
from pm_statmech.samplers.mixture import Mixture, compiled_parameters
from pm_statmech.samplers.prior_draws import checked_prior_sample, compile_prior_draws
from pm_statmech.samplers.progress import LadderProgress
from pm_statmech.stats import integration

from ..conftest import Z_LIMIT, within
from .test_exchange import BETAS, stationary, swap_matrix, test_round_trips_by_hand
from .test_kernels import two_bumps
from .test_nuts import exact_draws, funnel_free, z_scores

__all__ = ["funnel_free"]
test_round_trips_by_hand.__test__ = False


def mutated(function, *edits):
    """The function, in pure Python, with each (old, new) piece of its source exchanged."""
    source = textwrap.dedent(inspect.getsource(getattr(function, "py_func", function)))
    source = source[source.index("def ") :]
    for old, new in edits:
        assert source.count(old) == 1, f"{old!r} is gone from {function}: write this mutant anew"
        source = source.replace(old, new)
    namespace = dict(vars(inspect.getmodule(getattr(function, "py_func", function))))
    exec(compile("from __future__ import annotations\n" + source, "<mutant>", "exec"), namespace)
    return namespace[function.__name__]


def check_swaps(propose_swaps):
    """Bugs 1 to 5: pi P = pi, and replicas are permuted with their states and energies."""
    _, pi = stationary(BETAS)
    for parity in (0, 1):
        assert np.max(np.abs(pi @ swap_matrix(BETAS, parity, propose_swaps) - pi)) <= 1e-12


X = ("x[k, i], x[k + 1, i] = x[k + 1, i], x[k, i]", "x[k, i] = x[k + 1, i]")
VALUES = (
    "values[k, i], values[k + 1, i] = values[k + 1, i], values[k, i]",
    "values[k, i] = values[k + 1, i]",
)
REPLICA = ("replica[k], replica[k + 1] = replica[k + 1], replica[k]", "replica[k] = replica[k + 1]")
SWAP_MUTANTS = {
    "a swap overwrites a state": [X],
    "overwrites a state and all that goes with it": [X, VALUES, REPLICA],
    "energies transposed": [
        ("values[k, 1], values[k + 1, 1])", "values[k + 1, 1], values[k, 1])"),
    ],
    "p for 1 - p": [("uniforms[k] < accept", "uniforms[k] >= accept")],
    "energies stay behind": [(VALUES[0], "pass")],
    "replica stays behind": [(REPLICA[0], "pass")],
    "the energy of the pair before": [("values[k, 1], values", "values[k - 1, 1], values")],
}


def test_swaps_as_they_are():
    check_swaps(exchange.propose_swaps)
    check_swaps(mutated(exchange.propose_swaps))


@pytest.mark.parametrize("edits", SWAP_MUTANTS.values(), ids=SWAP_MUTANTS)
def test_broken_swaps_die(edits):
    with pytest.raises(AssertionError):
        check_swaps(mutated(exchange.propose_swaps, *edits))


def test_a_transposed_ratio_dies(monkeypatch):
    mutant = mutated(
        exchange.swap_probability,
        ("* (energy_high - energy_low)", "* (energy_low - energy_high)"),
    )
    monkeypatch.setattr(exchange, "swap_probability", mutant)
    with pytest.raises(AssertionError):
        check_swaps(mutated(exchange.propose_swaps))


def test_round_trips_of_the_inverse_map_die(monkeypatch):
    """replica[k] is who sits at rung k; round trips need the rung of each replica."""
    mutant = mutated(tree_of_run.round_trips, ("np.argsort(replica, axis=1)", "replica"))
    monkeypatch.setitem(test_round_trips_by_hand.__globals__, "round_trips", mutant)
    with pytest.raises(AssertionError):
        test_round_trips_by_hand()


def check_rungs(energy, system):
    """The mean energy of every rung of (chain, draw, inverse_temperature) is U(beta)."""
    error = energy.azstats.mcse(method="mean", sample_dims=["chain", "draw"])
    for beta in energy["inverse_temperature"].values:
        at = {"inverse_temperature": beta}
        within(energy.sel(at).mean(), system.mean_energy(float(beta)), error.sel(at))


def test_energies_of_chains_for_those_of_rungs_die(newcomb, newcomb_system):
    tempering_group = newcomb["tempering"].dataset
    energy = tempering_group["energy"]
    check_rungs(energy, newcomb_system)
    by_chain = np.take_along_axis(energy.values, tempering_group["replica"].values, axis=2)
    with pytest.raises(AssertionError):
        check_rungs(energy.copy(data=by_chain), newcomb_system)


def check_annealing(monkeypatch, anneal):
    """Z of annealed particles is unbiased, moves or none: they are left out, since they hide it."""
    system = pms.solvable.conjugate_normal([1.0, 2.0, 3.0], sigma=1.0, prior_sd=2.0)
    function = pms.tempered_model(system.model()).compile()
    still = lambda crew, population, beta, factors, step_size: (step_size, np.zeros(4))  # noqa: E731
    monkeypatch.setitem(anneal.__globals__, "equilibrate", still)
    rng = np.random.default_rng(0)
    stops, ratios = np.array([0.0, 0.1, 0.3, 0.6, 1.0]), []
    crew = assemble(function, [rng], 1, LadderProgress(1, 1, enabled=False))
    with crew.pool:
        for _ in range(100):
            x = rng.normal(0, 2, size=(400, 1))
            stages, _, _ = anneal(crew, x, function(x), stops, explore_prior=False, rng=rng)
            assert len(stages) > 3
            log_z = np.sum([stage.log_ratio for stage in stages], axis=0)
            ratios.extend(np.exp(log_z - system.log_partition(1.0)))
    within(np.mean(ratios), 1.0, np.std(ratios) / np.sqrt(len(ratios)))


def test_annealing_as_it_is(monkeypatch):
    check_annealing(monkeypatch, mutated(annealing.anneal))


def test_increments_after_a_skipped_resampling_die(monkeypatch):
    """Particles kept as they are while their weights are forgotten."""
    skipped = "chosen = np.arange(len(weights))"
    edit = ("chosen = systematic_resample(weights, rng.random())", skipped)
    with pytest.raises(AssertionError):
        check_annealing(monkeypatch, mutated(annealing.anneal, edit))


def check_independence(step, function, q, beta):
    """Exact draws moved to draws of q, or not, are exact draws still."""
    rng = np.random.default_rng(5)
    x = exact_draws(beta, 5000, rng)
    target, keep = function.bind()
    values, scratch, parameters = function(x), np.empty(6), compiled_parameters(q)
    for i, proposal in enumerate(q.draw(len(x), rng)):
        step(target, x[i], values[i], beta, proposal, rng.random(), scratch, *parameters)
    del keep
    assert np.max(z_scores(x, exact_draws(beta, 20_000, rng))) <= Z_LIMIT


def test_an_inverted_ratio_hides_behind_a_gaussian_and_dies_elsewhere(funnel_free):
    """Where the reference is the target itself, log of the ratio is 0 and has no sign."""
    check_independence(independence.independence_step, funnel_free, two_bumps(), 1.0)
    edit = ("np.log(uniform) < gain", "np.log(uniform) < -gain")
    mutant = numba.njit(mutated(independence.independence_step, edit))
    exact = Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
    check_independence(mutant, funnel_free, exact, 0.0)
    with pytest.raises(AssertionError):
        check_independence(mutant, funnel_free, two_bumps(), 1.0)


def check_rule(corrected_trapezoid, variance):
    """-int_0^1 U for U(0) = 1 and U' = -V, V a quadratic of coefficients (a, b, c)."""
    a, b, c = variance
    betas = np.array([0.0, 0.3, 1.0])
    mean = 1 - a * betas - b * betas**2 / 2 - c * betas**3 / 3
    steps = corrected_trapezoid(betas, mean, a + b * betas + c * betas**2)
    assert np.sum(steps) == pytest.approx(-(1 - a / 2 - b / 6 - c / 12), abs=1e-12)


def test_a_flipped_correction_hides_behind_gaussian_energies_and_dies_elsewhere():
    """Gaussian energies have V constant in beta, so that the correction is 0."""
    check_rule(integration.corrected_trapezoid, (1.0, -2.0, 3.0))
    mutant = mutated(integration.corrected_trapezoid, ("-(step**2) / 12", "(step**2) / 12"))
    check_rule(mutant, (1.0, 0.0, 0.0))
    with pytest.raises(AssertionError):
        check_rule(mutant, (1.0, -2.0, 3.0))


def check_quantile(loss, tau):
    """The loss is least at the tau-quantile of 0, 1, ..., 20."""
    y, candidates = (v.ravel() for v in np.meshgrid(np.arange(21.0), np.arange(21.0)))
    total = loss(y, candidates).eval().reshape(21, 21).sum(axis=1)
    assert np.argmin(total) == np.floor(20 * tau)


def test_a_reversed_residual_hides_behind_the_median_and_dies_elsewhere():
    for tau in (0.12, 0.5, 0.9):
        check_quantile(losses.pinball(tau), tau)
    edit = (
        "lambda r: pt.maximum(constant(tau) * r, constant(tau - 1.0) * r)",
        "lambda r: pt.maximum(constant(-tau) * r, constant(1.0 - tau) * r)",
    )
    mutant = mutated(location.pinball, edit)
    check_quantile(mutant(0.5), 0.5)
    with pytest.raises(AssertionError):
        check_quantile(mutant(0.9), 0.9)


def check_flat_prior():
    with pm.Model() as model:
        a = pm.Flat("a")
        pm.Normal("y", a, 1, observed=[1.0, 2.0])
    try:
        pms.sample_tempered(10, tune=0, chains=1, model=model, quiet=True)
    except errors.ImproperPriorError:
        return
    except Exception as error:
        raise AssertionError("stopped, but not for its prior") from error
    raise AssertionError("a flat prior was sampled")


def test_integration_over_a_flat_prior_dies(monkeypatch):
    check_flat_prior()
    monkeypatch.setattr(parallel_tempering, "refuse_flat_priors", lambda model: None)
    with pytest.raises(AssertionError, match="not for its prior"):
        check_flat_prior()


def check_cut_prior():
    """x ~ N(0, 1) kept above 0 by a Potential, y ~ N(x, 1) seen at 1: Z(1)/Z(0) and Z(0)."""
    with pm.Model() as model:
        x = pm.Normal("x")
        pm.Potential("above", pm.math.switch(x > 0, 0.0, -np.inf))
        pm.Normal("y", x, 1, observed=1.0)
    split = pms.tempered_model(model)
    function = split.compile()
    prior, rng = compile_prior_draws(split, function), np.random.default_rng(1)
    sample = checked_prior_sample(split, function, prior, 4000, rng)
    truth = stats.norm.pdf(1, 0, np.sqrt(2)) * 2 * stats.norm.cdf(np.sqrt(0.5))
    ratio = np.exp(-sample.values[:, 1])
    within(np.mean(ratio), truth, np.std(ratio) / np.sqrt(4000))
    within(sample.log_z0, np.log(0.5), sample.log_z0_mcse)


def test_a_cut_prior_taken_for_a_normalised_one_dies(monkeypatch):
    check_cut_prior()
    monkeypatch.setattr(tempering, "_why_not_normalised", lambda model, tempered: "")
    with pytest.raises(AssertionError):
        check_cut_prior()


def test_a_forgotten_normaliser_dies(monkeypatch):
    edit = ("log_z0 = float(top + np.log(np.mean(weights)))", "log_z0 = 0.0")
    mutant = mutated(checked_prior_sample, edit)
    monkeypatch.setitem(check_cut_prior.__globals__, "checked_prior_sample", mutant)
    with pytest.raises(AssertionError):
        check_cut_prior()
