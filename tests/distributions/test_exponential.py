"""ExponentialFamily as a PyMC distribution: density, draws, posteriors, and what it refuses."""

import arviz_stats
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy import stats
from scipy.special import logsumexp

import pm_statmech as pms
from pm_statmech import errors

from ..conftest import within

QUADRATIC = {"statistics": lambda x: [x, x**2], "support": pms.Integers(0, 5)}


def pairs(x):
    return [x, x[[0, 0, 1]] * x[[1, 2, 2]]]


def quadratic(eta):
    """Probabilities of 0, ..., 5."""
    x = np.arange(6)
    exponents = eta[0] * x + eta[1] * x**2
    return np.exp(exponents - logsumexp(exponents))


def test_density_and_cumulative_probability():
    eta = np.array([0.3, -0.1])
    y = pms.ExponentialFamily.dist(eta, **QUADRATIC)
    p = quadratic(eta)
    np.testing.assert_allclose(pm.logp(y, np.arange(6)).eval(), np.log(p), rtol=1e-12)
    np.testing.assert_array_equal(pm.logp(y, [-1, 6]).eval(), -np.inf)
    cumulative = np.concatenate([[0.0], np.cumsum(p), [1.0]])
    found = pm.logcdf(y, np.arange(-1, 7)).eval()
    np.testing.assert_allclose(np.exp(found), cumulative, rtol=1e-12)


def test_batches_of_parameters_and_shapes():
    etas = np.array([[0.3, -0.1], [0.0, 0.2]])
    y = pms.ExponentialFamily.dist(etas, **QUADRATIC)
    assert pm.draw(y, random_seed=1).shape == (2,)
    both = pm.logp(y, [2, 4]).eval()
    np.testing.assert_allclose(
        both, [np.log(quadratic(e)[k]) for e, k in zip(etas, (2, 4), strict=True)], rtol=1e-12
    )
    many = pms.ExponentialFamily.dist(etas[0], **QUADRATIC, size=(4, 3))
    assert pm.draw(many, draws=2, random_seed=1).shape == (2, 4, 3)
    spins = pms.ExponentialFamily.dist(np.zeros((5, 6)), statistics=pairs, support=pms.Spins(3))
    drawn = pm.draw(spins, random_seed=1)
    assert drawn.shape == (5, 3)
    assert drawn.dtype == "int64"
    assert set(np.unique(drawn)) <= {-1, 1}
    np.testing.assert_allclose(pm.logp(spins, drawn).eval(), -3 * np.log(2), rtol=1e-12)


def test_draws_follow_the_probabilities():
    eta = np.array([0.9, -0.2])
    y = pms.ExponentialFamily.dist(eta, **QUADRATIC)
    counts = np.bincount(pm.draw(y, draws=20_000, random_seed=2), minlength=6)
    assert stats.chisquare(counts, 20_000 * quadratic(eta)).pvalue > 1e-7
    # control: another eta is noticed
    assert stats.chisquare(counts, 20_000 * quadratic(eta + np.array([0.1, 0.0]))).pvalue < 1e-7

    eta = np.array([0.2, -0.4, 0.1, 0.5, -0.3, 0.2])
    support = pms.Spins(3)
    spins = pms.ExponentialFamily.dist(eta, statistics=pairs, support=support)
    states = support.states(0, 8)
    drawn = pm.draw(spins, draws=20_000, random_seed=3)
    number = np.argmax(np.all(drawn[:, None] == states, axis=-1), axis=1)
    expected = np.exp(pm.logp(spins, states).eval())
    assert stats.chisquare(np.bincount(number, minlength=8), 20_000 * expected).pvalue > 1e-7


def posterior_by_quadrature(counts, grid):
    """Mean and sd of eta ~ N(0, 2^2) given counts of 0, ..., 5 under exp(eta x)."""
    log_p = np.array([
        counts @ (g * np.arange(6) - logsumexp(g * np.arange(6))) for g in grid
    ])  # fmt: skip
    weights = np.exp(log_p - grid**2 / 8 - np.max(log_p))
    weights /= weights.sum()
    mean = weights @ grid
    return mean, np.sqrt(weights @ (grid - mean) ** 2)


