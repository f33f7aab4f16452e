"""Powers of distributions: proportional to the power, of mass 1, drawn, and what is refused."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate, stats

import pm_statmech as pms
from pm_statmech import errors

HALF_LINE, LINE, UNIT = (0.0, np.inf), (-np.inf, np.inf), (0.0, 1.0)


def value(graph):
    return graph.eval(mode="FAST_COMPILE")


# PyMC computes with small constants of Python in single precision, but not with NumPy's
CONTINUOUS = {
    "normal": (lambda: pm.Normal.dist(1.0, 2.0), LINE),
    "truncated normal": (lambda: pm.TruncatedNormal.dist(mu=1.0, sigma=2.0, lower=0.0), HALF_LINE),
    "half normal": (lambda: pm.HalfNormal.dist(2.0), HALF_LINE),
    "gamma": (lambda: pm.Gamma.dist(3.0, 2.0), HALF_LINE),
    "inverse gamma": (lambda: pm.InverseGamma.dist(3.0, 2.0), HALF_LINE),
    "beta": (lambda: pm.Beta.dist(1.5, 3.0), UNIT),
    "exponential": (lambda: pm.Exponential.dist(np.float64(1.5)), HALF_LINE),
    "student": (lambda: pm.StudentT.dist(nu=5.0, mu=1.0, sigma=2.0), LINE),
    "half student": (lambda: pm.HalfStudentT.dist(nu=5.0, sigma=2.0), HALF_LINE),
    "cauchy": (lambda: pm.Cauchy.dist(1.0, 2.0), LINE),
    "half cauchy": (lambda: pm.HalfCauchy.dist(2.0), HALF_LINE),
    "laplace": (lambda: pm.Laplace.dist(1.0, 2.0), LINE),
    "log normal": (lambda: pm.LogNormal.dist(0.3, 0.7), HALF_LINE),
    "pareto": (lambda: pm.Pareto.dist(3.0, 1.5), (1.5, np.inf)),
    "von Mises": (lambda: pm.VonMises.dist(0.5, 2.0), (-np.pi, np.pi)),
    "uniform": (lambda: pm.Uniform.dist(-1.0, 3.0), (-1.0, 3.0)),
    "logistic": (lambda: pm.Logistic.dist(1.0, 2.0), LINE),
    "gumbel": (lambda: pm.Gumbel.dist(1.0, 2.0), LINE),
    "weibull": (lambda: pm.Weibull.dist(2.0, 3.0), HALF_LINE),
    "kumaraswamy": (lambda: pm.Kumaraswamy.dist(2.0, 3.0), UNIT),
    "logit normal": (lambda: pm.LogitNormal.dist(*np.array([0.3, 1.0])), UNIT),
}


@pytest.mark.parametrize("beta", [0.7, 1.0, 2.5])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_powers_of_densities(name, beta):
    make, (low, high) = CONTINUOUS[name]
    y = pms.Powered.dist(make(), beta)
    inside = np.linspace(max(low, -3.0), min(high, 6.0), 9)[1:-1]
    excess = value(pm.logp(y, inside)) - beta * value(pm.logp(make(), inside))
    np.testing.assert_allclose(excess, excess[0], atol=1e-9)
    x = pt.dscalar("x")
    f = pytensor.function([x], pm.logp(make(), x), mode="FAST_COMPILE")
    log_z = np.log(integrate.quad(lambda x: np.exp(beta * f(x)), low, high, limit=200)[0])
    assert excess[0] == pytest.approx(-log_z, abs=1e-7)


COUNTS = {
    "bernoulli": (lambda: pm.Bernoulli.dist(0.3), range(2)),
    "categorical": (lambda: pm.Categorical.dist([0.2, 0.5, 0.3]), range(3)),
    "geometric": (lambda: pm.Geometric.dist(0.3), range(1, 400)),
    "poisson": (lambda: pm.Poisson.dist(np.float64(3.0)), range(100)),
    "discrete uniform": (lambda: pm.DiscreteUniform.dist(1, 6), range(1, 7)),
    "binomial": (lambda: pm.Binomial.dist(7, 0.3), range(8)),
    "negative binomial": (lambda: pm.NegativeBinomial.dist(*np.array([3.0, 2.0])), range(400)),
}


@pytest.mark.parametrize("beta", [0.7, 1.0, 2.5])
@pytest.mark.parametrize("name", COUNTS)
def test_powers_of_probabilities(name, beta):
    make, k = COUNTS[name]
    k = np.array(k)
    p = np.exp(beta * value(pm.logp(make(), k)))
    y = pms.Powered.dist(make(), beta)
    np.testing.assert_allclose(np.exp(value(pm.logp(y, k))), p / p.sum(), atol=1e-10)


def test_vectors():
    cov = np.array([[2.0, 0.5], [0.5, 1.0]])
    y = pms.Powered.dist(pm.MvNormal.dist([1.0, 2.0], cov), 4.0)
    expected = stats.multivariate_normal([1, 2], cov / 4).logpdf([0.5, 1.0])
    assert value(pm.logp(y, [0.5, 1.0])) == pytest.approx(expected, rel=1e-10)
    y = pms.Powered.dist(pm.Dirichlet.dist([2.0, 3.0]), 2.0)
    expected = stats.dirichlet([3, 5]).logpdf([0.4, 0.6])
    assert value(pm.logp(y, [0.4, 0.6])) == pytest.approx(expected, rel=1e-10)


def test_shapes():
    many = pms.Powered.dist(pm.Normal.dist(0.0, 1.0, size=(3, 2)), 4.0)
    assert value(many).shape == (3, 2)
    batch = pms.Powered.dist(pm.Normal.dist(0.0, 1.0), np.array([1.0, 4.0]))
    assert value(batch).shape == (2,)
    with pm.Model(coords={"row": range(4)}):
        y = pms.Powered("y", pm.Logistic.dist(0, 1), 2.0, dims="row")
    assert value(y).shape == (4,)


def test_draws_of_an_integrated_power():
    y = pms.Powered.dist(pm.Logistic.dist(1.0, 2.0), 0.5, size=20_000)
    drawn = pm.draw(y, random_seed=1, mode="FAST_COMPILE")
    # the power 1/2 of a logistic density is a hyperbolic secant
    assert stats.kstest(drawn, stats.hypsecant(1.0, 4.0).cdf).pvalue > 1e-7
    assert stats.kstest(drawn, stats.hypsecant(1.0, 3.6).cdf).pvalue < 1e-7


@pytest.mark.parametrize(
    ("make", "at", "x"),
    [
        (pm.Logistic.dist, [1.0, 2.0], 0.3),
        (pm.Gumbel.dist, [1.0, 2.0], 0.3),
        (pm.Weibull.dist, [2.0, 3.0], 1.3),
        (lambda mu, alpha: pm.NegativeBinomial.dist(mu=mu, alpha=alpha), [3.0, 2.0], 4),
        (lambda p: pm.Binomial.dist(7, p), [0.3], 2),
    ],
)
def test_random_parameters_have_gradients(make, at, x):
    beta, *params = variables = [pt.dscalar() for _ in range(1 + len(at))]
    log_p = pm.logp(pms.Powered.dist(make(*params), beta), x)
    f = pytensor.function(variables, log_p, mode="FAST_COMPILE")
    g = pytensor.function(variables, pytensor.grad(log_p, variables), mode="FAST_COMPILE")
    at = np.array([1.7, *at])
    # of constants, whose normaliser other tests have integrated
    constant = value(pm.logp(pms.Powered.dist(make(*at[1:]), at[0]), x))
    assert f(*at) == pytest.approx(constant, rel=1e-9)
    for step, slope in zip(1e-5 * np.eye(len(at)), g(*at), strict=True):
        assert slope == pytest.approx((f(*(at + step)) - f(*(at - step))) / 2e-5, rel=1e-6)


def test_rows_of_parameters_that_have_no_closed_form():
    mu = np.array([0.0, 1.0, 5.0])
    y = pms.Powered.dist(pm.Logistic.dist(mu, 2.0), 0.5)
    expected = stats.hypsecant(mu, 4.0).logpdf([0.5, 0.5, 0.5])
    np.testing.assert_allclose(value(pm.logp(y, 0.5)), expected, rtol=1e-9)
    np.testing.assert_allclose(
        value(pm.logcdf(y, 0.5)), stats.hypsecant(mu, 4.0).logcdf(0.5), rtol=1e-7
    )
    assert value(y).shape == (3,)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1)
        pms.Powered("y", pm.Logistic.dist(mu, 1.0), pm.LogNormal("beta"), observed=[0.3, 1.0])
    point = model.initial_point()
    assert np.all(np.isfinite(model.compile_dlogp(mode="FAST_COMPILE")(point)))


def test_a_random_beta_does_not_run_away():
    """The slope in beta vanishes in expectation at the truth; without the normaliser it cannot."""
    data = np.random.default_rng(0).normal(0, 1 / np.sqrt(2), size=4000)
    beta = pt.dscalar("beta")
    log_p = pm.logp(pms.Powered.dist(pm.Normal.dist(0, 1), beta), data).sum()
    f = pytensor.function([beta], pytensor.grad(log_p, beta), mode="FAST_COMPILE")
    # per datum 1 / (2 beta) - x^2 / 2, of variance 1 / (2 beta^2)
    assert abs(f(2.0)) < 5.5 * np.sqrt(4000 / 8)
    assert f(1.0) > 500
    assert f(4.0) < -400
    bare = (beta * pm.logp(pm.Normal.dist(0, 1), data)).sum()
    unsafe = pytensor.function([beta], pytensor.grad(bare, beta), mode="FAST_COMPILE")
    assert unsafe(2.0) < -500


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: pms.Powered.dist(pm.Gamma.dist(0.5, 1), 3.0), errors.FamilyError, "alpha - 1"),
        (lambda: pms.Powered.dist(pm.Cauchy.dist(0, 1), 0.4), errors.FamilyError, "nu \\+ 1"),
        (
            lambda: pms.Powered.dist(pm.Weibull.dist(0.5, 1), 3.0), errors.FamilyError,
            "Weibull.* to the power 3",
        ),
        (lambda: pms.Powered.dist(pm.Normal.dist(0, 1), -1.0), errors.FamilyError, "beta = -1"),
        (
            lambda: pms.Powered.dist(pm.Triangular.dist(0, pt.dscalar(), 0.5), 2.0),
            errors.FamilyError, "lies is not known",
        ),
        (
            lambda: pms.Powered.dist(pm.Multinomial.dist(3, [0.5, 0.5]), 2.0),
            errors.FamilyError, "vector",
        ),
        (
            lambda: pms.Powered.dist(pm.Binomial.dist(pt.iscalar(), 0.5), 2.0),
            errors.FamilyError, "integer parameter",
        ),
        (lambda: pms.Powered.dist(pm.Normal.dist(0, 1), 0.0), errors.FamilyError, "beta = 0"),
        (
            lambda: pms.Powered.dist(
                pm.Mixture.dist([0.5, 0.5], [pm.Normal.dist(), pm.Normal.dist(2)]), 2.0
            ),
            errors.FamilyError, "made of other distributions",
        ),
        (
            lambda: pms.Powered.dist(pm.Truncated.dist(pm.StudentT.dist(3), 0, 1), 2.0),
            errors.FamilyError, "not known",
        ),
        (lambda: pms.Powered.dist(3.0, 2.0), TypeError, "unnamed distribution"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, error, match):
    with pytest.raises(error, match=match):
        make()
