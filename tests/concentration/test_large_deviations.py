"""Cumulants, rates, exact sums, refinements, rare events and conditional laws."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.special import logsumexp
from scipy.stats import binom, gamma, norm, poisson

import pm_statmech as pms
from pm_statmech import concentration as co
from pm_statmech.concentration.laws import PLAIN, numbers_of
from pm_statmech.concentration.named_laws import NAMED, law_of
from pm_statmech.concentration.tilted_draws import DRAWN, tilted_sums_of
from pm_statmech.concentration.tilts import slopes
from pm_statmech.errors import CumulantError, FamilyError, LatticeError
from tests.conftest import CONCENTRATION, RECORDS, Z_LIMIT, within

DIE = co.Atoms([1, 2, 3, 4, 5, 6])

LAWS = {
    "Normal": lambda: pm.Normal.dist(1, 2),
    "Gamma": lambda: pm.Gamma.dist(2, 3),
    "Exponential": lambda: pm.Exponential.dist(3),
    "Poisson": lambda: pm.Poisson.dist(2.5),
    "Binomial": lambda: pm.Binomial.dist(7, 0.3),
    "Bernoulli": lambda: pm.Bernoulli.dist(0.3),
    "NegativeBinomial": lambda: pm.NegativeBinomial.dist(mu=3, alpha=2),
    "Geometric": lambda: pm.Geometric.dist(0.3),
    "Laplace": lambda: pm.Laplace.dist(1, 0.6),
    "Wald": lambda: pm.Wald.dist(2, 3, alpha=0.5),
    "Uniform": lambda: pm.Uniform.dist(-1, 2),
    "DiscreteUniform": lambda: pm.DiscreteUniform.dist(1, 6),
    "HalfNormal": lambda: pm.HalfNormal.dist(1.5),
    "Gumbel": lambda: pm.Gumbel.dist(1, 2),
    "Logistic": lambda: pm.Logistic.dist(1, 0.7),
    "Categorical": lambda: pm.Categorical.dist([0.2, 0.3, 0.5]),
}
NUMBERS_ON = {
    "Poisson": (0, 200), "Binomial": (0, 7), "Bernoulli": (0, 1), "NegativeBinomial": (0, 600),
    "Geometric": (1, 400), "DiscreteUniform": (1, 6), "Categorical": (0, 2),
}  # fmt: skip
DENSITY_ON = {
    "Normal": (-40, 40), "Gamma": (0, 20), "Exponential": (0, 20), "Laplace": (-40, 40),
    "Wald": (0.5, 400), "Uniform": (-1, 2), "HalfNormal": (0, 20), "Gumbel": (-20, 200),
    "Logistic": (-60, 60),
}  # fmt: skip


def value(expression):
    return np.asarray(expression.eval(mode=PLAIN))


def moments_of(dist, t=0.0):
    """Mean and variance under a tilt."""
    law = law_of(dist)
    return [float(v) for v in numbers_of(*slopes(law.cumulant, pt.constant(t)))]


def summed(name, t):
    """log E[exp(tX)] by adding or integrating PyMC's own density."""
    if name in NUMBERS_ON:
        low, high = NUMBERS_ON[name]
        x, weights = np.arange(low, high + 1.0), np.ones(high - low + 1)
    else:
        low, high = DENSITY_ON[name]
        nodes, weights = np.polynomial.legendre.leggauss(200)
        ends = np.linspace(low, high, 101)
        if low == 0 or name == "Wald":
            ends = low + (high - low) * np.linspace(0, 1, 101) ** 3
        if low == -40:
            # a break at the kink of Laplace
            ends = np.unique(np.append(ends, 1.0))
        half = np.diff(ends) / 2
        x = (ends[:-1] + half)[:, None] + half[:, None] * nodes
        x, weights = x.ravel(), (half[:, None] * weights).ravel()
    density = np.exp(value(pm.logp(LAWS[name](), pt.constant(x))))
    return np.log(weights @ (density * np.exp(t * x)))


def test_every_law_is_tried():
    assert set(LAWS) == set(DRAWN)
    assert len(NAMED) == len(LAWS)


@pytest.mark.parametrize("name", LAWS)
def test_cumulants_are_those_of_pymcs_densities(name):
    for t in (-0.3, 0.2):
        found = float(value(co.cumulant(LAWS[name](), t)))
        # PyMC takes logs of small integers in single precision
        assert found == pytest.approx(summed(name, t), rel=1e-6, abs=1e-7)
    assert float(value(co.cumulant(LAWS[name](), 0.0))) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("name", LAWS)
