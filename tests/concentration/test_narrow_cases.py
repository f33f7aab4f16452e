"""Cases that fresh readers broke: odd counts and claims, ties, ends, rounding, dependence."""

from math import comb

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.special import logsumexp
from scipy.stats import binom, expon, halfnorm, norm

import pm_statmech as pms
from pm_statmech import concentration as co
from pm_statmech.concentration import tilted_draws
from pm_statmech.concentration.laws import PLAIN
from pm_statmech.errors import CumulantError, FamilyError, LatticeError, ProjectionError
from tests.conftest import within

FACES = np.arange(1, 7.0)


def value(expression):
    return np.asarray(expression.eval(mode=PLAIN))


def test_a_geometric_number_of_exponential_claims_is_exponential():
    # K_N ends before K_X does, and its slope beyond is finite
    year = co.CompoundSum(pm.Geometric.dist(0.3), pm.Exponential.dist(1))
    x = np.array([2.0, 7.0, 20.0, 100.0])
    exact = 0.3 * x - 1 - np.log(0.3 * x)
    np.testing.assert_allclose(value(co.rate_function(year, x).value), exact, rtol=1e-10)
    found = co.tail_probability_tilted(year, threshold=80.0, draws=20_000, random_seed=1)
    within(found.log_probability, -24.0, found.relative_error)
    year = co.CompoundSum(pm.NegativeBinomial.dist(mu=3.0, alpha=2.0), pm.Gamma.dist(2, 1.0))
    tilts = value(co.rate_function(year, [7.0, 15.0, 100.0]).tilt)
    assert np.all(np.diff(tilts) > 0)


def test_ends_of_compound_sums():
    def rate(count, claim, x):
        return float(value(co.rate_function(co.CompoundSum(count, claim), x).value))

    binomial = pm.Binomial.dist(3, 0.5)
    assert rate(binomial, co.Atoms([0, 1.0]), 3.0) == pytest.approx(3 * np.log(4))
    assert rate(binomial, co.Atoms([0, 1.0]), 0.0) == pytest.approx(-3 * np.log(0.75))
    assert rate(binomial, pm.Gamma.dist(2, 1), 0.0) == pytest.approx(3 * np.log(2))
    some = pm.DiscreteUniform.dist(1, 3)
    assert rate(some, co.Atoms([1, 2.0]), 6.0) == pytest.approx(np.log(24))
    assert rate(some, co.Atoms([1, 2.0]), 1.0) == pytest.approx(np.log(6))
    assert rate(some, co.Atoms([1, 2.0]), 0.5) == np.inf
    assert rate(some, pm.Exponential.dist(1), 0.0) == np.inf
    down = co.Atoms([-3.0, -1.0])
    assert rate(pm.Poisson.dist(2), down, -4.0) == pytest.approx(0, abs=1e-12)
    assert rate(pm.Poisson.dist(2), pm.Normal.dist(0, 1), 0.0) == pytest.approx(0, abs=1e-12)
    end = co.cumulant(co.CompoundSum(pm.Poisson.dist(2), pm.Wald.dist(1, 2)), 1.0)
    assert float(value(end)) == pytest.approx(2 * np.expm1(2))
    with pytest.raises(CumulantError, match="Atoms is no distribution of a number"):
        co.cumulant(co.CompoundSum(co.Atoms([0.5, 1.5]), pm.Gamma.dist(1, 1)), 0.1)
    twice = co.CompoundSum(co.Atoms([0, 2]), pm.Exponential.dist(1))
    assert float(value(co.cumulant(twice, 0.5))) == pytest.approx(np.log((1 + 4) / 2))