@pytest.mark.exhaustive
def test_posterior_of_a_natural_parameter():
    y = np.array([0, 2, 5, 3, 4, 5, 1, 4, 5, 5, 3, 4])
    mean, sd = posterior_by_quadrature(np.bincount(y, minlength=6), np.linspace(-3, 4, 4001))
    with pm.Model(coords={"row": np.arange(12)}) as model:
        eta = pm.Normal("eta", 0, 2, shape=1)
        pms.ExponentialFamily(
            "y", eta, statistics=lambda x: [x], support=pms.Integers(0, 5), observed=y, dims="row"
        )
        dt = pm.sample(
            1000, tune=1000, chains=4, cores=1, random_seed=4, progressbar=False, quiet=True,
            nuts_sampler="pymc",
        )  # fmt: skip
    draws = dt["posterior"]["eta"].isel(eta_dim_0=0)
    ess = float(draws.azstats.ess(method="mean"))
    within(float(draws.mean()), mean, sd / np.sqrt(ess))
    assert float(draws.std()) == pytest.approx(sd, rel=0.15)
    # the classic mistake, as the control: without A(eta) the density rises on and on from there
    slope = model.compile_dlogp()({"eta": np.array([mean])})
    with pm.Model() as wrong:
        free = pm.Normal("eta", 0, 2)
        pm.Potential("energy", free * y.sum())
    assert abs(slope[0]) < 2
    assert wrong.compile_dlogp()({"eta": np.array(mean)})[0] > 40
    with model:
        predicted = pm.sample_posterior_predictive(dt, random_seed=5, progressbar=False)
        prior = pm.sample_prior_predictive(50, random_seed=6)
        with_loo = pm.compute_log_likelihood(dt, progressbar=False)
    assert prior["prior_predictive"]["y"].sizes == {"chain": 1, "draw": 50, "row": 12}
    assert predicted["posterior_predictive"]["y"].dims == ("chain", "draw", "row")
    assert np.isfinite(arviz_stats.loo(with_loo).elpd)
    # log likelihood, sampler and prediction agree on the mean of y
    rate = float(predicted["posterior_predictive"]["y"].mean())
    assert rate == pytest.approx(y.mean(), abs=0.3)


def test_a_latent_variable_starts_at_its_likeliest_state():
    with pm.Model() as model:
        pms.ExponentialFamily("x", [2.0, -0.4], **QUADRATIC, shape=3)
    start = model.initial_point()["x"]
    np.testing.assert_array_equal(start, np.argmax(quadratic([2.0, -0.4])))
    assert np.isfinite(model.compile_logp()(model.initial_point()))


def test_a_tempered_run_knows_its_evidence():
    y = np.array([0, 2, 5, 3, 4, 5, 1, 4, 5, 5, 3, 4])
    with pm.Model() as model:
        eta = pm.Normal("eta", 0, 2, shape=1)
        pms.ExponentialFamily(
            "y", eta, statistics=lambda x: [x], support=pms.Integers(0, 5), observed=y
        )
    dt = pms.sample_tempered(300, tune=200, model=model, random_seed=1, quiet=True)
    found = pms.log_evidence(dt)
    grid = np.linspace(-12, 12, 40_001)
    x = np.arange(6)
    log_p = y.sum() * grid - 12 * logsumexp(grid[:, None] * x, axis=1)
    log_prior = stats.norm(0, 2).logpdf(grid)
    truth = logsumexp(log_p + log_prior) + np.log(grid[1] - grid[0])
    within(found["log_evidence"], truth, max(float(found["mcse"]), 1e-7))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: pms.ExponentialFamily.dist(
                [1.0], statistics=lambda x: [x], support=pms.Finite([0.5, 1.0])
            ),
            errors.SupportError, "not integers",
        ),
        (
            lambda: pms.ExponentialFamily.dist([1.0, 2.0, 3.0], **QUADRATIC),
            errors.FamilyError, "3 entries.*2 statistics",
        ),
        (lambda: pms.ExponentialFamily.dist(1.0, **QUADRATIC), errors.FamilyError, "a number"),
        (
            lambda: pm.logcdf(
                pms.ExponentialFamily.dist(np.zeros(6), statistics=pairs, support=pms.Spins(3)),
                np.ones(3),
            ),
            NotImplementedError, "no order",
        ),
        (
            lambda: pms.ExponentialFamily.dist(
                np.zeros(2), statistics=lambda x: [pt.prod(x), pt.sum(x)], support=pms.Spins(24)
            ),
            errors.FamilyError, "states.*MiB",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, error, match):
    with pytest.raises(error, match=match):
        make()