def test_the_tilt_has_the_mean_and_the_rate_its_derivatives(name):
    mean, variance = moments_of(LAWS[name]())
    x = np.array([mean - 0.3 * variance**0.5, mean + 0.4 * variance**0.5])
    found = co.rate_function(LAWS[name](), x)
    rate, tilt, curvature = (value(v) for v in found)
    for x_i, rate_i, tilt_i, curvature_i in zip(x, rate, tilt, curvature, strict=True):
        tilted_mean, tilted_variance = moments_of(LAWS[name](), tilt_i)
        assert tilted_mean == pytest.approx(x_i, rel=1e-10)
        assert curvature_i == pytest.approx(1 / tilted_variance, rel=1e-9)
        k = float(value(co.cumulant(LAWS[name](), tilt_i)))
        assert rate_i == pytest.approx(tilt_i * x_i - k, rel=1e-10)
        # and no other tilt gives more
        for other in (tilt_i - 1e-3, tilt_i + 1e-3):
            assert other * x_i - float(value(co.cumulant(LAWS[name](), other))) < rate_i
    at_mean = float(value(co.rate_function(LAWS[name](), mean).value))
    assert at_mean == pytest.approx(0, abs=1e-13)


RATES = {
    "rate_bernoulli_p=0.3_x=0.5": (lambda: pm.Bernoulli.dist(0.3), 0.5),
    "rate_poisson_lam=2_x=5": (lambda: pm.Poisson.dist(2), 5),
    "rate_exponential_rate=1_x=3": (lambda: pm.Exponential.dist(1), 3),
    "rate_gamma_k=3_scale=2_x=10": (lambda: pm.Gamma.dist(3, 0.5), 10),
    "rate_rademacher_x=0.6": (lambda: co.Atoms([-1, 1]), 0.6),
}


@pytest.mark.parametrize("name", RATES)
def test_records_of_rates(name):
    make, x = RATES[name]
    found = co.rate_function(make(), x)
    assert float(value(found.value)) == pytest.approx(RECORDS[name]["value"], rel=1e-12)
    assert float(value(found.tilt)) == pytest.approx(float(RECORDS[name]["theta_star"]), rel=1e-12)


@pytest.mark.parametrize("mean", [2.5, 5.9])
def test_records_of_the_die_by_three_routes(mean):
    exact = RECORDS[f"dice_mean_{mean}"]["value"]
    for dist in (DIE, pm.DiscreteUniform.dist(1, 6)):
        assert float(value(co.rate_function(dist, mean).value)) == pytest.approx(exact, rel=1e-12)
    family = pms.Family(lambda x: [x], pms.Integers(1, 6))
    found = co.rate_function_of_statistics(family, [0.0], [mean])
    assert float(value(found)) == pytest.approx(exact, rel=1e-12)


def test_rates_at_the_ends_of_a_support():
    found = co.rate_function(pm.Bernoulli.dist(0.3), [-0.1, 0.0, 1.0, 1.1])
    np.testing.assert_allclose(value(found.value), [np.inf, -np.log(0.7), -np.log(0.3), np.inf])
    assert value(found.tilt).tolist() == [-np.inf, -np.inf, np.inf, np.inf]
    assert float(value(co.rate_function(pm.Poisson.dist(2), 0).value)) == pytest.approx(2)
    assert float(value(co.rate_function(pm.Geometric.dist(0.3), 1).value)) == pytest.approx(
        -np.log(0.3)
    )
    assert float(value(co.rate_function(DIE, 6).value)) == pytest.approx(np.log(6))
    assert float(value(co.rate_function(pm.Gamma.dist(2, 1), 0).value)) == np.inf


def test_parameters_in_single_precision_are_not():
    # PyMC computes the scale 1 / 3 in single precision, which is off by 1e-8
    found = float(value(co.cumulant(pm.Exponential.dist(3), 1)))
    assert found == pytest.approx(-np.log1p(-1 / 3), rel=1e-15)