@pytest.mark.parametrize(
    ("mean", "points", "n", "threshold"),
    [(2, [1, 3], 10, 8.1), (4, [1.5, 2.5], 1, 10.5), (2, [1, 11], 10, 20.3), (3, [-1, 1], 4, 2.2)],
)
def test_lattices_of_compound_sums(mean, points, n, threshold):
    # the sum of n sums is one of a Poisson number that is n times as large
    size, low = 4000, 1000
    claims = np.zeros(size)
    doubled = np.round(np.multiply(points, 2)).astype(int)
    claims[doubled] = 0.5
    transform = np.exp(n * mean * (np.fft.fft(claims) - 1))
    p = np.roll(np.real(np.fft.ifft(transform)), low)
    sums = (np.arange(size) - low) / 2
    exact = np.log(np.sum(p[sums >= n * threshold - 1e-9]))
    year = co.CompoundSum(pm.Poisson.dist(mean), co.Atoms(points))
    found = co.tail_probability_tilted(year, n=n, threshold=threshold, draws=50_000, random_seed=1)
    within(found.log_probability, exact, found.relative_error)
    assert co.saddlepoint_tail(year, n=n, threshold=threshold) == pytest.approx(exact, abs=0.06)


def test_categories_without_probability_are_none():
    two = pm.Categorical.dist([0.5, 0.0, 0.5])
    exact = binom(100, 0.5).logsf(64)
    assert co.log_tail_probability(two, n=100, threshold=1.29) == pytest.approx(exact, rel=1e-12)
    assert co.saddlepoint_tail(two, n=100, threshold=1.29) == pytest.approx(exact, abs=0.01)
    rates = value(co.rate_function(pm.Categorical.dist([0.5, 0.5, 0.0]), [0.0, 1.0, 1.5]).value)
    np.testing.assert_allclose(rates, [np.log(2), np.log(2), np.inf])


def test_sums_that_nothing_has_and_that_hardly_anything_has():
    assert co.log_mean_probability(co.Atoms([0, 2, 3]), n=3, mean=1 / 3) == -np.inf
    wide = co.Atoms([0, 1, 1000], [0.9, 0.05, 0.05])
    # 500 ones among 1000, and no thousand: multinomial
    exact = np.log(float(comb(1000, 500))) + 500 * np.log(0.05) + 500 * np.log(0.9)
    assert co.log_mean_probability(wide, n=1000, mean=0.5) == pytest.approx(exact, rel=1e-12)
    with pytest.raises(LatticeError, match="no 6 draws"):
        co.microcanonical_conditioning(co.Atoms([0, 1, 20], [0.5, 0.3, 0.2]), n=6, mean=11 / 6)
    for total in (5, 20, 24, 61):
        found = co.microcanonical_conditioning(
            co.Atoms([0, 1, 20], [0.5, 0.3, 0.2]), n=6, mean=total / 6
        )
        assert np.sum(found.law) == pytest.approx(1, abs=1e-12)
        assert np.sum(found.law * found.points) == pytest.approx(total / 6)


def test_points_that_differ_by_rounding_are_one():
    atoms = co.Atoms([0.1 * 3, 0.3, 0.6], [0.25, 0.25, 0.5])
    assert len(atoms.points) == 2
    assert co.log_tail_probability(atoms, n=2, threshold=0.45) == pytest.approx(np.log(0.75))
    assert co.log_mean_probability(atoms, n=2, mean=0.45) == pytest.approx(np.log(0.5))


def test_thresholds_far_from_0():
    found = co.tail_probability_tilted(
        pm.Normal.dist(1e6, 0.01), n=100, threshold=1e6 + 0.003, draws=20_000, random_seed=1
    )
    within(found.log_probability, norm.logsf(3), found.relative_error)
    far = co.Atoms([1e10, 1e10 + 1, 1e10 + 2])
    exact = co.log_tail_probability(co.Atoms([0, 1, 2]), n=10, threshold=1.7)
    assert co.log_tail_probability(far, n=10, threshold=1e10 + 1.7) == pytest.approx(exact)
    n = 10**10
    found = co.bahadur_rao(pm.Bernoulli.dist(0.5), n=n, threshold=0.9)
    rate = float(value(co.rate_function(pm.Bernoulli.dist(0.5), 0.9).value))
    prefactor = -0.5 * np.log(2 * np.pi * n * 0.09) - np.log(1 - 1 / 9)
    assert found == pytest.approx(-n * rate + prefactor, abs=1e-3 + 1e-15 * n)


