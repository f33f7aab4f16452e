"""sample_annealed as a user meets it, and the laws that its weights and its work obey."""

import _thread

import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms
from pm_statmech.samplers import annealed_sampling
from pm_statmech.stats.populations import annealed_evidence, evidence_by_weights, evidence_by_work

from ..conftest import NEWCOMB, POINTWISE_OFF, Z_LIMIT, within

SYSTEMS = {
    "conjugate normal": pms.solvable.conjugate_normal(NEWCOMB, sigma=10.0, prior_sd=50.0),
    "springs": pms.solvable.harmonic_oscillators([1.0, 10.0, 100.0]),
    "coin": pms.solvable.beta_bernoulli(30, 4),
    "two levels": pms.solvable.two_level(2.0),
}


@pytest.fixture(scope="module")
def models():
    return {name: system.model() for name, system in SYSTEMS.items()}


def run(model, draws=400, **kwargs):
    options = {"chains": 4, "random_seed": 1, "cores": 1, "idata_kwargs": POINTWISE_OFF}
    return pms.sample_annealed(draws, model=model, quiet=True, **{**options, **kwargs})


@pytest.fixture(scope="module")
def trees(models):
    return {name: run(model) for name, model in models.items()}


@pytest.mark.parametrize("name", SYSTEMS)
def test_both_evidences_are_the_exact_one(trees, name):
    found = annealed_evidence(trees[name])
    exact = SYSTEMS[name].log_partition(1.0)
    for method in ("smc", "ais"):
        at = found.sel({"method": method})
        assert at["estimate_mcse"] < 0.2
        within(at["estimate"], exact, at["estimate_mcse"])
    assert found["log_evidence"] == found["estimate"][0]
    group = trees[name]["annealing"]
    np.testing.assert_allclose(
        np.log(np.mean(np.exp(group["log_evidence"] - exact))), found["log_evidence"] - exact
    )


def test_evidence_at_another_target(models):
    beta = 2.5
    dt = run(models["coin"], 300, chains=2, target_beta=beta)
    found = annealed_evidence(dt)
    within(found["log_evidence"], SYSTEMS["coin"].log_partition(beta), found["mcse"])
    assert dt["posterior"].attrs["target_beta"] == beta
    assert np.nanmax(dt["annealing"]["beta"]) == beta


def test_the_works_sign_matters(trees):
    """Control: the work with its sign turned obeys no equality."""
    work = trees["conjugate normal"]["annealing"]["work"].values
    wrong = evidence_by_work(-work)
    exact = SYSTEMS["conjugate normal"].log_partition(1.0)
    assert abs(wrong.log_z - exact) > Z_LIMIT * wrong.mcse


def test_every_stages_work_matters(models, monkeypatch):
    """Control: without the work of the first interval Jarzynski's equality fails."""
    whole = annealed_sampling.work_increments
    monkeypatch.setattr(
        annealed_sampling, "work_increments", lambda *args, **kwargs: whole(*args, **kwargs)[1:]
    )
    dt = run(models["springs"], chains=2)
    wrong = evidence_by_work(dt["annealing"]["work"].values)
    exact = SYSTEMS["springs"].log_partition(1.0)
    assert abs(wrong.log_z - exact) > Z_LIMIT * wrong.mcse


def test_particles_that_do_not_move_still_obey_jarzynski(models, monkeypatch):
    """Work depends on kernels being invariant, never on their mixing: none at all is valid."""
    monkeypatch.setattr(annealed_sampling, "sweep", lambda *args: None)
    dt = run(models["two levels"])
    found = evidence_by_work(dt["annealing"]["work"].values)
    within(found.log_z, SYSTEMS["two levels"].log_partition(1.0), found.mcse)


@pytest.mark.parametrize("name", ["conjugate normal", "coin", "two levels"])
def test_posterior_means_are_the_exact_ones(trees, name):
    """Families are the independent draws: the error is that of a mean over families."""
    dt = trees[name]
    [(variable, (mean, sd))] = SYSTEMS[name].posterior(1.0).items()
    draws, family = dt["posterior"][variable].values, dt["annealing"]["family"].values
    squares = [np.sum((np.bincount(f) / len(f)) ** 2) for f in family]
    error = float(sd) * np.sqrt(np.sum(squares)) / len(family)
    within(np.mean(draws), mean, error)
    assert abs(np.std(draws) / sd - 1) < 0.15


def test_equal_seeds_give_equal_numbers_whatever_the_threads_and_chains(models, trees):
    again = run(models["coin"], cores=2, chains=2)
    for group, name in (("posterior", "p"), ("annealing", "work"), ("annealing", "log_evidence")):
        np.testing.assert_array_equal(again[group][name], trees["coin"][group][name][:2])
    other = run(models["coin"], chains=1, random_seed=2)
    assert not np.any(other["posterior"]["p"].values == again["posterior"]["p"].values[:1])