@pytest.mark.parametrize("make", [pm.Normal.dist, pm.HalfNormal.dist], ids=["closed", "searched"])
def test_gradients_are_those_of_the_envelope_theorem(make):
    sigma, x = pt.dscalar("sigma"), pt.dscalar("x")
    dist = make(sigma=sigma)
    found = co.rate_function(dist, x)
    outputs = [found.value, found.tilt, *pytensor.grad(found.value, [x, sigma])]
    second = pytensor.grad(outputs[2], x)
    function = pytensor.function([sigma, x], [*outputs, second], mode=PLAIN)
    rate, tilt, by_x, by_sigma, curvature = function(1.3, 1.7)
    h = 1e-5
    above, below = function(1.3, 1.7 + h)[0], function(1.3, 1.7 - h)[0]
    assert by_x == pytest.approx(tilt, rel=1e-10)
    assert by_x == pytest.approx((above - below) / (2 * h), rel=1e-7)
    assert curvature == pytest.approx((above - 2 * rate + below) / h**2, rel=1e-3)
    difference = (function(1.3 + h, 1.7)[0] - function(1.3 - h, 1.7)[0]) / (2 * h)
    assert by_sigma == pytest.approx(difference, rel=1e-6)


def test_a_rate_stands_inside_a_model():
    with pm.Model() as model:
        scale = pm.HalfNormal("scale", 1)
        pm.Potential("tail", -5 * co.rate_function(pm.Uniform.dist(0, scale), 0.3).value)
    logp = model.compile_logp()
    start = model.initial_point()
    start["scale_log__"] = np.array(np.log(0.5))
    prior = float(norm.logpdf(0.5) + np.log(2) + np.log(0.5))
    exact = float(value(co.rate_function(pm.Uniform.dist(0, 0.5), 0.3).value))
    assert float(logp(start)) == pytest.approx(prior - 5 * exact, rel=1e-9)
    gradient = model.compile_dlogp()
    h = 1e-5
    up, down = (dict(start, scale_log__=start["scale_log__"] + s * h) for s in (1, -1))
    assert float(gradient(start)[0]) == pytest.approx((logp(up) - logp(down)) / (2 * h), rel=1e-6)


def test_legendre_transforms_of_known_functions():
    x = np.array([0.5, 2.0, 30.0])
    found = co.legendre(pt.exp, x)
    np.testing.assert_allclose(value(found.value), x * np.log(x) - x, rtol=1e-12)
    np.testing.assert_allclose(value(found.tilt), np.log(x), rtol=1e-11, atol=1e-12)
    # a barrier at both ends, and a start that is not 0
    found = co.legendre(lambda t: -pt.log(t - 1) - pt.log(3 - t), [-7.0, 0.0, 12.0], low=1, high=3)
    u = value(found.tilt) - 2
    np.testing.assert_allclose(1 / (1 - u) - 1 / (1 + u), [-7.0, 0.0, 12.0], atol=1e-10)
    # its own conjugate
    found = co.legendre(lambda t: t**2 / 2, [-300.0, 0.0, 1e6])
    np.testing.assert_allclose(value(found.value), np.array([-300.0, 0.0, 1e6]) ** 2 / 2)


def test_cumulants_of_statistics_of_a_family():
    family = pms.Family(lambda x: [x, x**2], pms.Integers(0, 3))
    x = np.arange(4.0)
    p = np.exp(0.3 * x - 0.2 * x**2)
    p /= p.sum()
    found = float(value(co.cumulant_of_statistics(family, [0.3, -0.2], [0.5, 0.1])))
    assert found == pytest.approx(np.log(p @ np.exp(0.5 * x + 0.1 * x**2)), rel=1e-12)
    mean = np.array([1.4, 2.9])
    projected = co.i_projection(x, p, statistics=np.column_stack([x, x**2]), moments=mean)
    rate = float(value(co.rate_function_of_statistics(family, [0.3, -0.2], mean)))
    assert rate == pytest.approx(projected.relative_entropy, rel=1e-10)
    with pytest.raises(FamilyError, match="outside"):
        co.rate_function_of_statistics(family, [0.3, -0.2], [3.5, 9.0])


@pytest.mark.parametrize("row", CONCENTRATION["sanov"]["rows"], ids=lambda r: r["n"])
def test_records_of_sanov(row):
    assert CONCENTRATION["sanov"]["I"] == pytest.approx(0.178178371074226, rel=1e-12)
    exact = co.log_tail_probability(DIE, n=row["n"], threshold=4.5)
    assert exact == pytest.approx(row["logP"], rel=1e-12)
    refined = co.bahadur_rao(DIE, n=row["n"], threshold=4.5)
    assert refined == pytest.approx(row["bahadur_rao"], rel=1e-12)
    # Lugannani and Rice's is nearer, and by more the more draws there are
    assert abs(co.saddlepoint_tail(DIE, n=row["n"], threshold=4.5) - exact) < 0.1 / row["n"]


