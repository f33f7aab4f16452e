"""ExponentialFamily on intervals and all counts: scipy's distributions, draws, posteriors."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pymc.distributions import transforms
from scipy import special, stats

import pm_statmech as pms
from pm_statmech import errors

from ..conftest import within

GAMMA = {"statistics": lambda x: [pt.log(x), x], "support": pms.Interval(0, np.inf)}
BETA = {"statistics": lambda x: [pt.log(x), pt.log1p(-x)], "support": pms.Interval(0, 1)}
NORMAL = {"statistics": lambda x: [x, x**2], "support": pms.Interval(-np.inf, np.inf)}
COUNTS = {"statistics": lambda x: [x, -pt.gammaln(x + 1)], "support": pms.Integers(0, np.inf)}


def value(graph):
    """Evaluate without compiling to native code, which would take most of the time."""
    return graph.eval(mode="FAST_COMPILE")


@pytest.mark.parametrize(
    ("family", "eta", "law", "x"),
    [
        (GAMMA, [2.0, -1.5], stats.gamma(3, scale=1 / 1.5), [1e-8, 0.1, 1.0, 3.0, 20.0, 60.0]),
        (GAMMA, [-0.9, -1.0], stats.gamma(0.1), [1e-50, 1e-8, 0.3, 5.0]),
        (BETA, [1.0, 3.0], stats.beta(2, 4), [1e-9, 0.1, 0.5, 0.999]),
        (NORMAL, [6.0, -2.0], stats.norm(1.5, 0.5), [-5.0, 0.0, 1.5, 4.0]),
        (COUNTS, [np.log(3.0), 1.0], stats.poisson(3), [0, 1, 5, 40]),
        (COUNTS, [np.log(1e5), 1.0], stats.poisson(1e5), [99_000, 99_900, 100_200]),
    ],
)
def test_density_cumulative_probability_and_draws(family, eta, law, x):
    y = pms.ExponentialFamily.dist(np.array(eta), **family)
    many = pms.ExponentialFamily.dist(np.array(eta), **family, size=20_000)
    log_density = law.logpmf if hasattr(law.dist, "pmf") else law.logpdf
    np.testing.assert_allclose(value(pm.logp(y, x)), log_density(x), rtol=1e-9, atol=1e-9)
    # a wide law of counts has no more terms than points, and is interpolated between them
    precision = 1e-3 if law.mean() > 1e3 else 1e-8
    np.testing.assert_allclose(value(pm.logcdf(y, x)), law.logcdf(x), rtol=precision, atol=1e-12)
    if np.isfinite(family["support"].low):
        below = np.array([-1.0 if y.dtype == "float64" else -1])
        assert value(pm.logp(y, below)) == -np.inf
        assert value(pm.logcdf(y, below)) == -np.inf
    drawn = pm.draw(many, random_seed=1, mode="FAST_COMPILE")
    if y.dtype == "int64" and law.mean() > 1e3:
        # nearly continuous
        test = stats.kstest(drawn, lambda k: law.cdf(np.floor(k)))
        assert drawn.dtype == "int64"
    elif y.dtype == "int64":
        counts = np.bincount(drawn, minlength=9)
        expected = law.pmf(np.arange(8))
        pooled = np.append(counts[:8], counts[8:].sum())
        test = stats.chisquare(pooled, 20_000 * np.append(expected, 1 - expected.sum()))
    else:
        test = stats.kstest(drawn, law.cdf)
        # control: another law is noticed
        assert stats.kstest(drawn * 1.05 + 0.02, law.cdf).pvalue < 1e-7
    assert test.pvalue > 1e-7


def test_inversion_is_exact_to_the_rule():
    """Uniform numbers come back as cumulative probabilities, in the tails too."""
    family = pms.Family(**GAMMA)
    kind = type(pms.ExponentialFamily.dist([2.0, -1.5], **GAMMA).owner.op)
    u = np.array([1e-12, 1e-6, 0.1, 0.5, 0.9, 1 - 1e-6])
    for eta in ([2.0, -1.5], [-0.9, -1.0]):
        x = value(kind.by_inversion(family.weights(np.array(eta)), pt.constant(u)))
        law = stats.gamma(eta[0] + 1, scale=-1 / eta[1])
        np.testing.assert_allclose(law.cdf(x), u, rtol=1e-5, atol=1e-9)


def test_batches_of_parameters_and_shapes():
    etas = np.array([[2.0, -1.0], [30.0, -10.0]])
    y = pms.ExponentialFamily.dist(etas, **GAMMA)
    assert pm.draw(y, draws=3, random_seed=1, mode="FAST_COMPILE").shape == (3, 2)
    laws = stats.gamma(etas[:, 0] + 1, scale=-1 / etas[:, 1])
    np.testing.assert_allclose(value(pm.logp(y, [1.0, 2.0])), laws.logpdf([1.0, 2.0]), rtol=1e-9)
    np.testing.assert_allclose(value(pm.logcdf(y, [1.0, 2.0])), laws.logcdf([1.0, 2.0]), rtol=1e-8)
    many = pm.draw(pms.ExponentialFamily.dist(etas, **GAMMA, size=(2000, 2)), random_seed=2)
    assert many.shape == (2000, 2)
    np.testing.assert_allclose(many.mean(axis=0), laws.mean(), rtol=0.1)
    several = pms.ExponentialFamily.dist([0.5, 1.0], **COUNTS, size=(3, 4))
    counts = pm.draw(several, random_seed=3, mode="FAST_COMPILE")
    assert counts.shape == (3, 4)
    assert counts.dtype == "int64"


@pytest.mark.parametrize(
    ("support", "kind"),
    [
        (pms.Interval(-np.inf, np.inf), type(None)),
        (pms.Interval(0, np.inf), transforms.LogTransform),
        (pms.Interval(-1, 2), transforms.Interval),
        (pms.Interval(-np.inf, 2), transforms.Interval),
    ],
)
def test_a_latent_variable_starts_inside_and_is_unconstrained(support, kind):
    with pm.Model() as model:
        x = pms.ExponentialFamily(
            "x", [1.0, -1.0], statistics=lambda x: [x, x**2], support=support, shape=2
        )
    assert isinstance(model.rvs_to_transforms[x], kind)
    start = model.initial_point()
    assert np.isfinite(model.compile_logp(mode="FAST_COMPILE")(start))


@pytest.mark.exhaustive
def test_posterior_of_a_conway_maxwell_poisson_and_predictions():
    """Against the same posterior on a grid, which sums the terms itself."""
    y = np.random.default_rng(0).binomial(8, 0.6, size=30)
    k = np.arange(200)

    def log_posterior(log_rate, nu):
        A = special.logsumexp(log_rate * k - nu * special.gammaln(k + 1))
        fit = log_rate * y.sum() - nu * special.gammaln(y + 1).sum() - 30 * A
        return fit - log_rate**2 / 50 - nu

    rates, powers = np.linspace(-1, 12, 131), np.linspace(0.01, 7, 141)
    log_p = np.array([[log_posterior(a, b) for b in powers] for a in rates])
    weights = np.exp(log_p - log_p.max())
    weights /= weights.sum()
    mean = np.sum(weights * powers)
    with pm.Model():
        log_rate, nu = pm.Normal("log_rate", 0, 5), pm.Exponential("nu", 1)
        pms.ExponentialFamily("y", pt.stack([log_rate, nu]), observed=y, **COUNTS)
        dt = pm.sample(
            1000, tune=1000, chains=2, cores=1, random_seed=1, progressbar=False, quiet=True,
        )  # fmt: skip
        predicted = pm.sample_posterior_predictive(dt, random_seed=2, progressbar=False)
    ess = float(dt["posterior"]["nu"].azstats.ess(method="mean"))
    spread = np.sqrt(np.sum(weights * (powers - mean) ** 2))
    within(float(dt["posterior"]["nu"].mean()), mean, spread / np.sqrt(ess))
    # under-dispersed, as the data are
    drawn = predicted["posterior_predictive"]["y"]
    assert float(drawn.mean()) == pytest.approx(y.mean(), abs=0.4)
    assert float(drawn.var()) < 0.8 * float(drawn.mean())


@pytest.mark.parametrize(
    ("eta", "family", "match"),
    [
        ([1.0, 1.0], GAMMA, "give no distribution"),
        ([0.0, np.nan], GAMMA, "not all finite"),
        ([np.inf, -1.0], GAMMA, "not all finite"),
        ([-0.5, -0.9], BETA, "relative error"),
        ([1.0, 0.0], COUNTS, "give no distribution"),
        ([-1e-6, 0.0], COUNTS, "relative error"),
    ],
)
def test_constants_that_give_no_distribution_are_refused(eta, family, match):
    with pytest.raises(errors.FamilyError, match=match):
        pms.ExponentialFamily.dist(eta, **family)
