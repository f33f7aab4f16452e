"""NUTS leaves pi_beta invariant: exact draws, moved once, are exact draws still."""

import numpy as np
import pymc as pm
import pytest
from scipy import stats

import pm_statmech as pms
from pm_statmech.samplers.hmc import rescaled_steps
from pm_statmech.samplers.nuts import N_STATISTICS, nuts_step

N = 20_000


@pytest.fixture(scope="module")
def funnel_free():
    """E = exp(x) - x under N(0, 1) is skewed; y couples to it as a spring."""
    with pm.Model() as model:
        x = pm.Normal("x", shape=2)
        pms.GibbsPotential("e", pm.math.exp(x[0]) - x[0] + 2.0 * (x[1] - x[0]) ** 2)
    return pms.tempered_model(model).compile()


def exact_draws(beta, n, rng):
    """Rejection from the prior; the energy is at least 1."""
    kept = []
    while sum(map(len, kept)) < n:
        x = rng.normal(size=(n, 2))
        e = np.exp(x[:, 0]) - x[:, 0] + 2.0 * (x[:, 1] - x[:, 0]) ** 2
        kept.append(x[rng.random(n) < np.exp(-beta * (e - 1.0))])
    return np.concatenate(kept)[:n].copy()


def moved(function, x, beta, kernel_beta, step, factor, seed, sweeps=1, depth=6):
    target, keep = function.bind()
    values = function(x)
    rng = np.random.default_rng(seed)
    statistics = np.zeros(N_STATISTICS)
    for _ in range(sweeps):
        for i in range(len(x)):
            nuts_step(target, x[i], values[i], kernel_beta, step, factor, depth,
                      rng, statistics)  # fmt: skip
    del keep
    np.testing.assert_allclose(values, function(x))
    return x


def z_scores(x, reference):
    """Differences of means of several functions, in standard errors."""
    functions = [lambda v: v, lambda v: v**2, lambda v: v[:, :1] * v[:, 1:], np.exp]
    scores = []
    for f in functions:
        a, b = f(x), f(reference)
        error = np.sqrt(a.var(axis=0) / len(a) + b.var(axis=0) / len(b))
        scores.extend((a.mean(axis=0) - b.mean(axis=0)) / error)
    return np.abs(scores)


DENSE = np.array([[0.8, 0.0], [0.5, 0.6]])


@pytest.mark.parametrize("beta", [0.0, 0.37, 1.0, 2.5])
@pytest.mark.parametrize("factor", [np.array([[0.7], [0.4]]), DENSE], ids=["diagonal", "dense"])
def test_exact_draws_stay_exact(funnel_free, beta, factor):
    """A coarse step, so that a missing multinomial weight would show."""
    rng = np.random.default_rng(17)
    x = moved(funnel_free, exact_draws(beta, N, rng), beta, beta, 1.1, factor, 3)
    assert np.max(z_scores(x, exact_draws(beta, 4 * N, rng))) <= 5.5


def test_a_doubled_beta_is_seen(funnel_free):
    rng = np.random.default_rng(17)
    x = moved(funnel_free, exact_draws(1.0, N, rng), 1.0, 2.0, 1.1, DENSE, 3)
    assert np.max(z_scores(x, exact_draws(1.0, 4 * N, rng))) > 5.5


def test_leapfrog_without_weights_is_seen(funnel_free):
    """Control: taking the end of a coarse trajectory, accepted always, must fail."""
    rng = np.random.default_rng(17)
    x = exact_draws(1.0, N, rng)
    p = rng.normal(size=x.shape)

    def slope(v):
        value = funnel_free(v)
        return value[:, 2:4] - value[:, 4:6]

    for _ in range(3):
        p = p + 0.35 * slope(x)
        x = x + 0.7 * p
        p = p + 0.35 * slope(x)
    assert np.max(z_scores(x, exact_draws(1.0, 4 * N, rng))) > 5.5


def test_leaving_the_support_is_no_divergence():
    with pm.Model() as model:
        x = pm.Normal("x")
        pm.Potential("wall", pm.math.switch(x > 0, 0.0, -np.inf))
        pm.Normal("y", x, 1, observed=0.0)
    function = pms.tempered_model(model).compile()
    rng = np.random.default_rng(1)
    x = np.abs(rng.normal(size=(N, 1))) / np.sqrt(2)
    values, (target, _keep) = function(x), function.bind()
    statistics, diverged = np.zeros(N_STATISTICS), 0
    for i in range(N):
        nuts_step(target, x[i], values[i], 1.0, 0.5, np.array([[0.7]]), 6, rng,
                  statistics)  # fmt: skip
        diverged += statistics[3]
    assert diverged == 0
    assert np.all(x > 0)
    assert stats.kstest(x[:, 0], stats.halfnorm(scale=np.sqrt(0.5)).cdf).pvalue > 1e-7


@pytest.mark.parametrize("start", [0.05, 0.5, 4.0])
def test_step_size_reaches_its_acceptance(funnel_free, start):
    target, _keep = funnel_free.bind()
    rng = np.random.default_rng(3)
    step, statistics, accepted = np.array([start]), np.zeros(N_STATISTICS), []
    for _ in range(6):
        x = exact_draws(1.0, 400, rng)
        values, total = funnel_free(x), 0.0
        for i in range(400):
            nuts_step(target, x[i], values[i], 1.0, step[0], DENSE, 6, rng, statistics)
            total += statistics[0]
        accepted.append(total / 400)
        step = rescaled_steps(step, np.array(accepted[-1:]), 0.8)
    assert accepted[-1] == pytest.approx(0.8, abs=0.04)


def test_steps_move_against_the_error_by_a_factor_of_three_at_most():
    steps = rescaled_steps(np.full(5, 0.5), np.array([0.0, 0.2, 0.8, 0.95, 1.0]), 0.8)
    assert steps[0] == pytest.approx(0.5 / 3)
    assert np.all(np.diff(steps) > 0)
    assert steps[2] == pytest.approx(0.5)
    assert steps[4] == pytest.approx(1.5)
