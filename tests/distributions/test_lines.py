"""Named families on the line: records, scipy's distributions, draws, and what they refuse."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.testing import Domain, R, check_logcdf, check_logp
from scipy import integrate, stats

import pm_statmech as pms
from pm_statmech import errors

from ..conftest import RECORDS


def value(graph):
    """Evaluate without compiling to native code, which would take most of the time."""
    return graph.eval(mode="FAST_COMPILE")


@pytest.mark.parametrize("name", [name for name in RECORDS if name.startswith("gig_")])
def test_records_of_the_generalized_inverse_gaussian(name):
    p, a, b = (RECORDS[name]["parameters"][key] for key in "pab")
    y = pms.GeneralizedInverseGaussian.dist(p, a, b)
    x = np.array([0.1, 1.0, 7.0])
    expected = (p - 1) * np.log(x) - (a * x + b / x) / 2 - RECORDS[name]["value"]
    np.testing.assert_allclose(value(pm.logp(y, x)), expected, rtol=1e-10)
    law = stats.geninvgauss(p, np.sqrt(a * b), scale=np.sqrt(b / a))
    np.testing.assert_allclose(value(pm.logcdf(y, x)), law.logcdf(x), rtol=1e-7, atol=1e-10)


def test_records_of_the_quartic_and_the_truncated_exponential():
    record = RECORDS["quartic_10.0_1.0"]
    x = np.array([-3.0, 0.0, 2.2])
    y = pms.Quartic.dist(a=10.0, b=1.0)
    expected = 10 * x**2 - x**4 - record["value"]
    np.testing.assert_allclose(value(pm.logp(y, x)), expected, rtol=1e-10)
    field = pms.Quartic.dist(a=-1.0, b=0.2, h=0.7)
    z = integrate.quad(lambda x: np.exp(0.7 * x - x**2 - 0.2 * x**4), -np.inf, np.inf)[0]
    expected = 0.7 * x - x**2 - 0.2 * x**4 - np.log(z)
    np.testing.assert_allclose(value(pm.logp(field, x)), expected, rtol=1e-9)
    record = RECORDS["truncexp_-3.0_1.0"]
    y = pms.TruncatedExponential.dist(-3.0, upper=1.0)
    found = value(pm.logp(y, [0.0, 0.5, 1.0]))
    np.testing.assert_allclose(found, -3 * np.array([0, 0.5, 1]) - record["value"], rtol=1e-12)


@pytest.mark.parametrize("eta", [-800.0, -3.0, -1e-3, -1e-9, 0.0, 1e-6, 0.019, 0.021, 5.0, 900.0])
def test_truncated_exponentials_of_every_slope(eta):
    lower, upper = -1.0, 1.5
    y = pms.TruncatedExponential.dist(eta, lower=lower, upper=upper)
    # inside: at the ends scipy rounds to 0
    x = np.linspace(lower, upper, 9)[1:-1]
    law = stats.uniform(lower, upper - lower)
    if eta != 0:
        # scipy's falls
        law = stats.truncexpon(abs(eta) * (upper - lower), scale=1 / abs(eta))
    from_low = x - lower if eta <= 0 else upper - x
    expected = law.logpdf(x if eta == 0 else from_low)
    np.testing.assert_allclose(value(pm.logp(y, x)), expected, rtol=1e-9, atol=1e-9)
    cumulative = np.exp(value(pm.logcdf(y, x)))
    below = law.cdf(x) if eta == 0 else law.cdf(from_low) if eta < 0 else law.sf(from_low)
    np.testing.assert_allclose(cumulative, below, atol=1e-8)
    slope = pt.dscalar("eta")
    log_p = pm.logp(pms.TruncatedExponential.dist(slope, lower=lower, upper=upper), 0.3)
    f = pytensor.function([slope], [log_p, pytensor.grad(log_p, slope)], mode="FAST_COMPILE")
    step = 1e-4 * max(1.0, abs(eta))
    by_differences = (f(eta + step)[0] - f(eta - step)[0]) / (2 * step)
    assert f(eta)[1] == pytest.approx(by_differences, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(
    ("make", "log_p", "low", "high"),
    [
        (
            lambda size: pms.GeneralizedInverseGaussian.dist(0.5, 1.0, 2.0, size=size),
            lambda x: -0.5 * np.log(x) - x / 2 - 1 / x, 1e-3, 60.0,
        ),
        (
            lambda size: pms.Quartic.dist(a=2.0, b=0.5, h=0.2, size=size),
            lambda x: 0.2 * x + 2 * x**2 - 0.5 * x**4, -5.0, 5.0,
        ),
        (
            lambda size: pms.TruncatedExponential.dist(3.0, lower=-1, upper=0.5, size=size),
            lambda x: 3 * x, -1.0, 0.5,
        ),
        (
            lambda size: pms.TruncatedExponential.dist(-3.0, lower=-1, upper=0.5, size=size),
            lambda x: -3 * x, -1.0, 0.5,
        ),
    ],
)  # fmt: skip
def test_draws(make, log_p, low, high):
    drawn = pm.draw(make(20_000), random_seed=1, mode="FAST_COMPILE")
    x = np.linspace(low, high, 40_001)
    cumulative = integrate.cumulative_trapezoid(np.exp(log_p(x)), x, initial=0)
    cumulative /= cumulative[-1]
    assert stats.kstest(drawn, lambda at: np.interp(at, x, cumulative)).pvalue > 1e-7
    # control: another law is noticed
    other = np.clip(cumulative**1.1, 0, 1)
    assert stats.kstest(drawn, lambda at: np.interp(at, x, other)).pvalue < 1e-7


@pytest.mark.exhaustive
def test_pymc_checks_the_densities():
    positive = Domain([0, 0.3, 1, 4, np.inf], "float64")
    check_logp(
        pms.TruncatedExponential, Domain([-np.inf, -0.9, 0, 0.9, np.inf], "float64"),
        {"eta": R, "lower": Domain([-np.inf, -3, -2, 0], "float64"), "upper": positive},
        lambda value, eta, lower, upper: np.where(
            (value >= lower) & (value <= upper),
            eta * value - np.log(integrate.quad(lambda x: np.exp(eta * x), lower, upper)[0]),
            -np.inf,
        ),
        n_samples=20, skip_paramdomain_outside_edge_test=True,
    )  # fmt: skip
    check_logcdf(
        pms.GeneralizedInverseGaussian, positive,
        {"p": R, "a": positive, "b": positive},
        lambda value, p, a, b: stats.geninvgauss(p, np.sqrt(a * b), scale=np.sqrt(b / a)).logcdf(
            value
        ),
        n_samples=10, skip_paramdomain_outside_edge_test=True,
    )  # fmt: skip


def test_a_latent_variable_is_unconstrained_and_starts_inside():
    with pm.Model() as model:
        pms.GeneralizedInverseGaussian("x", p=1.0, a=1.0, b=1.0, shape=2)
        low = pm.Normal("low", 0, 1)
        pms.TruncatedExponential("y", 2.0, lower=low, upper=low + 3)
        pms.Quartic("z", a=1.0, b=1.0)
    start = model.initial_point()
    assert sorted(start) == ["low", "x_log__", "y_interval__", "z"]
    assert np.isfinite(model.compile_logp(mode="FAST_COMPILE")(start))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: pms.GeneralizedInverseGaussian.dist(1.0, -1.0, 1.0), "a = -1"),
        (lambda: pms.GeneralizedInverseGaussian.dist(-1.0, 1.0, 0.0), "no distribution"),
        (lambda: pms.GeneralizedInverseGaussian.dist(1.0, 0.0, 1.0), "no distribution"),
        (lambda: pms.Quartic.dist(a=1.0, b=0.0), "no distribution"),
        (lambda: pms.Quartic.dist(a=np.inf, b=1.0), "a = inf"),
        (lambda: pms.Quartic.dist(a=1.0, b=-1.0), "b = -1"),
        (lambda: pms.TruncatedExponential.dist(np.nan, upper=1.0), "eta = nan"),
        (lambda: pms.TruncatedExponential.dist(1.0, lower=2.0, upper=1.0), "not below"),
        (lambda: pms.TruncatedExponential.dist(1.0, upper=np.inf), "upper = inf"),
    ],
)
def test_mistakes_are_named(make, match):
    with pytest.raises(errors.FamilyError, match=match):
        make()
