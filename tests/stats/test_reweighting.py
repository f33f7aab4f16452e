"""The posterior at betas between the rungs, as draws."""

import arviz_stats  # noqa: F401  registers the azstats accessor
import numpy as np
import pytest

import pm_statmech as pms
from pm_statmech import errors
from pm_statmech.stats.mbar import at_beta
from pm_statmech.stats.reweighting import effective_sizes, single_rung, stratified_draws

from ..conftest import Z_LIMIT, within
from .runs import BETAS, CLOSED, run_of, springs, tree_of, without

LADDER = np.array([0.0, 0.1, 0.3, 1.0])


def scores(draws, moments):
    """Scores of mean and sd of each variable against (mean, sd), by ArviZ's own errors."""
    found = []
    for name, (mean, sd) in moments.items():
        for method, truth in (("mean", mean), ("sd", sd)):
            reduce = getattr(draws[name], {"mean": "mean", "sd": "std"}[method])
            error = draws[name].azstats.mcse(method=method)
            found.append(np.ravel((reduce(("chain", "draw")) - truth) / error))
    return np.concatenate(found)


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("beta", BETAS)
def test_moments_against_closed_form(name, beta):
    posterior = pms.reweight(run_of(name), beta)["posterior"]
    assert posterior.sizes["chain"] == 4
    assert posterior.sizes["draw"] == 500
    moments = CLOSED[name].posterior(beta)
    assert np.max(np.abs(scores(posterior, moments))) <= Z_LIMIT


@pytest.mark.parametrize("name", CLOSED)
def test_draws_of_another_beta_are_noticed(name):
    """Control: the posterior at 0.37 is not the one at 1, from which a sampler would start."""
    posterior = pms.reweight(run_of(name), 0.37)["posterior"]
    assert np.max(np.abs(scores(posterior, CLOSED[name].posterior(1.0)))) > Z_LIMIT


def test_a_tree_of_plain_draws():
    dt = run_of("Gaussian linear model")
    warm = pms.reweight(dt, 0.37)
    assert list(warm["posterior"]["b"].dims) == ["chain", "draw", "b_dim_0"]
    assert warm["posterior"]["b"].equals(pms.reweight(dt, 0.37)["posterior"]["b"])
    other = pms.reweight(dt, 0.37, random_seed=1)
    assert not warm["posterior"]["b"].equals(other["posterior"]["b"])
    attrs = warm["posterior"].attrs
    assert attrs["target_beta"] == 0.37
    assert attrs["random_seed"] == 0
    assert attrs["ess"] > 100
    assert 2000 < attrs["ess_weights"] < dt["tempering"]["energy"].size
    assert warm["observed_data"]["y"].equals(dt["observed_data"]["y"])
    assert dt["posterior"].attrs["target_beta"] == 1.0


def test_resampling_is_unbiased_and_in_order():
    rng = np.random.default_rng(0)
    weights = rng.gamma(0.3, size=(2, 20, 3))
    weights[:, 5] = 0.0
    counts = np.zeros_like(weights)
    for _ in range(4000):
        draw, rung = stratified_draws(weights, rng)
        assert np.all(np.diff(draw * 3 + rung) >= 0)
        for c in range(2):
            np.add.at(counts[c], (draw[c], rung[c]), 1.0)
    expected = 20 * weights / np.sum(weights, axis=(1, 2), keepdims=True)
    # a count of strata varies less than independent ones do
    heavy = expected > 0
    z = (counts - 4000 * expected)[heavy] / np.sqrt(4000 * expected[heavy])
    assert np.max(np.abs(z)) < Z_LIMIT
    assert np.all(counts[~heavy] == 0)
    assert np.max(np.abs((counts - 4000 / 3) / np.sqrt(4000 / 3))) > Z_LIMIT  # control


def test_equal_weights_keep_one_draw_a_scan():
    draw, rung = stratified_draws(np.ones((1, 5000, 4)), np.random.default_rng(1))
    np.testing.assert_array_equal(draw[0], np.arange(5000))
    # with one uniform for all strata (systematic) a single rung would be picked throughout
    share = np.bincount(rung[0], minlength=4) / 5000
    assert np.max(np.abs(share - 0.25)) < 5.5 * np.sqrt(0.25 * 0.75 / 5000)