def test_groups_names_dims_and_coords():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(25, 2))
    with pm.Model(coords={"term": ["intercept", "slope"], "obs": np.arange(25)}):
        data = pm.Data("x", x, dims=("obs", "term"))
        beta = pm.Normal("beta", 0, 3, dims="term")
        mu = pm.Deterministic("mu", data @ beta, dims="obs")
        pm.Normal("y", mu, 1.0, observed=x @ [1.0, -1.0], dims="obs")
        dt = pms.sample_annealed(101, chains=2, random_seed=1, quiet=True)
    assert set(dt.children) == {
        "posterior", "sample_stats", "annealing", "loss", "log_likelihood", "log_prior",
        "observed_data", "constant_data",
    }  # fmt: skip
    assert dt["posterior"]["beta"].dims == ("chain", "draw", "term")
    assert dt["posterior"]["mu"].shape == (2, 102, 25)
    annealing = dt["annealing"]
    for name in ("beta", "ess", "acceptance_rate"):
        assert annealing[name].dims == ("chain", "stage")
    assert annealing["work"].dims == ("chain", "draw")
    np.testing.assert_allclose(annealing["energy"], dt["loss"]["y"].sum("obs"))
    for chain in range(2):
        own = annealing["beta"].values[chain, : int(annealing["n_stages"][chain])]
        assert own[0] == 0.0
        assert own[-1] == 1.0
        assert np.all(np.diff(own) > 0)
    attrs = dt["posterior"].attrs
    assert (attrs["reference"], attrs["complete"], attrs["n_observations"]) == ("prior", 1, 25)
    assert (attrs["log_partition_zero"], attrs["target_beta"]) == (0.0, 1.0)


def test_a_constraint_in_the_prior_is_reported_relative_to_z0():
    """x > 0 by a Potential: Z(0) = 1/2, and Z(1) / Z(0) that of the half-line."""
    with pm.Model() as model:
        x = pm.Normal("x")
        pm.Potential("positive", pm.math.switch(x > 0, 0.0, -np.inf))
        pms.GibbsPotential("spring", 4.0 * x**2)
    dt = run(model, chains=1)
    attrs = dt["annealing"].attrs
    assert attrs["reference"] == "Z(0)"
    within(attrs["log_partition_zero"], np.log(0.5), attrs["log_partition_zero_mcse"])
    found = annealed_evidence(dt)
    within(found["log_evidence"], -0.5 * np.log(9.0), found["mcse"])
    within(found["estimate"][1], -0.5 * np.log(9.0), found["estimate_mcse"][1])


def test_errors_from_families_and_from_spread():
    log_ratio = np.array([[[0.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]]])
    overlap = np.full((2, 2, 2), 0.01)
    overlap[:, 1] = 0.05
    alike = evidence_by_weights(log_ratio, overlap)
    assert alike.log_z == pytest.approx(1.0)
    assert alike.mcse == pytest.approx(np.sqrt(0.04 / 4))
    assert alike.support == pytest.approx(20.0)
    log_ratio[1, 1] = [3.0, 3.0]
    z = np.exp([1.0, 3.0])
    spread = np.std(z / z.mean(), ddof=1) / np.sqrt(2)
    assert evidence_by_weights(log_ratio, overlap).mcse == pytest.approx(spread)


def test_estimates_that_disagree_are_warned_of(trees):
    dt = trees["two levels"].copy(deep=True)
    dt["annealing"]["work"] = dt["annealing"]["work"] + 1.0
    with pytest.warns(pms.errors.EvidenceWarning, match="errors"):
        annealed_evidence(dt)


def test_named_errors(models):
    coin = models["coin"]
    with pytest.raises(TypeError, match="model="):
        pms.sample_annealed(coin)
    with pytest.raises(ValueError, match="draws = 2: it must be at least 4"):
        run(coin, 2)
    with pytest.raises(ValueError, match="chains = 0"):
        run(coin, chains=0)
    with pytest.raises(pms.errors.TreeError, match="log_liklihood"):
        run(coin, idata_kwargs={"log_liklihood": True})
    with pytest.raises(pms.errors.InverseTemperatureError, match="is the prior"):
        run(coin, target_beta=0)
    with pytest.raises(pms.errors.TemperedTermError, match="nothing_like_it"):
        run(coin, tempered=["nothing_like_it"])
    with pm.Model() as flat:
        pm.Normal("y", pm.Flat("a"), 1.0, observed=[1.0])
    with pytest.raises(pms.errors.ImproperPriorError, match="flat"):
        run(flat)
    with pytest.raises(pms.errors.TreeError, match="sample_annealed"):
        annealed_evidence("a tree")


def test_ctrl_c_raises_keyboard_interrupt(models, monkeypatch):
    anneal = annealed_sampling.anneal

    def interrupted(*args, **kwargs):
        _thread.interrupt_main()
        return anneal(*args, **kwargs)

    monkeypatch.setattr(annealed_sampling, "anneal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(models["springs"], 100, cores=2)
