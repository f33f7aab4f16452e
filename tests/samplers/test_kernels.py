"""The cheap moves leave pi_beta invariant: exact draws, moved once, are exact draws still."""

import numpy as np
import pymc as pm
import pytest
from scipy import stats

import pm_statmech as pms
from pm_statmech.samplers.hmc import N_SUMS, SUM_ACCEPT, SUM_MOVES, SUM_STEPS
from pm_statmech.samplers.independence import independence_step
from pm_statmech.samplers.mixture import Mixture, compiled_parameters
from pm_statmech.samplers.mixture_kernels import mixture_log_density
from pm_statmech.samplers.moves import sweep_particles

from .test_nuts import DENSE, N, exact_draws, funnel_free, z_scores

__all__ = ["funnel_free"]


def swept(function, x, beta, step, scale, factor, seed):
    target, keep = function.bind()
    values, sums = function(x), np.zeros(N_SUMS)
    sweep_particles(target, x, values, beta, step, scale, factor,
                    np.random.default_rng(seed), np.zeros(2, dtype=np.int64), sums)  # fmt: skip
    del keep
    np.testing.assert_allclose(values, function(x))
    return x, sums


@pytest.mark.parametrize("beta", [0.0, 0.37, 1.0, 2.5])
@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("factor", [np.array([[0.7], [0.4]]), DENSE], ids=["diagonal", "dense"])
def test_hmc_keeps_exact_draws_exact(funnel_free, beta, scale, factor):
    rng = np.random.default_rng(17)
    x, sums = swept(funnel_free, exact_draws(beta, N, rng), beta, 1.3, scale, factor, 3)
    assert np.max(z_scores(x, exact_draws(beta, 4 * N, rng))) <= 5.5
    # a coarse step, whose rejections the test needs
    assert 0.05 < sums[SUM_ACCEPT] / sums[SUM_MOVES] < 0.9999
    assert sums[SUM_STEPS] >= sums[SUM_MOVES] == N


def test_hmc_at_a_doubled_beta_is_seen(funnel_free):
    rng = np.random.default_rng(17)
    x = exact_draws(1.0, N, rng)
    for seed in range(5):
        x, _ = swept(funnel_free, x, 2.0, 1.3, 1.0, DENSE, seed)
    assert np.max(z_scores(x, exact_draws(1.0, 4 * N, rng))) > 5.5


def two_bumps() -> Mixture:
    return Mixture(
        np.array([0.4, 0.6]),
        np.array([[-0.5, 0.2], [0.6, 0.0]]),
        np.array([[[0.5, 0.0], [0.1, 0.4]], [[0.9, 0.0], [0.3, 0.7]]]),
    )


def proposed(function, x, beta, seed, *, always=False):
    q, rng = two_bumps(), np.random.default_rng(seed)
    target, keep = function.bind()
    values, scratch = function(x), np.empty(6)
    parameters, draws = compiled_parameters(q), q.draw(len(x), rng)
    total = 0.0
    for i in range(len(x)):
        uniform = 0.0 if always else rng.random()
        total += independence_step(target, x[i], values[i], beta, draws[i],
                                   uniform, scratch, *parameters)  # fmt: skip
    del keep
    np.testing.assert_allclose(values, function(x))
    return total / len(x)


@pytest.mark.parametrize("beta", [0.37, 1.0, 2.5])
def test_independence_moves_keep_exact_draws_exact(funnel_free, beta):
    rng = np.random.default_rng(5)
    x = exact_draws(beta, N, rng)
    accepted = proposed(funnel_free, x, beta, 2)
    assert 0.1 < accepted < 0.95
    assert np.max(z_scores(x, exact_draws(beta, 4 * N, rng))) <= 5.5


def test_independence_moves_without_the_ratio_are_seen(funnel_free):
    rng = np.random.default_rng(5)
    x = exact_draws(1.0, N, rng)
    proposed(funnel_free, x, 1.0, 2, always=True)
    assert np.max(z_scores(x, exact_draws(1.0, 4 * N, rng))) > 5.5


def test_mixture_density_agrees_with_scipy_compiled_and_not():
    q = two_bumps()
    x = np.random.default_rng(0).normal(size=(50, 2)) * 3
    truth = np.log(
        sum(
            w * stats.multivariate_normal(m, f @ f.T).pdf(x)
            for w, m, f in zip(q.weights, q.means, q.factors, strict=True)
        )
    )
    np.testing.assert_allclose(q.log_density(x), truth, rtol=1e-10)
    parameters = compiled_parameters(q)
    compiled = [mixture_log_density(row, *parameters) for row in x]
    np.testing.assert_allclose(compiled, truth, rtol=1e-10)


def test_hmc_rejects_what_leaves_the_support():
    with pm.Model() as model:
        x = pm.Normal("x")
        pm.Potential("wall", pm.math.switch(x > 0, 0.0, -np.inf))
        pm.Normal("y", x, 1, observed=0.0)
    function = pms.tempered_model(model).compile()
    start = np.abs(np.random.default_rng(1).normal(size=(N, 1))) / np.sqrt(2)
    x, _ = swept(function, start, 1.0, 0.7, 1.0, np.array([[0.7]]), 2)
    assert np.all(x > 0)
    assert stats.kstest(x[:, 0], stats.halfnorm(scale=np.sqrt(0.5)).cdf).pvalue > 1e-7
