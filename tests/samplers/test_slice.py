"""Slices keep exact draws exact, and carry energies that no gradient can follow."""

import numpy as np
import pymc as pm
import pytest
from scipy import stats

import pm_statmech as pms
from pm_statmech.samplers.slice import sweep_slices

from ..conftest import within
from .test_nuts import DENSE, N, exact_draws, funnel_free, z_scores

__all__ = ["funnel_free"]


def sliced(function, x, beta, scale, seed):
    target, keep = function.bind()
    values, rng, scratch = function(x), np.random.default_rng(seed), np.empty(6)
    for i in range(len(x)):
        sweep_slices(target, x[i], values[i], beta, DENSE, scale, rng, scratch)
    del keep
    np.testing.assert_allclose(values, function(x))
    return x


@pytest.mark.parametrize("beta", [0.0, 0.37, 1.0, 2.5])
@pytest.mark.parametrize("scale", [0.05, 1.0, 5.0])
def test_slices_keep_exact_draws_exact(funnel_free, beta, scale):
    rng = np.random.default_rng(11)
    x = sliced(funnel_free, exact_draws(beta, N, rng), beta, scale, 3)
    assert np.max(z_scores(x, exact_draws(beta, 4 * N, rng))) <= 5.5


def test_slices_at_a_doubled_beta_are_seen(funnel_free):
    rng = np.random.default_rng(11)
    x = exact_draws(1.0, N, rng)
    for seed in range(3):
        x = sliced(funnel_free, x, 2.0, 1.0, seed)
    assert np.max(z_scores(x, exact_draws(1.0, 4 * N, rng))) > 5.5


def test_a_stepwise_energy_is_sampled():
    """Zero-one errors of a threshold classifier against quadrature."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    label = (x + 0.3 * rng.normal(size=40) > 0.2).astype(int)
    with pm.Model() as model:
        threshold = pm.Normal("threshold", 0, 2)
        wrong = pm.math.neq(pm.math.ge(x, threshold), label)
        pms.GibbsPotential("errors", pm.math.sum(wrong * 1.0))
    grid = np.linspace(-16, 16, 400_001)
    energy = np.sum((x[:, None] >= grid) != label[:, None], axis=0)
    density = np.exp(-energy) * stats.norm.pdf(grid, 0, 2)
    total = np.trapezoid(density, grid)
    dt = pms.sample_tempered(1000, tune=300, model=model, random_seed=2, quiet=True)
    found = pms.log_evidence(dt)
    within(found["log_evidence"], np.log(total), found["mcse"])
    posterior = dt["posterior"]["threshold"]
    error = posterior.azstats.mcse(method="mean", sample_dims=["chain", "draw"])
    within(posterior.mean(), np.trapezoid(grid * density, grid) / total, error)