def test_saddlepoints_below_and_close_to_the_mean():
    for dist, n, x in (
        (pm.Normal.dist(0, 1), 10_000, -1.0), (pm.Exponential.dist(1), 10_000, 0.5),
        (pm.Binomial.dist(1, 0.5), 10_000, 0.2),
    ):  # fmt: skip
        assert co.saddlepoint_tail(dist, n=n, threshold=x) == pytest.approx(0, abs=1e-9)
    for mean in (0.0, 1000.0):
        for gap in (2e-7, 1e-5, 0.9e-3, 1.1e-3, 0.01):
            found = co.saddlepoint_tail(pm.Normal.dist(mean, 1), n=10**6, threshold=mean + gap)
            # what is left of the gap in double precision
            exact = norm.logsf((mean + gap - mean) * 1000)
            assert found == pytest.approx(exact, rel=1e-6, abs=1e-6)
    # across the border of the series nothing jumps
    at = [co.saddlepoint_tail(pm.Exponential.dist(1), n=400, threshold=1 + v)
          for v in (0.00099, 0.001, 0.00101)]  # fmt: skip
    assert at[0] - at[1] == pytest.approx(at[1] - at[2], rel=1e-2)
    skewed = co.saddlepoint_tail(pm.Gumbel.dist(0, 1), n=10**4, threshold=np.euler_gamma + 1e-8)
    assert skewed == pytest.approx(np.log(0.5), abs=0.01)


def test_thresholds_at_the_upper_end():
    coin = pm.Bernoulli.dist(0.5)
    for found in (co.saddlepoint_tail, co.bahadur_rao):
        assert found(coin, n=3, threshold=0.9) == pytest.approx(-3 * np.log(2))


def test_lower_tails_near_an_end():
    found = co.lower_tail_probability_tilted(
        pm.HalfNormal.dist(2.0), threshold=0.005, draws=20_000, random_seed=1
    )
    within(found.log_probability, halfnorm(scale=2).logcdf(0.005), found.relative_error)
    found = co.lower_tail_probability_tilted(
        pm.Binomial.dist(10, 0.5), n=3, threshold=2.0, draws=20_000, random_seed=1
    )
    within(found.log_probability, binom(30, 0.5).logcdf(6), found.relative_error)
    found = co.lower_tail_probability_tilted(
        pm.Exponential.dist(1), threshold=1e-3, draws=20_000, random_seed=1
    )
    within(found.log_probability, expon.logcdf(1e-3), found.relative_error)


def test_errors_of_what_is_not_rare_are_binomial():
    found = co.tail_probability_tilted(pm.Normal.dist(), threshold=-2.0, draws=5000, random_seed=1)
    p = np.exp(found.log_probability)
    assert found.tilt == 0
    assert found.relative_error == pytest.approx(np.sqrt((1 - p) / p / 4999), rel=1e-9)


def test_ties_of_likelihood_ratios_go_to_the_first_law():
    found = co.likelihood_ratio_errors([0.3, 0.7], [0.7, 0.3], n=10)
    assert found.log_false_alarm == pytest.approx(binom(10, 0.3).logsf(5))
    assert found.log_miss == pytest.approx(binom(10, 0.7).logcdf(5))


@pytest.mark.parametrize(
    "pair",
    [
        (lambda: pm.Beta.dist(1, 1), lambda: pm.Beta.dist(3.5, 1)),
        (lambda: pm.Beta.dist(0.3, 1), lambda: pm.Beta.dist(3, 1)),
        (lambda: pm.Gamma.dist(1.2, 1), lambda: pm.Gamma.dist(3, 1)),
        (lambda: pm.InverseGamma.dist(1.2, 1), lambda: pm.InverseGamma.dist(3.7, 1)),
        (lambda: pm.Normal.dist(0, 2), lambda: pm.Normal.dist(0, 1)),
    ],
)
def test_renyi_divergences_that_are_infinite(pair):
    assert co.renyi_divergence(pair[0](), pair[1](), 2.0) == np.inf


