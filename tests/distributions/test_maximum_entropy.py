"""MaxEnt: closed forms, quantiles, entropy that nothing exceeds, random moments, mistakes."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

import pm_statmech as pms
from pm_statmech import errors
from pm_statmech import statistics as of

REAL, POSITIVE = pms.Interval(-np.inf, np.inf), pms.Interval(0, np.inf)


def value(graph):
    return graph.eval(mode="FAST_COMPILE")


@pytest.mark.parametrize(
    ("statistics", "moments", "support", "law"),
    [
        ([of.mean()], [3.0], POSITIVE, stats.expon(scale=3)),
        ([of.mean(), of.power(2)], [1.0, 5.0], REAL, stats.norm(1, 2)),
        ([of.mean(), of.log()], [2.0, 1 - np.euler_gamma], POSITIVE, stats.gamma(2)),
        ([of.absolute(1.0)], [2.0], REAL, stats.laplace(1, 2)),
        (lambda x: [pt.log(x), pt.log1p(-x)], [-1.0, -1.0], pms.Interval(0, 1), stats.uniform()),
        ([of.mean()], [4.0], pms.Integers(0, np.inf), stats.geom(0.2, loc=-1)),
        ([of.mean()], [3.5], pms.Integers(1, 6), stats.randint(1, 7)),
    ],
)  # fmt: skip
def test_closed_forms(statistics, moments, support, law):
    y = pms.MaxEnt.dist(statistics=statistics, moments=moments, support=support)
    discrete = isinstance(support, pms.Integers)
    x = np.array([1, 2, 5]) if discrete else np.array([0.1, 0.5, 0.9])
    expected = law.logpmf(x) if discrete else law.logpdf(x)
    np.testing.assert_allclose(value(pm.logp(y, x)), expected, rtol=1e-8, atol=1e-8)


def test_quantiles_and_a_mean():
    said = pms.quantile_constraints({0.1: 5, 0.9: 20})
    given = {"statistics": [of.mean(), *said.statistics], "moments": [11.0, *said.moments],
             "support": POSITIVE}  # fmt: skip
    y = pms.MaxEnt.dist(**given)
    np.testing.assert_allclose(np.exp(value(pm.logcdf(y, [5.0, 20.0]))), [0.1, 0.9], rtol=1e-9)
    drawn = pm.draw(pms.MaxEnt.dist(**given, size=20_000), random_seed=1, mode="FAST_COMPILE")
    assert abs(drawn.mean() - 11.0) < 5.5 * drawn.std() / np.sqrt(20_000)
    assert np.mean(drawn < 5) == pytest.approx(0.1, abs=5.5 * np.sqrt(0.09 / 20_000))
    # no other distribution with these quantiles and this mean has as much entropy
    x = np.linspace(0, 200, 400_001)
    largest = np.exp(value(pm.logp(y, x)))

    def entropy(p):
        return -np.trapezoid(p * np.log(np.maximum(p, 1e-300)), x)

    rng = np.random.default_rng(0)
    bumps = np.array([np.exp(-0.5 * ((x - c) / 2) ** 2) for c in (2, 4, 8, 12, 16, 22, 30, 40)])
    bumps = bumps * largest
    features = np.array([np.ones_like(x), x, x <= 5, x <= 20])
    totals = np.trapezoid(features[:, None] * bumps, x, axis=-1)
    for _ in range(5):
        # directions that change none of the constraints
        a = rng.normal(size=8)
        a -= np.linalg.pinv(totals) @ (totals @ a)
        other = largest + 0.05 * (a / np.max(np.abs(a))) @ bumps
        assert np.all(other >= 0)
        assert np.trapezoid(x * other, x) == pytest.approx(11.0, abs=1e-3)
        assert entropy(other) < entropy(largest)


def test_relative_to_a_base():
    y = pms.MaxEnt.dist(
        statistics=[of.mean()], moments=[3.0], support=POSITIVE, base=pm.Gamma.dist(2, 1)
    )
    # tilting a gamma distribution changes its rate
    expected = stats.gamma(2, scale=1.5).logpdf([0.5, 4.0])
    np.testing.assert_allclose(value(pm.logp(y, [0.5, 4.0])), expected, rtol=1e-9)
    same = pms.MaxEnt.dist(
        statistics=[of.mean()], moments=[3.0], support=POSITIVE, base=lambda x: pt.log(x) - x
    )
    np.testing.assert_allclose(value(pm.logp(same, [0.5, 4.0])), expected, rtol=1e-9)


def test_random_moments_have_gradients():
    mu = pt.dscalar("mu")
    y = pms.MaxEnt.dist(statistics=[of.mean()], moments=[mu], support=POSITIVE)
    log_p = pm.logp(y, 2.0)
    f = pytensor.function([mu], [log_p, pytensor.grad(log_p, mu)], mode="FAST_COMPILE")
    for at in (0.5, 3.0):
        found, slope = f(at)
        assert found == pytest.approx(-np.log(at) - 2 / at, rel=1e-10)
        assert slope == pytest.approx(-1 / at + 2 / at**2, rel=1e-9)
    with pm.Model() as model:
        mean = pm.Gamma("mean", 2, 1)
        pms.MaxEnt(
            "y", statistics=[of.mean()], moments=[mean], support=pms.Integers(0, 20),
            observed=[1, 4, 2],
        )  # fmt: skip
    assert np.isfinite(model.compile_logp(mode="FAST_COMPILE")(model.initial_point()))
    # a mean that nothing has
    assert np.isnan(f(-1.0)[0])


def test_random_slack_and_variance_are_not_frozen():
    with pm.Model() as model:
        v = pm.HalfNormal("v")
        x = pms.MaxEnt(
            "x", statistics=[of.mean(), of.power(2)], moments=[1.0, 4.0], support=REAL, variance=v
        )
    log_p = model.compile_logp(vars=[x], mode="FAST_COMPILE")
    found = [log_p({"x": np.array(0.3), "v_log__": np.array(at)}) for at in (-9.0, 0.0, 3.0)]
    # with almost no variance, the normal distribution of these moments
    assert found[0] == pytest.approx(stats.norm(1, np.sqrt(3)).logpdf(0.3), abs=1e-3)
    assert len(set(np.round(found, 6))) == 3


def test_moments_on_the_edge_of_the_family():
    """Those of an exponential distribution, whose x^2 has natural parameter 0."""
    for m in (1.0, 0.5):
        y = pms.MaxEnt.dist(
            statistics=[of.mean(), of.power(2)], moments=[m, 2 * m**2], support=POSITIVE
        )
        assert value(pm.logp(y, 0.3)) == pytest.approx(-np.log(m) - 0.3 / m, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: pms.MaxEnt.dist(statistics=[of.mean()], moments=[-1.0], support=POSITIVE),
            errors.FamilyError, "no member",
        ),
        (
            lambda: pms.MaxEnt.dist(
                statistics=[of.mean()], moments=[7.0], support=pms.Integers(1, 6)
            ),
            errors.FamilyError, "outside the convex hull",
        ),
        (
            lambda: pms.MaxEnt.dist(
                statistics=[of.mean()], moments=[1.0, 2.0], support=POSITIVE
            ),
            errors.FamilyError, "2 entries",
        ),
        (
            lambda: pms.MaxEnt.dist(statistics=["mean"], moments=[1.0], support=POSITIVE),
            errors.FamilyError, "'mean'",
        ),
        (lambda: of.power(0), errors.FamilyError, "above 0"),
        (lambda: pms.quantile_constraints({0.1: 5, 0.9: 4}), errors.FamilyError, "increase"),
        (lambda: pms.quantile_constraints({1.1: 5}), errors.FamilyError, "between 0 and 1"),
        (lambda: pms.quantile_constraints({}), errors.FamilyError, "between 0 and 1"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, error, match):
    with pytest.raises(error, match=match):
        make()