def test_effective_sizes_of_known_cases():
    """At its own beta a rung's weights are equal; far away they are those of the closed form."""
    x = springs(2, [1.0], chains=4, draws=2000)
    energy = 0.5 * np.sum(x**2, axis=-1)
    alone = single_rung(energy, 1.0)
    weights, ess = effective_sizes(alone, at_beta(alone, 1.0), [x])
    assert weights == pytest.approx(8000)
    assert 6000 < ess < 9000
    # 1/sum w^2 -> n Z(b)^2 / (Z(1) Z(2 b - 1)) for E = |x|^2 / 2 in six dimensions
    weights, _ = effective_sizes(alone, at_beta(alone, 1.5), [x])
    assert weights == pytest.approx(8000 * (2.0 * 3.0 / 2.5**2) ** 3, rel=0.05)
    correlated = springs(3, [1.0], chains=4, draws=2000, memory=0.9)
    alone = single_rung(0.5 * np.sum(correlated**2, axis=-1), 1.0)
    weights, ess = effective_sizes(alone, at_beta(alone, 1.0), [correlated])
    assert weights == pytest.approx(8000)
    assert ess == pytest.approx(8000 / 19, rel=0.35)


def test_excluded_draws_come_back_at_the_prior_alone():
    x = springs(4, LADDER)
    energy = 0.5 * np.sum(x**2, axis=-1)
    out = np.random.default_rng(4).random(energy.shape[:2]) < 0.2
    energy[..., 0] = np.where(out, np.inf, energy[..., 0])
    excluded = np.isinf(energy).astype(float)
    dt = tree_of(energy, LADDER, variables={"x": x, "out": excluded})
    prior = pms.reweight(dt, 0.0)["posterior"]["out"]
    within(prior.mean(), 0.2, prior.azstats.mcse(method="mean"))
    assert pms.reweight(dt, 0.05)["posterior"]["out"].sum() == 0


def test_without_the_draws_of_other_rungs():
    dt = without(run_of("conjugate normal"), "tempered_posterior")
    near = pms.reweight(dt, 0.8)["posterior"]
    moments = CLOSED["conjugate normal"].posterior(0.8)
    assert np.max(np.abs(scores(near, moments))) <= Z_LIMIT
    x = springs(5, LADDER, d=60)
    far = tree_of(0.5 * np.sum(x**2, axis=-1), LADDER, variables={"x": x})
    message = r"(?s)at beta = 0\.1 .*worth \d+ .*keep_tempered=True"
    with pytest.raises(errors.TreeError, match=message):
        pms.reweight(without(far, "tempered_posterior"), 0.1)
    # one stiff spring: draws enough by their weights, but the largest weights were never drawn
    z = springs(6, 20 * LADDER, d=1)
    stiff = tree_of(10 * z[..., 0] ** 2, LADDER, variables={"x": z})
    with pytest.raises(errors.TreeError, match=r"(?s)Pareto k = 0\.[789].*keep_tempered=True"):
        pms.reweight(without(stiff, "tempered_posterior"), 0.03)


def test_few_draws_are_warned_of():
    x = springs(6, LADDER, chains=1, draws=25)
    dt = tree_of(0.5 * np.sum(x**2, axis=-1), LADDER, variables={"x": x})
    with pytest.warns(errors.ConvergenceWarning, match=r"beta = 0\.5 rests on \d+ effective"):
        pms.reweight(dt, 0.5)


@pytest.mark.parametrize(("beta", "message"), [(2.6, "0 to 2.5"), (-1.0, ">= 0"), (np.inf, "fin")])
def test_betas_outside(beta, message):
    with pytest.raises(errors.InverseTemperatureError, match=message):
        pms.reweight(run_of("Beta-Bernoulli"), beta)


def test_a_tree_of_something_else():
    with pytest.raises(errors.TreeError, match="tempering"):
        pms.reweight(run_of("Beta-Bernoulli")["posterior"], 1.0)