def test_figures_of_the_issue():
    assert co.log_tail_probability(DIE, n=100, threshold=4.5) == pytest.approx(
        -20.305202751851, abs=1e-12
    )
    assert co.bahadur_rao(DIE, n=100, threshold=4.5) == pytest.approx(-20.2842027, abs=1e-7)


def test_exact_sums_against_closed_forms():
    for n, x in ((30, 0.6), (30, 0.61), (1000, 0.9), (30, 0.2), (30, 1.0)):
        k = np.arange(np.ceil(n * x - 1e-9), n + 1)
        exact = logsumexp(binom(n, 0.3).logpmf(k))
        found = co.log_tail_probability(pm.Bernoulli.dist(0.3), n=n, threshold=x)
        assert found == pytest.approx(exact, rel=1e-11)
    found = co.log_tail_probability(pm.Binomial.dist(5, 0.3), n=20, threshold=2.5)
    assert found == pytest.approx(binom(100, 0.3).logsf(49), rel=1e-11)
    assert co.log_tail_probability(DIE, n=5, threshold=6.1) == -np.inf
    assert co.log_tail_probability(DIE, n=5, threshold=0.9) == 0
    assert co.log_tail_probability(DIE, n=5, threshold=6) == pytest.approx(-5 * np.log(6))
    assert co.log_mean_probability(DIE, n=3, mean=1) == pytest.approx(-3 * np.log(6))
    assert co.log_mean_probability(DIE, n=3, mean=1.1) == -np.inf
    found = co.log_mean_probability(pm.Bernoulli.dist(0.3), n=40, mean=0.75)
    assert found == pytest.approx(binom(40, 0.3).logpmf(30), rel=1e-11)


def test_a_lattice_may_begin_anywhere_and_have_gaps():
    atoms = co.Atoms([-0.7, 0.2, 1.7], [0.5, 0.3, 0.2])
    n, threshold = 12, 0.5
    sums, p = np.array([0.0]), np.array([1.0])
    for _ in range(n):
        sums = np.add.outer(sums, atoms.points).ravel()
        p = np.outer(p, atoms.probabilities).ravel()
        sums, where = np.unique(np.round(sums, 9), return_inverse=True)
        p = np.bincount(where, p)
    exact = np.log(np.sum(p[sums >= n * threshold - 1e-9]))
    assert co.log_tail_probability(atoms, n=n, threshold=threshold) == pytest.approx(
        exact, rel=1e-12
    )


def test_saddlepoints_against_closed_forms():
    # exact for normal and, up to Stirling's formula, for gamma sums
    assert co.saddlepoint_tail(pm.Normal.dist(1, 2), n=9, threshold=3.0) == pytest.approx(
        norm.logsf(3), rel=1e-12
    )
    assert co.saddlepoint_density(pm.Normal.dist(1, 2), n=9, mean=3.0) == pytest.approx(
        norm(1, 2 / 3).logpdf(3), rel=1e-12
    )
    for x in (0.4, 1.0, 1.000001, 2.5):
        exact = gamma(20, scale=1 / 20).logsf(x)
        found = co.saddlepoint_tail(pm.Exponential.dist(1), n=20, threshold=x)
        assert found == pytest.approx(exact, abs=3e-4)
        assert co.saddlepoint_density(pm.Exponential.dist(1), n=20, mean=x) == pytest.approx(
            gamma(20, scale=1 / 20).logpdf(x), abs=1 / (12 * 20) * 1.1
        )
    for k in (10, 25, 30, 45):
        found = co.saddlepoint_tail(pm.Poisson.dist(2.5), n=10, threshold=k / 10)
        assert found == pytest.approx(poisson(25).logsf(k - 1), abs=2e-3)
        found = co.saddlepoint_density(pm.Poisson.dist(2.5), n=10, mean=k / 10)
        assert found == pytest.approx(poisson(25).logpmf(k), abs=1 / (12 * k) * 1.1)
    refined = co.bahadur_rao(pm.Exponential.dist(1), n=400, threshold=1.8)
    assert refined == pytest.approx(gamma(400, scale=1 / 400).logsf(1.8), abs=0.02)


