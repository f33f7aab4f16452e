"""Fits to other data and weights, against closed forms."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms
from pm_statmech.errors import EnergyError, UnsupportedVariableError
from pm_statmech.samplers.refits import (
    COUNTS,
    compile_constrained,
    compile_losses,
    compile_losses_at,
    compile_refits,
)
from pm_statmech.samplers.workers import in_parallel
from tests.conftest import Z_LIMIT, within

Y = np.random.default_rng(1).normal(1.0, 2.0, size=30)


@pytest.fixture(scope="module")
def normal():
    """A normal mean with half the square for a loss, and a prior of variance 4."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 2.0)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=Y)
    split = pms.tempered_model(model)
    refits = compile_refits(split, counted=True)
    return refits, refits.first(0.5, {}, 4000, np.random.default_rng(0))


def moments(beta, counts, y=Y):
    precision = 0.25 + beta * np.sum(counts)
    return beta * np.sum(counts * y) / precision, 1 / precision


def distances(fit, mean, variance):
    """Mean and variance of draws less the exact ones, in standard errors."""
    x, ess = fit.pooled()[:, 0], float(fit.ess[0])
    z_mean = (x.mean() - mean) / np.sqrt(variance / ess)
    return abs(z_mean), abs(x.var() / variance - 1) / np.sqrt(2 / ess)


@pytest.mark.parametrize("beta", [0.05, 0.5, 2.5])
@pytest.mark.parametrize("kind", ["data", "bootstrap", "fold", "other data"])
def test_draws_are_those_of_the_weighted_posterior(normal, beta, kind):
    refits, first = normal
    rng = np.random.default_rng(3)
    counts, y, data = np.ones(30), Y, {}
    if kind == "bootstrap":
        counts = rng.multinomial(30, np.full(30, 1 / 30)).astype(float)
    if kind == "fold":
        counts = (np.arange(30) % 5 > 0).astype(float)
    if kind == "other data":
        y = rng.normal(-1.0, 1.0, size=30)
        data = {"y": y}
    fit = refits.again(first, beta, data | {COUNTS: counts}, 4000, rng)
    assert fit.converged
    assert max(distances(fit, *moments(beta, counts, y))) < Z_LIMIT
    # the test would notice twice the beta
    assert max(distances(fit, *moments(2 * beta, counts, y))) > Z_LIMIT
    energy = 0.5 * np.sum(counts * (y - fit.pooled()[:, :1]) ** 2, axis=1)
    np.testing.assert_allclose(fit.energy.ravel(), energy, rtol=1e-10)