def test_divergences_on_the_edge_of_a_family_are_named():
    with pytest.raises(CumulantError, match="on the edge of its family"):
        co.relative_entropy(pm.Bernoulli.dist(0.0), pm.Bernoulli.dist(0.5))
    with pytest.raises(ProjectionError, match="arrays of probabilities alone"):
        co.renyi_divergence(pm.Normal.dist(), pm.Normal.dist(1), np.inf)
    assert co.log_affinity([0.5, 0.5, 0], [0.2, 0.8, 0], 2.0) == pytest.approx(
        np.log(0.25 / 0.2 + 0.25 / 0.8)
    )
    assert co.jensen_shannon([1, 0], [0.5, 0.5], 1.0) == 0


def test_typical_sets_of_epsilon_0():
    found = co.typical_set([1 / 3] * 3, n=10, epsilon=0.0)
    assert (found.probability, found.log_size) == pytest.approx((1, 10 * np.log(3)))
    found = co.typical_set([0.3, 0.7], n=10, epsilon=0.0)
    assert found.probability == pytest.approx(binom(10, 0.3).pmf(3))


def test_tied_inequalities():
    high, low = (FACES > 3.5) * 1.0, (FACES < 3.5) * 1.0
    found = co.i_projection(
        FACES, statistics=np.column_stack([high, low]), lower=[0.6, -9], upper=[9, 0.35]
    )
    np.testing.assert_allclose(found.probabilities, (0.65 * high + 0.35 * low) / 3, rtol=1e-12)
    twice = np.column_stack([FACES, FACES])
    found = co.i_projection(FACES, statistics=twice, lower=[4.0, 4.5])
    alone = co.i_projection(FACES, statistics=FACES[:, None], lower=[4.5])
    np.testing.assert_allclose(found.probabilities, alone.probabilities, rtol=1e-12)
    found = co.i_projection([0, 1], statistics=[[0, 0], [1, 1]], lower=[0.6, 0.7])
    np.testing.assert_allclose(found.probabilities, [0.3, 0.7])
    # and random ones, against Dykstra's projections
    rng = np.random.default_rng(1)
    for _ in range(10):
        T = rng.normal(size=(9, 2)) @ rng.normal(size=(2, 4))
        p = rng.dirichlet(np.ones(9))
        lower = p @ T - rng.random(4) * 0.1
        found = co.i_projection(np.arange(9), statistics=T, lower=lower)
        sets = [{"statistics": T[:, k : k + 1], "lower": lower[k : k + 1]} for k in range(4)]
        other = co.alternating_projections(np.arange(9), constraints=sets, tolerance=1e-13)
        np.testing.assert_allclose(found.probabilities, other.probabilities, atol=1e-7)
    with pytest.raises(ProjectionError, match="outside the convex hull"):
        co.i_projection(FACES, statistics=np.column_stack([high, low]), lower=[0.6, 0.6])


def test_points_that_are_there_twice():
    found = co.i_projection([1, 1, 2], statistics=lambda x: [x], moments=[1.8])
    np.testing.assert_allclose(found.probabilities, [0.1, 0.1, 0.8])


def test_a_statistic_that_is_the_same_everywhere_but_for_rounding():
    T = np.column_stack([np.full(6, 0.3), FACES])
    game = co.minimax_brier(FACES, statistics=T, moments=[0.1 * 3, 4.5])
    assert abs(game.gap) < 1e-9


