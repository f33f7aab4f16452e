"""Named families of counts: records, scipy's distributions, laws, draws, and what they refuse."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.testing import check_logp
from pytensor.tensor.blockwise import Blockwise
from scipy import special, stats

import pm_statmech as pms
from pm_statmech import errors
from pm_statmech.log_partition.conway_maxwell_poisson import (
    CountCumulants,
    LogRate,
    cumulants,
    log_rate,
)
from pm_statmech.log_partition.hurwitz_zeta import log_zeta

from ..conftest import RECORDS


def value(graph):
    """Evaluate without compiling to native code, which would take most of the time."""
    return graph.eval(mode="FAST_COMPILE")


def by_sum(a, nu, n=300_000):
    """Log Z, and means and covariances of k and log k!, of n terms."""
    k = np.arange(float(n))
    log_factorial = special.gammaln(k + 1)
    exponents = a * k - nu * log_factorial
    log_z = special.logsumexp(exponents)
    p = np.exp(exponents - log_z)
    mean, mean_l = p @ k, p @ log_factorial
    k, log_factorial = k - mean, log_factorial - mean_l
    covariances = p @ k**2, p @ (k * log_factorial), p @ log_factorial**2
    return log_z, mean, mean_l, *covariances


@pytest.mark.parametrize("name", [name for name in RECORDS if name.startswith("cmp_")])
def test_records(name):
    record = RECORDS[name]
    p = record["parameters"]
    found = cumulants(np.log(p["lam"]), float(p["nu"]))
    assert found.log_z == pytest.approx(record["value"], rel=1e-12, abs=1e-12)
    if "mean" in record:
        assert found.mean == pytest.approx(float(record["mean"]), rel=1e-9)


@pytest.mark.parametrize(
    ("a", "nu"),
    [(1.5, 1.2), (-3.0, 0.5), (-0.01, 0.0), (2.0, 0.3), (5.0, 0.5), (40.0, 8.0), (0.5, 30.0),
     (-5.0, 50.0), (10.0, 1.0), (0.0, 0.05)],
)  # fmt: skip
def test_sums(a, nu):
    np.testing.assert_allclose(cumulants(a, nu), by_sum(a, nu), rtol=1e-11)


@pytest.mark.parametrize("nu", [0.3, 1.0, 2.5])
def test_the_expansion_goes_on_where_sums_end(nu):
    """Poisson counts in closed form, and steps of the means across the border by derivatives."""
    border = nu * np.log(1e8 * nu)
    below, above = cumulants(border - 1e-7, nu), cumulants(border + 1e-7, nu)
    assert above.log_z - below.log_z == pytest.approx(2e-7 * below.mean, rel=1e-6)
    steps = np.subtract(above[1:3], below[1:3])
    np.testing.assert_allclose(steps, 2e-7 * np.array(below)[[3, 4]], rtol=1e-3)
    np.testing.assert_allclose(above[3:], below[3:], rtol=1e-6)
    if nu == 1.0:
        assert above.log_z == pytest.approx(np.exp(border + 1e-7), rel=1e-14)
        assert above.variance == pytest.approx(np.exp(border + 1e-7), rel=1e-12)


def test_rates_have_their_means():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        mean, nu = np.exp(rng.normal(1, 4)), np.exp(rng.normal(0, 1.5))
        assert cumulants(log_rate(mean, nu), nu).mean == pytest.approx(mean, rel=1e-11)
    assert log_rate(4.0, 0.0) == pytest.approx(np.log(0.8), rel=1e-14)
    assert log_rate(1e12, 0.1) == pytest.approx(0.1 * np.log(1e12), rel=1e-4)
    assert log_rate(0.0, 1.0) == -np.inf
    assert np.isnan(log_rate(-1.0, 1.0))


def test_what_has_no_sum():
    assert cumulants(0.0, 0.0).log_z == np.inf
    for a, nu in ((1.0, -1.0), (np.nan, 1.0), (np.inf, 1.0), (0.0, np.nan)):
        assert np.isnan(cumulants(a, nu).log_z)


def test_derivatives():
    a, nu, mean = pt.dvector("a"), pt.dscalar("nu"), pt.dvector("mean")
    outputs = Blockwise(CountCumulants())(a, nu)
    rate = Blockwise(LogRate())(mean, nu)
    weights = np.array([1.0, -0.5, 2.0])
    of_three = sum(w * out.sum() for w, out in zip(weights, outputs[:3], strict=True))
    f = pytensor.function([a, nu], of_three, mode="FAST_COMPILE")
    g = pytensor.function([a, nu], pytensor.grad(of_three, [a, nu]), mode="FAST_COMPILE")
    r = pytensor.function([mean, nu], rate.sum(), mode="FAST_COMPILE")
    s = pytensor.function([mean, nu], pytensor.grad(rate.sum(), [mean, nu]), mode="FAST_COMPILE")
    for at in (np.array([1.5, -2.0]), np.array([0.3, 4.0])):
        for function, gradient, x in ((f, g, at), (r, s, np.exp(at))):
            to_x, to_nu = gradient(x, 1.3)
            assert to_nu == pytest.approx((function(x, 1.3001) - function(x, 1.2999)) / 2e-4, 1e-5)
            for k, step in enumerate(1e-5 * np.eye(2)):
                slope = (function(x + step, 1.3) - function(x - step, 1.3)) / 2e-5
                assert to_x[k] == pytest.approx(slope, rel=1e-6)
    with pytest.raises(Exception, match="third derivatives"):
        pytensor.grad(outputs[3].sum(), a)


def test_native_code_gives_what_python_gives():
    mean, nu = pt.dvector("mean"), pt.dscalar("nu")
    log_lam = Blockwise(LogRate())(mean, nu)
    A = Blockwise(CountCumulants())(log_lam, nu)[0]
    outputs = [log_lam, A, *pytensor.grad(A.sum(), [mean, nu])]
    means = np.array([0.01, 3.0, 1e9])
    found = pytensor.function([mean, nu], outputs, mode="NUMBA")(means, 0.7)
    expected = pytensor.function([mean, nu], outputs, mode="FAST_COMPILE")(means, 0.7)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_densities():
    k = np.array([0, 1, 4, 30])
    poisson = pms.ConwayMaxwellPoisson.dist(mu=4.0, nu=1.0)
    np.testing.assert_allclose(value(pm.logp(poisson, k)), stats.poisson(4).logpmf(k), rtol=1e-11)
    np.testing.assert_allclose(
        value(pm.logcdf(poisson, k)), stats.poisson(4).logcdf(k), rtol=1e-9, atol=1e-13
    )
    geometric = pms.ConwayMaxwellPoisson.dist(lam=0.7, nu=0.0)
    np.testing.assert_allclose(
        value(pm.logp(geometric, k)), stats.geom(0.3, loc=-1).logpmf(k), rtol=1e-12
    )
    np.testing.assert_array_equal(value(pm.logp(poisson, [-1])), -np.inf)
    # by the generic sum, which shares nothing with this one
    eta = np.array([[1.2, -0.4], [3.0, -2.0]])
    family = pms.Family(lambda k: [k, pt.gammaln(k + 1)], pms.Integers(0, np.inf))
    named = pms.ConwayMaxwellPoisson.dist(log_lam=eta[:, 0], nu=-eta[:, 1])
    np.testing.assert_allclose(
        value(pm.logp(named, [3, 1])), value(family.log_prob([3, 1], eta)), rtol=1e-12
    )


def test_discrete_gaussians():
    for name in ("discrete_gaussian_0.01_0.2", "discrete_gaussian_0.5_0.3"):
        p = RECORDS[name]["parameters"]
        y = pms.DiscreteGaussian.dist(p["mu"], np.sqrt(p["sigma2"]))
        k = np.arange(-2, 3)
        expected = -0.5 * (k - p["mu"]) ** 2 / p["sigma2"] - RECORDS[name]["value"]
        np.testing.assert_allclose(value(pm.logp(y, k)), expected, rtol=1e-11, atol=1e-14)
    # far from 0 nothing is lost, and wide ones are normal
    far = pms.DiscreteGaussian.dist(1e12 + 0.25, 3.0)
    k = np.arange(-4, 5)
    expected = stats.norm(0.25, 3.0).logpdf(k)
    np.testing.assert_allclose(value(pm.logp(far, 10**12 + k)), expected, rtol=1e-10)
    cumulative = value(pm.logcdf(far, 10**12 + np.array([-50, 0, 50])))
    assert np.all(np.diff(cumulative) >= 0)
    assert cumulative[1] == pytest.approx(np.log(stats.norm(0.25, 3).cdf(0.5)), abs=1e-2)


def test_ranks():
    y = pms.Zeta.dist(1.3, cutoff=50)
    k = np.arange(1, 51)
    expected = -1.3 * np.log(k) - np.log(np.sum(k**-1.3))
    np.testing.assert_allclose(value(pm.logp(y, k)), expected, rtol=1e-12)
    np.testing.assert_array_equal(value(pm.logp(y, [0, 51])), -np.inf)
    assert value(pms.Zeta.dist([1.0, 2.0], cutoff=5)).shape == (2,)


@pytest.mark.parametrize("name", ["zeta_1.1", "zeta_2.0"])
def test_records_of_ranks_without_end(name):
    s = RECORDS[name]["parameters"]["s"]
    assert log_zeta(s, 1.0)[0] == pytest.approx(RECORDS[name]["value"], rel=1e-14)


@pytest.mark.parametrize("s", [1.0001, 1.1, 2.0, 3.7, 20.0, 80.0])
@pytest.mark.parametrize("q", [1.0, 2.0, 7.0, 300.0, 1e9])
def test_zeta_functions(s, q):
    value, slope, bend = log_zeta(s, q)
    if special.zeta(s, q) > 0:
        assert value == pytest.approx(np.log(special.zeta(s, q)), rel=1e-13, abs=1e-14)
    # relative to the first term, whose own derivative is -log q
    step = 1e-4 * (s - 1)
    there, back = log_zeta(s + step, q), log_zeta(s - step, q)
    difference = (there[0] - back[0]) / (2 * step)
    assert slope == pytest.approx(difference, rel=1e-7, abs=1e-10)
    assert bend == pytest.approx((there[1] - back[1]) / (2 * step), rel=1e-6, abs=1e-9)


def test_ranks_without_end():
    y = pms.Zeta.dist([2.5, 1.3])
    k = np.array([1, 3, 10**9])[:, None]
    law = stats.zipf([2.5, 1.3])
    np.testing.assert_allclose(value(pm.logp(y, k)), law.logpmf(k), rtol=1e-12)
    np.testing.assert_array_equal(value(pm.logp(y, [0, -1])), -np.inf)
    np.testing.assert_allclose(value(pm.logcdf(y, k[:2])), law.logcdf(k[:2]), rtol=1e-10)
    np.testing.assert_array_equal(value(pm.logcdf(y, [0.5, -1])), -np.inf)
    # a random exponent has the derivative -log k + E[log k], and 1 at least gives no distribution
    s = pt.scalar("s")
    logp = pm.logp(pms.Zeta.dist(s), 3)
    slope = pytensor.grad(logp, s).eval({s: 2.5}, mode="FAST_COMPILE")
    many = np.arange(1.0, 200_000.0)
    p = many**-2.5 / special.zeta(2.5)
    assert slope == pytest.approx(-np.log(3) + p @ np.log(many), rel=1e-6)
    with pytest.raises(pm.logprob.utils.ParameterValueError, match="s > 1"):
        logp.eval({s: 1.0}, mode="FAST_COMPILE")
    with pytest.raises(errors.FamilyError, match=r"2\^53"):
        pm.draw(pms.Zeta.dist(1.01, size=20), random_seed=1, mode="FAST_COMPILE")


def test_draws_of_ranks_without_end():
    drawn = pm.draw(pms.Zeta.dist(2.5, size=20_000), random_seed=1, mode="FAST_COMPILE")
    counts = np.append(np.bincount(drawn, minlength=9)[1:9], np.sum(drawn > 8))
    p = np.append(stats.zipf(2.5).pmf(np.arange(1, 9)), stats.zipf(2.5).sf(8))
    assert stats.chisquare(counts, 20_000 * p).pvalue > 1e-7
    # control: another exponent is noticed
    p = np.append(stats.zipf(2.6).pmf(np.arange(1, 9)), stats.zipf(2.6).sf(8))
    assert stats.chisquare(counts, 20_000 * p).pvalue < 1e-7


@pytest.mark.parametrize(
    ("make", "lowest", "p"),
    [
        (
            lambda size: pms.ConwayMaxwellPoisson.dist(mu=3.0, nu=2.0, size=size), 0,
            lambda k: np.exp(log_rate(3.0, 2.0) * k - 2 * special.gammaln(k + 1)),
        ),
        (
            lambda size: pms.DiscreteGaussian.dist(2.3, 1.5, size=size), -4,
            lambda k: np.exp(-((k - 2.3) ** 2) / 4.5),
        ),
        (lambda size: pms.Zeta.dist(1.2, cutoff=12, size=size), 1, lambda k: k**-1.2),
    ],
)  # fmt: skip
def test_draws(make, lowest, p):
    drawn = pm.draw(make(20_000), random_seed=1, mode="FAST_COMPILE")
    assert drawn.dtype == "int64"
    k = np.arange(lowest, lowest + 12.0)
    expected = p(k) / np.sum(p(k))
    counts = np.bincount(drawn - lowest, minlength=12)[:12]
    kept = 20_000 * expected > 5
    test = stats.chisquare(counts[kept], counts[kept].sum() * expected[kept] / expected[kept].sum())
    assert test.pvalue > 1e-7
    # control: other weights are noticed
    other = expected * np.exp(0.04 * k)
    other = other[kept] / other[kept].sum()
    assert stats.chisquare(counts[kept], counts[kept].sum() * other).pvalue < 1e-7


def test_parameters_broadcast():
    y = pms.ConwayMaxwellPoisson.dist(mu=[1.0, 20.0, 5.0], nu=[[0.5], [3.0]])
    drawn = value(y)
    assert drawn.shape == (2, 3)
    assert value(pm.logp(y, drawn)).shape == (2, 3)
    many = pms.ConwayMaxwellPoisson.dist(mu=np.array([1.0, 20.0]), nu=2.0, size=(4000, 2))
    means = pm.draw(many, random_seed=1, mode="FAST_COMPILE").mean(axis=0)
    np.testing.assert_allclose(means, [1.0, 20.0], rtol=0.05)


def test_a_random_rate_without_a_sum_has_probability_zero():
    y = pms.ConwayMaxwellPoisson.dist(log_lam=pt.constant([0.1, -0.1]) * 1.0, nu=0.0)
    found = value(pm.logp(y, [1, 1]))
    assert found[0] == -np.inf
    assert np.isfinite(found[1])


def test_pymc_checks_the_density():
    check_logp(
        pms.DiscreteGaussian,
        pm.testing.Domain([-np.inf, -3, 0, 2, np.inf], "int64"),
        {"mu": pm.testing.R, "sigma": pm.testing.Domain([0, 0.3, 1, 4, np.inf], "float64")},
        lambda value, mu, sigma: (
            -0.5 * (value - mu) ** 2 / sigma**2
            - special.logsumexp(-0.5 * (np.arange(-300, 301) - mu) ** 2 / sigma**2)
        ),
        n_samples=20,
    )


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: pms.ConwayMaxwellPoisson.dist(nu=1.0), TypeError, "just one of mu, lam"),
        (lambda: pms.ConwayMaxwellPoisson.dist(mu=1.0, lam=2.0, nu=1.0), TypeError, "just one"),
        (lambda: pms.ConwayMaxwellPoisson.dist(mu=1.0), TypeError, "takes nu"),
        (lambda: pms.ConwayMaxwellPoisson.dist(mu=-1.0, nu=1.0), errors.FamilyError, "mu = -1"),
        (lambda: pms.ConwayMaxwellPoisson.dist(lam=0.0, nu=1.0), errors.FamilyError, "lam = 0"),
        (lambda: pms.ConwayMaxwellPoisson.dist(mu=1.0, nu=-1.0), errors.FamilyError, "nu = -1"),
        (
            lambda: pms.ConwayMaxwellPoisson.dist(log_lam=0.5, nu=0.0), errors.FamilyError,
            "infinite",
        ),
        (lambda: pms.DiscreteGaussian.dist(0.0, 0.0), errors.FamilyError, "sigma = 0"),
        (lambda: pms.Zeta.dist(np.inf, cutoff=3), errors.FamilyError, "s = inf"),
        (lambda: pms.Zeta.dist(1.0, cutoff=0), errors.SupportError, "0"),
        (lambda: pms.Zeta.dist(1.0), errors.FamilyError, "without a cut-off"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, error, match):
    with pytest.raises(error, match=match):
        make()
