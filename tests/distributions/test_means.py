"""Means of every variable, as PyMC asks for them: closed forms, and the means of draws."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pymc.distributions.moments import mean
from scipy import stats

import pm_statmech as pms

REAL, COUNTS = pms.Interval(-np.inf, np.inf), pms.Integers(0, np.inf)


def value(graph):
    return graph.eval(mode="FAST_COMPILE")


def pairs(s):
    return [s, s[:1] * s[1:]]


VARIABLES = {
    "list": lambda **kw: pms.ExponentialFamily.dist(
        [0.3, -0.1], statistics=lambda x: [x, x**2], support=pms.Integers(0, 5), **kw
    ),
    "spins": lambda **kw: pms.ExponentialFamily.dist(
        [0.3, -0.1, 0.5], statistics=pairs, support=pms.Spins(2), **kw
    ),
    "interval": lambda **kw: pms.ExponentialFamily.dist(
        [2.0, -1.0], statistics=lambda x: [pt.log(x), x**2], support=pms.Interval(0, np.inf), **kw
    ),
    "integers": lambda **kw: pms.DiscreteGaussian.dist(1e6 + 0.2, 0.4, **kw),
    "counts": lambda **kw: pms.ConwayMaxwellPoisson.dist(log_lam=1.0, nu=0.7, **kw),
    "ranks": lambda **kw: pms.Zeta.dist(1.5, cutoff=9, **kw),
    "endless ranks": lambda **kw: pms.Zeta.dist(4.5, **kw),
    "gig": lambda **kw: pms.GeneralizedInverseGaussian.dist(0.5, 1.0, 2.0, **kw),
    "quartic": lambda **kw: pms.Quartic.dist(a=1.0, b=0.5, h=0.3, **kw),
    "rising": lambda **kw: pms.TruncatedExponential.dist(3.0, lower=-1.0, upper=2.0, **kw),
    "flat": lambda **kw: pms.TruncatedExponential.dist(1e-3, lower=-1.0, upper=2.0, **kw),
    "direction": lambda **kw: pms.VonMisesFisher.dist([1.0, 2.0, -1.0], 3.0, **kw),
    "axis": lambda **kw: pms.Watson.dist([1.0, 2.0, -1.0], 3.0, **kw),
    "oval": lambda **kw: pms.Kent.dist(np.eye(3), 4.0, 1.0, **kw),
    "power": lambda **kw: pms.Powered.dist(pm.Gumbel.dist(1.0, 2.0), 1.7, **kw),
}


@pytest.mark.parametrize("name", VARIABLES)
def test_draws_have_the_mean(name):
    n = 20_000
    drawn = pm.draw(VARIABLES[name](size=n), random_seed=1, mode="FAST_COMPILE")
    expected = value(mean(VARIABLES[name]()))
    z = (drawn.mean(axis=0) - expected) / drawn.std(axis=0) * np.sqrt(n)
    assert np.all(np.abs(z) < 5.5)
    # control: another mean is noticed
    assert np.any(np.abs((drawn.mean(axis=0) - expected - 0.1) / drawn.std(axis=0)) > 5.5 / 141)
    shaped = value(mean(VARIABLES[name](size=4)))
    assert shaped.shape == drawn[:4].shape
    np.testing.assert_allclose(shaped[1], expected)


def test_closed_forms():
    y = pms.ConwayMaxwellPoisson.dist(mu=np.array([0.3, 70.0]), nu=1.7)
    np.testing.assert_allclose(value(mean(y)), [0.3, 70.0], rtol=1e-12)
    for eta in (-40.0, -1.0, 0.099, 0.101, 7.0):
        y = pms.TruncatedExponential.dist(eta, upper=1.0)
        law = stats.truncexpon(abs(eta), scale=1 / abs(eta))
        expected = law.mean() if eta < 0 else 1 - law.mean()
        assert value(mean(y)) == pytest.approx(expected, rel=1e-9)
    normal = pms.ExponentialFamily.dist([6.0, -2.0], statistics=lambda x: [x, x**2], support=REAL)
    assert value(mean(normal)) == pytest.approx(1.5, rel=1e-12)
    poisson = pms.ExponentialFamily.dist(
        [np.log(3.0)], statistics=lambda x: [x], support=COUNTS,
        log_base=lambda x: -pt.gammaln(x + 1),
    )  # fmt: skip
    assert value(mean(poisson)) == pytest.approx(3.0, rel=1e-12)


def test_means_that_do_not_exist_are_nan():
    """Heavy tails, whose x does not die out where the density does."""
    assert value(mean(pms.Zeta.dist(2.0))) == np.inf
    inverse_gaussian = pms.GeneralizedInverseGaussian.dist(p=-0.5, a=0.0, b=1.0)
    assert np.isnan(value(mean(inverse_gaussian)))
    for eta, expected in ((-1.5, np.nan), (-2.02, np.nan), (-4.0, 1.5)):
        pareto = pms.ExponentialFamily.dist(
            [eta], statistics=lambda x: [pt.log(x)], support=pms.Interval(1, np.inf)
        )
        np.testing.assert_allclose(value(mean(pareto)), expected, rtol=1e-9)
    # nothing lies beyond the first of some integers
    geometric = pms.ExponentialFamily.dist(
        [-1.0], statistics=lambda x: [x], support=pms.Integers(3, np.inf)
    )
    assert value(mean(geometric)) == pytest.approx(3 + 1 / np.expm1(1.0), rel=1e-12)