def test_what_follows_from_each_other_is_named():
    twice = pms.Family(lambda x: [x, 2 * x], pms.Integers(0, 3))
    with pytest.raises(FamilyError, match="follow from the others"):
        co.geodesic(twice, [0.0, 0.0], [0.5, 0.5])
    three = pms.Family(lambda x: [x, 2 * x, x**2], pms.Integers(0, 3))
    with pytest.raises(FamilyError, match="follow from the others"):
        co.mixed_responses(three, [0.0, 0.0, 0.0], held=[0, 1])
    with pytest.raises(FamilyError, match="all work is the same"):
        co.crooks(np.zeros(5), np.zeros(5))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: co.saddlepoint_tail(pm.Normal.dist([0, 1], 1), n=4, threshold=1.0),
         CumulantError, "arrays of parameters"),
        (lambda: co.tail_probability_tilted(pm.Normal.dist([0, 1], 1), n=4, threshold=1.0),
         CumulantError, "arrays of parameters"),
        (lambda: co.log_tail_probability(pm.Bernoulli.dist(0.5), n=4, threshold=np.nan),
         LatticeError, "finite mean"),
        (lambda: co.log_tail_probability(pm.Bernoulli.dist(0.5), n=0, threshold=0.5),
         LatticeError, "whole number of draws"),
        (lambda: co.bahadur_rao(pm.Bernoulli.dist(0.5), n=-5, threshold=0.9),
         LatticeError, "whole number of draws"),
        (lambda: co.markov_rate_function([[0.5, 0.5], [0.5, 0.5]], [0, 1.0], []),
         CumulantError, "at least one"),
        (lambda: co.markov_rate_function([[0.5, 0.5], [0.5, 0.5]], [0, 1.0], np.nan),
         CumulantError, "finite means"),
    ],
)  # fmt: skip
def test_mistakes(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_symbolic_x_beyond_is_infinite_and_never_nan():
    x = pt.dscalar("x")
    dist = co.CompoundSum(pm.NegativeBinomial.dist(mu=3.0, alpha=2.0), pm.Gamma.dist(2, 1.0))
    rate = co.rate_function(dist, x).value
    assert float(rate.eval({x: 40.0}, mode=PLAIN)) > 0
    assert float(rate.eval({x: -1.0}, mode=PLAIN)) == np.inf


def test_sums_of_logs_of_types():
    assert logsumexp(co.log_type_probability(co.all_types(6, 3), [0.2, 0.3, 0.5])) == pytest.approx(
        0, abs=1e-13
    )


def test_arrays_of_parameters_and_of_means_together():
    scale, x = np.array([[1.0], [2.0]]), np.array([-1.0, 0.5, 3.0])
    found = value(co.rate_function(pm.HalfNormal.dist(scale), x).value)
    assert found.shape == (2, 3)
    assert np.all(found[:, 0] == np.inf)
    one = value(co.rate_function(pm.HalfNormal.dist(2.0), 3.0).value)
    assert found[1, 2] == pytest.approx(float(one), rel=1e-12)
    sigma = pt.dvector("sigma")
    rates = co.rate_function(pm.HalfNormal.dist(sigma), 0.5).value
    slope = pytensor.grad(pt.sum(rates), sigma).eval({sigma: [1.0, 2.0]}, mode=PLAIN)
    h = 1e-6
    ends = [rates.eval({sigma: np.array([1.0 + s, 2.0 + s])}, mode=PLAIN) for s in (h, -h)]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * h), rtol=1e-6)


def test_numbers_are_added_up_some_at_a_time(monkeypatch):
    m = np.array([0.0, 3.0, 50.0, 1.0, 0.0, 7.0])
    sums = tilted_draws._added(lambda rng, t, size: np.ones(size))
    for chunk in (1, 10, 100, 10_000):
        monkeypatch.setattr(tilted_draws, "CHUNK", chunk)
        np.testing.assert_array_equal(sums(None, 0.0, m), m)


def test_a_sum_between_two_that_there_are():
    # 3a + 5b is never 4 or 7, and a transform's noise is not 0
    atoms = co.Atoms([0, 3, 5])
    for n, total in ((4, 4), (4, 7), (30, 4), (30, 7)):
        assert co.log_mean_probability(atoms, n=n, mean=total / n) == -np.inf
    assert co.log_mean_probability(atoms, n=4, mean=8 / 4) == pytest.approx(np.log(12 / 81))


def test_saddlepoints_of_lattices_at_the_mean():
    for k in (50, 51):
        found = co.saddlepoint_tail(pm.Bernoulli.dist(0.5), n=100, threshold=k / 100)
        assert found == pytest.approx(binom(100, 0.5).logsf(k - 1), abs=1e-3)