@pytest.mark.parametrize("name", LAWS)
def test_tilted_draws_have_the_tilted_mean_and_variance(name):
    t, n, draws = 0.15, 7, 20_000
    sums = tilted_sums_of(LAWS[name]())(np.random.default_rng(1), t, np.full(draws, float(n)))
    mean, variance = moments_of(LAWS[name](), t)
    within(np.mean(sums), n * mean, np.std(sums) / draws**0.5)
    squares = (sums - n * mean) ** 2
    within(np.mean(squares), n * variance, np.std(squares) / draws**0.5)
    # no terms, no sum
    assert np.all(tilted_sums_of(LAWS[name]())(np.random.default_rng(1), t, np.zeros(3)) == 0)


@pytest.mark.parametrize("name", LAWS)
def test_rare_events_of_every_law(name):
    mean, variance = moments_of(LAWS[name]())
    law = law_of(LAWS[name]())
    n, threshold = 25, mean + 1.2 * variance**0.5
    high = float(numbers_of(law.support[1])[0])
    threshold = min(threshold, (mean + 3 * high) / 4) if np.isfinite(high) else threshold
    if law.span:
        threshold = np.ceil(threshold * n) / n
    found = co.tail_probability_tilted(
        LAWS[name](), n=n, threshold=threshold, draws=20_000, random_seed=1
    )
    if name in ("Binomial", "Bernoulli", "DiscreteUniform", "Categorical"):
        exact, slack = co.log_tail_probability(LAWS[name](), n=n, threshold=threshold), 0.0
    else:
        # good to some thousandths here, see above
        exact, slack = co.saddlepoint_tail(LAWS[name](), n=n, threshold=threshold), 0.005
    assert found.log_probability < -8
    assert abs(found.log_probability - exact) <= Z_LIMIT * found.relative_error + slack
    assert 1000 < found.ess < 20_000


def test_errors_of_rare_events_are_honest():
    exact = gamma(30).logsf(60)
    z = []
    for seed in range(60):
        found = co.tail_probability_tilted(
            pm.Exponential.dist(1), n=30, threshold=2.0, draws=2000, random_seed=seed
        )
        z.append((np.exp(found.log_probability - exact) - 1) / found.relative_error)
    within(np.mean(z), 0, 1 / 60**0.5)
    # the spread of standard deviations from 60 numbers
    within(np.std(z), 1, 1 / 120**0.5)


def compound_tail(rate, shape, scale, threshold):
    """Exactly: claims of which n have a gamma sum."""
    n = np.arange(1, 2000)
    with np.errstate(under="ignore"):
        return np.log(np.sum(poisson.pmf(n, rate) * gamma.sf(threshold, shape * n, scale=scale)))


def test_a_compound_sum_of_probability_1e_12():
    year = co.CompoundSum(pm.Poisson.dist(7), pm.Gamma.dist(2, 0.05))
    exact = compound_tail(7, 2, 20, 1800.0)
    assert exact < np.log(1e-12)
    found = co.tail_probability_tilted(year, threshold=1800.0, draws=100_000, random_seed=1)
    assert found.relative_error < 0.05
    within(found.log_probability, exact, found.relative_error)
    assert co.saddlepoint_tail(year, n=1, threshold=1800.0) == pytest.approx(exact, abs=0.01)
    # control: without the tilt no draw of as many is there
    draws = tilted_sums_of(year)(np.random.default_rng(1), 0.0, np.ones(100_000))
    assert np.max(draws) < 1800.0
    within(np.mean(draws), 7 * 2 * 20, np.std(draws) / 100_000**0.5)


def test_a_compound_sum_on_a_lattice():
    dist = co.CompoundSum(pm.Poisson.dist(3), pm.DiscreteUniform.dist(1, 6))
    # Panjer's recursion
    p = np.zeros(400)
    p[0] = np.exp(-3.0)
    for s in range(1, 400):
        k = np.arange(1, min(6, s) + 1)
        p[s] = 3 / s * np.sum(k / 6 * p[s - k])
    found = co.tail_probability_tilted(dist, threshold=45, draws=50_000, random_seed=1)
    within(found.log_probability, np.log(np.sum(p[45:])), found.relative_error)
    found = co.saddlepoint_tail(dist, n=1, threshold=45)
    assert found == pytest.approx(np.log(np.sum(p[45:])), abs=0.02)
    nothing = float(value(co.rate_function(dist, 0.0).value))
    assert nothing == pytest.approx(3)


def test_lower_tails():
    found = co.lower_tail_probability_tilted(
        pm.Gamma.dist(2, 1), n=20, threshold=0.8, draws=20_000, random_seed=1
    )
    within(found.log_probability, gamma(40).logcdf(16), found.relative_error)
    assert found.tilt < 0