def test_weights_carry_draws_to_another_beta(normal):
    _, first = normal
    log_w, effective = first.log_weights(0.6)
    assert np.sum(np.exp(log_w)) == pytest.approx(1.0)
    mean, variance = moments(0.6, np.ones(30))
    within(np.exp(log_w) @ first.pooled()[:, 0], mean, np.sqrt(variance / effective))
    # twice as cold is half as wide, and as much hotter is wider
    for beta in (0.35, 1.0):
        log_w, effective = first.log_weights(beta)
        mean, variance = moments(beta, np.ones(30))
        spread = np.exp(log_w) @ (first.pooled()[:, 0] - mean) ** 2
        within(spread, variance, variance * np.sqrt(2 / effective))
        assert abs(spread - moments(0.5, np.ones(30))[1]) > 0.2 * variance
    # further away fewer count, and none are gained by staying
    sizes = [first.log_weights(beta)[1] for beta in (0.5, 0.6, 1.0, 3.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == pytest.approx(first.ess.min())


def test_models_whose_scales_differ_are_found_from_afar():
    rng = np.random.default_rng(1)
    x = rng.gamma(4.0, 250.0, size=200)
    y = 80 + 0.5 * x + rng.normal(0.0, 60.0, size=200)
    with pm.Model() as model:
        a, b = pm.Normal("a", 0.0, 1000.0), pm.Normal("b", 0.0, 10.0)
        pm.Normal("y", a + b * x, 60.0, observed=y)
    refits = compile_refits(pms.tempered_model(model), counted=False)
    fit = refits.first(1.0, {}, 2000, np.random.default_rng(1))
    X = np.column_stack([np.ones(200), x])
    precision = X.T @ X / 3600 + np.diag([1e-6, 1e-2])
    mean = np.linalg.solve(precision, X.T @ y / 3600)
    sd = np.sqrt(np.diag(np.linalg.inv(precision)))
    assert fit.converged
    for j in range(2):
        within(fit.pooled()[:, j].mean(), mean[j], sd[j] / np.sqrt(fit.ess[j]))


def test_integers_and_losses_without_slopes():
    y = np.array([0, 1, 1, 0, 1, 1, 1, 0, 1, 1])
    with pm.Model() as model:
        k = pm.Binomial("k", 4, 0.5)
        t = pm.Normal("t", 0.0, 1.0)
        pms.GibbsLoss("y", t + k - 2.0, loss=pms.losses.zero_one, observed=y)
    refits = compile_refits(pms.tempered_model(model), counted=True)
    fit = refits.first(1.0, {}, 8000, np.random.default_rng(1))
    # exactly: E is 3 where the score is positive, else 7
    from scipy.stats import binom, norm

    p_positive = sum(binom.pmf(j, 4, 0.5) * norm.sf(2.0 - j) for j in range(5))
    odds = p_positive * np.exp(-3.0) / (p_positive * np.exp(-3.0) + (1 - p_positive) * np.exp(-7.0))
    found = np.mean(fit.energy == 3.0)
    within(found, odds, np.sqrt(odds * (1 - odds) / min(fit.ess)))


def test_losses_at_draws_and_at_points(normal):
    with pm.Model() as model:
        mu, s = pm.Normal("mu"), pm.HalfNormal("s")
        pm.Normal("y", mu, s, observed=Y)
    split = pms.tempered_model(model)
    layout = pms.tempered_model(model).compile().layout
    x = np.random.default_rng(1).normal(size=(5, 2))
    values = compile_constrained(split, layout)(x)
    np.testing.assert_allclose(values["s"], np.exp(x[:, 1]))
    from scipy.stats import norm

    exact = -norm.logpdf(Y, values["mu"][:, None], values["s"][:, None])
    np.testing.assert_allclose(compile_losses(split, layout)(x), exact, rtol=1e-10)
    at = compile_losses_at(split)({"mu": 0.3, "s": 1.7})
    np.testing.assert_allclose(at, -norm.logpdf(Y, 0.3, 1.7), rtol=1e-10)


def test_what_does_not_count_bounds_nothing():
    """0 times an infinite loss is 0: without the 3.0 the bound of the others is below it."""
    y = np.array([0.5, 0.9, 0.3, 0.95, 0.2, 0.7, 3.0])
    with pm.Model() as model:
        th = pm.Pareto("th", 1.0, 0.1, initval=4.0)
        pm.Uniform("y", 0.0, th, observed=y)
    refits = compile_refits(pms.tempered_model(model), counted=True)
    layout = refits.energy_function.layout
    first = refits.first(1.0, {}, 2000, np.random.default_rng(1))
    counts = (y < 3.0).astype(float)
    fit = refits.again(first, 1.0, {COUNTS: counts}, 4000, np.random.default_rng(2))
    th = compile_constrained(refits.split, layout)(fit.pooled())["th"]
    # a Pareto law of index 1 + 6 from the largest of them
    within(th.mean(), 0.95 * 7 / 6, 0.2 / np.sqrt(fit.ess[0]))
    assert th.min() > 0.95


def test_numbers_among_the_data_take_one_word():
    """A number of no axes before other data: their addresses stay where they are."""
    with pm.Model() as model:
        sd, seen = pm.Data("sd", 2.0), pm.Data("seen", Y)
        mu = pm.Normal("mu", 0.0, sd)
        pm.Normal("y", mu, 1.0, observed=seen)
    refits = compile_refits(pms.tempered_model(model), counted=False)
    for scale in (2.0, 0.1):
        data = {"sd": scale}
        found = refits.values(np.array([[0.3]]), data)[0]
        from scipy.stats import norm

        assert found[0] == pytest.approx(norm.logpdf(0.3, 0.0, scale), rel=1e-10)
        assert found[1] == pytest.approx(-norm.logpdf(Y, 0.3, 1.0).sum(), rel=1e-10)


def test_what_is_refused(normal):
    import networkx as nx

    with pm.Model() as latent:
        s = pms.Ising("s", 0.1, graph=nx.cycle_graph(5))
        pm.Normal("y", s, 1.0, observed=np.ones(5))
    with pytest.raises(UnsupportedVariableError, match="networks"):
        compile_refits(pms.tempered_model(latent), counted=False)
    refits, first = normal
    with pytest.raises(UnsupportedVariableError, match="has 1 axes"):
        refits.again(first, 1.0, {COUNTS: np.ones((30, 2))}, 100, np.random.default_rng(0))
    with pm.Model() as impossible:
        t = pm.Normal("t", initval=-1.0)
        pm.Exponential("y", 1.0, observed=[1.0])
        pm.Potential("cut", pm.math.switch(t > 0, 0.0, -np.inf))
    refits = compile_refits(pms.tempered_model(impossible), counted=False)
    with pytest.raises(EnergyError, match="initval"):
        refits.first(1.0, {}, 100, np.random.default_rng(0))


def test_in_parallel_yields_all_and_cancels_after_a_failure():
    with ThreadPoolExecutor(2) as pool:
        found = dict(in_parallel(lambda k: k**2, ((k,) for k in range(40)), pool))
    assert found == {k: k**2 for k in range(40)}
    begun = []

    def fails(k):
        begun.append(k)
        if k == 3:
            raise ValueError("three")
        return k

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="three"):
        list(in_parallel(fails, ((k,) for k in range(1000)), pool))
    assert len(begun) < 100