@pytest.mark.parametrize("n", [10, 50, 200])
def test_records_of_gibbs_conditioning(n):
    record = RECORDS[f"gibbs_conditioning_dice_n{n}"]
    found = co.gibbs_conditioning(DIE, n=n, threshold=4.5)
    np.testing.assert_allclose(found.law, record["value"], rtol=1e-12)
    assert found.log_probability / n == pytest.approx(float(record["logprob_over_n"]), rel=1e-12)
    np.testing.assert_allclose(found.limit, CONCENTRATION["iproj_die"]["p"], rtol=1e-12)


def test_conditional_laws_converge_like_one_over_n():
    gaps = [co.gibbs_conditioning(DIE, n=n, threshold=4.5).total_variation for n in (100, 200, 400)]
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.1)
    assert gaps[1] / gaps[2] == pytest.approx(2, rel=0.05)
    found = co.microcanonical_conditioning(DIE, n=4, mean=2.5)
    # by all throws
    throws = np.array(np.meshgrid(*[range(1, 7)] * 4)).reshape(4, -1)
    first = throws[0, throws.sum(axis=0) == 10]
    np.testing.assert_allclose(
        found.law, np.bincount(first, minlength=7)[1:] / len(first), rtol=1e-12
    )
    assert found.relative_entropy > 0


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: co.cumulant(pm.LogNormal.dist(0, 1), 1.0), CumulantError, "LogNormal has no"),
        (lambda: co.rate_function(pm.StudentT.dist(3), 1.0), CumulantError, "heavier than any"),
        (lambda: co.rate_function(pm.HalfCauchy.dist(1), 1.0), CumulantError, "HalfCauchy"),
        (
            lambda: co.tail_probability_tilted(pm.Pareto.dist(3, 1), threshold=9.0),
            CumulantError, "Pareto",
        ),
        (lambda: co.cumulant(pm.Beta.dist(1, 2), 1.0), CumulantError, "is known of Beta"),
        (lambda: co.legendre(pt.exp, -1.0), CumulantError, "outside the slopes"),
        (
            # finite with a finite slope at its end: a density exp(-x) / (1 + x)^3
            lambda: co.legendre(lambda t: (1 - t) ** 1.5 - 1 + t, 1.5, high=1.0),
            CumulantError, "not steep: its slope is 0.99998. at t = 1",
        ),
        (
            lambda: co.tail_probability_tilted(pm.Uniform.dist(0, 1), n=3, threshold=1.0),
            CumulantError, "not inside the support",
        ),
        (
            lambda: co.tail_probability_tilted(pm.Normal.dist(pm.Normal.dist(), 1), threshold=1.0),
            CumulantError, "random variables",
        ),
        (lambda: co.bahadur_rao(DIE, n=10, threshold=3.0), CumulantError, "not above the mean"),
        (lambda: co.rate_function(pm.Poisson, 3), CumulantError, "Poisson is no distribution with"),
        (lambda: co.gibbs_conditioning([1, 2], n=3, threshold=2), CumulantError, "Atoms"),
        (lambda: co.Atoms([1.0]), CumulantError, "one point"),
        (lambda: co.Atoms([1.0, 2.0], [1.0, -1.0]), CumulantError, "not probabilities"),
        (
            lambda: co.cumulant(co.CompoundSum(pm.Gamma.dist(1, 1), pm.Gamma.dist(1, 1)), 0.1),
            CumulantError, "number of claims",
        ),
        (
            lambda: co.log_tail_probability(pm.Poisson.dist(3), n=4, threshold=5),
            LatticeError, "infinitely many",
        ),
        (
            lambda: co.log_tail_probability(co.Atoms([0, 1, np.sqrt(2)]), n=4, threshold=1),
            LatticeError, "no lattice",
        ),
        (
            lambda: co.log_tail_probability(co.Atoms([0, 1, 1000]), n=10**6, threshold=900),
            LatticeError, "coarser lattice",
        ),
        (lambda: co.gibbs_conditioning(DIE, n=5, threshold=3.0), LatticeError, "not above the"),
        (lambda: co.gibbs_conditioning(DIE, n=5, threshold=6.5), LatticeError, "reaches"),
        (
            lambda: co.microcanonical_conditioning(DIE, n=3, mean=3.5),
            LatticeError, "no 3 draws",
        ),
    ],
)  # fmt: skip
def test_mistakes(call, error, match):
    with pytest.raises(error, match=match):
        call()
