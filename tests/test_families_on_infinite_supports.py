"""Families on intervals and on the integers: records, closed forms, laws, and what they refuse."""

from functools import cache

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import vectorize_graph
from scipy import special, stats

import pm_statmech as pms
from pm_statmech import errors
from pm_statmech.log_partition import lattice
from pm_statmech.log_partition.terms import log_sum

from .conftest import RECORDS


def value(graph):
    """Evaluate without compiling to native code, which would take most of the time."""
    return graph.eval(mode="FAST_COMPILE")


REAL = pms.Interval(-np.inf, np.inf)
POSITIVE = pms.Interval(0, np.inf)
COUNTS = pms.Integers(0, np.inf)


def cmp_statistics(x):
    return [x, -pt.gammaln(x + 1)]


def gvm_statistics(x):
    return [pt.cos(x), pt.sin(x), pt.cos(2 * x), pt.sin(2 * x)]


COM_POISSON = pms.Family(cmp_statistics, COUNTS)
GIG = pms.Family(lambda x: [pt.log(x), -x / 2, -1 / (2 * x)], POSITIVE)
NORMAL = pms.Family(lambda x: [x, x**2], REAL)
GAMMA = pms.Family(lambda x: [pt.log(x), x], POSITIVE)
BETA = pms.Family(lambda x: [pt.log(x), pt.log1p(-x)], pms.Interval(0, 1))
UNIT = pms.Family(lambda x: [x, x**2], pms.Interval(0, 1))
QUARTIC = pms.Family(lambda x: [x**2, x**4], REAL)
CIRCLE = pms.Family(gvm_statistics, pms.Interval(0, 2 * np.pi))
LATTICE = pms.Family(lambda x: [x, x**2], pms.Integers(-np.inf, np.inf))
CUT_OFF = pms.Family(lambda x: [x, pt.log(x)], pms.Integers(1, np.inf))


@cache
def compiled(family):
    """Eta -> A, E[T], relative error."""
    eta = pt.vector("eta")
    outputs = [
        family.log_partition(eta), family.mean_statistics(eta), family.relative_error(eta)
    ]  # fmt: skip
    # compiling to native code would take most of the time
    return pytensor.function([eta], outputs, mode="FAST_COMPILE")


def of_record(name):
    """Family, eta, and what to add to A to get the record's value."""
    kind, p = name.split("_")[0], RECORDS[name]["parameters"]
    if kind == "cmp":
        return COM_POISSON, [np.log(p["lam"]), p["nu"]], 0.0
    if kind == "gig":
        return GIG, [p["p"] - 1, p["a"], p["b"]], 0.0
    if kind == "quartic":
        return QUARTIC, [p["a"], -p["b"]], 0.0
    if kind == "truncexp":
        return UNIT, [p["eta"], 0.0], 0.0
    if kind == "truncquad":
        return UNIT, [p["eta1"], p["eta2"]], 0.0
    if kind == "gvm":
        second = p["kappa2"] * np.array([np.cos(2 * p["delta"]), np.sin(2 * p["delta"])])
        return CIRCLE, [p["kappa1"], 0.0, *second], 0.0
    if kind == "discrete":
        mu, variance = p["mu"], p["sigma2"]
        return LATTICE, [mu / variance, -0.5 / variance], -0.5 * mu**2 / variance
    return CUT_OFF, [np.log(p["z"]), -p["s"]], 0.0


KINDS = ("cmp", "gig", "quartic", "truncexp", "truncquad", "gvm", "discrete", "polylog")


@pytest.mark.parametrize("name", [name for name in RECORDS if name.split("_")[0] in KINDS])
def test_records(name):
    family, eta, shift = of_record(name)
    record = RECORDS[name]
    A, mean, error = compiled(family)(np.asarray(eta, dtype=float))
    is_sum = isinstance(family.support, pms.Integers)
    tolerance = 1e-12 if is_sum else 1e-10
    assert A + shift == pytest.approx(record["value"], rel=tolerance, abs=tolerance)
    assert error < 1e-8
    if "mean" in record:
        assert mean[0] == pytest.approx(float(record["mean"]), rel=1e-9)


def gamma(a, b):
    return [a - 1, -b], special.gammaln(a) - a * np.log(b), [special.digamma(a) - np.log(b), a / b]


def beta(a, b):
    means = special.digamma([a, b]) - special.digamma(a + b)
    return [a - 1, b - 1], special.betaln(a, b), means


def normal(mu, sd):
    A = 0.5 * np.log(2 * np.pi) + np.log(sd) + 0.5 * mu**2 / sd**2
    return [mu / sd**2, -0.5 / sd**2], A, [mu, mu**2 + sd**2]


@pytest.mark.parametrize(
    ("family", "closed"),
    [
        (GAMMA, gamma(0.05, 1.0)),
        (GAMMA, gamma(300.0, 1e-4)),
        (GAMMA, gamma(2.0, 1e6)),
        (BETA, beta(1.0, 1.0)),
        (BETA, beta(0.05, 3.0)),
        (BETA, beta(3000.0, 2.0)),
        (NORMAL, normal(0.0, 1.0)),
        (NORMAL, normal(3.0, 1e-3)),
        (NORMAL, normal(-1e3, 1.0)),
        (UNIT, ([-3e4, 0.0], -np.log(3e4), [1 / 3e4, 2 / 3e4**2])),
    ],
)
def test_closed_forms(family, closed):
    eta, A, mean = closed
    found, found_mean, error = compiled(family)(np.asarray(eta))
    assert found == pytest.approx(A, rel=1e-10, abs=1e-10)
    np.testing.assert_allclose(found_mean, mean, rtol=1e-9, atol=1e-14)
    assert error < 1e-8


def test_heavy_tails():
    """Cauchy and Student tails, by the base, without a cut."""
    family = pms.Family(lambda x: [pt.log1p(x**2)], REAL)
    f = compiled(family)
    for power in (0.6, 1.0, 4.0):
        A = 0.5 * np.log(np.pi) + special.gammaln(power - 0.5) - special.gammaln(power)
        assert f(np.array([-power]))[0] == pytest.approx(A, rel=1e-12)


@pytest.mark.parametrize(
    ("family", "eta", "other"),
    [
        (GAMMA, [1.5, -2.0], [0.2, -1.0]),
        (BETA, [-0.7, 2.0], [1.0, 1.0]),
        (UNIT, [3.0, -8.0], [0.0, 1.0]),
        (QUARTIC, [3.0, -0.5], [-1.0, -0.2]),
        (COM_POISSON, [1.2, 0.6], [0.4, 1.5]),
        (LATTICE, [0.3, -0.1], [0.0, -1.0]),
    ],
)
def test_laws(family, eta, other):
    one = pt.vector("eta")
    eta, other = np.asarray(eta), np.asarray(other)
    outputs = [
        family.log_partition(one), family.mean_statistics(one), family.covariance(one),
        family.entropy(one), family.kl(one, other), family.kl(one, one),
    ]  # fmt: skip
    f = pytensor.function([one], outputs, mode="FAST_COMPILE")
    A, mean, covariance, entropy, kl, none = f(eta)
    # by differences of A and of E[T]
    for k, step in enumerate(1e-4 * np.eye(len(eta))):
        assert (f(eta + step)[0] - f(eta - step)[0]) / 2e-4 == pytest.approx(mean[k], rel=1e-6)
        slope = (f(eta + step)[1] - f(eta - step)[1]) / 2e-4
        np.testing.assert_allclose(slope, covariance[k], rtol=1e-5, atol=1e-8)
    assert np.all(np.linalg.eigvalsh(covariance) > 0)
    assert entropy == pytest.approx(A - eta @ mean, rel=1e-10, abs=1e-10)
    assert kl > 0
    assert none == pytest.approx(0, abs=1e-10)


def test_batches_are_their_members():
    etas = np.array([[1.0, -2.0], [20.0, -1.0], [-0.5, -0.1]])
    many = value(GAMMA.log_partition(etas))
    np.testing.assert_allclose(many, [compiled(GAMMA)(eta)[0] for eta in etas], rtol=1e-13)
    one = pt.vector("eta")
    gradient = pytensor.grad(GAMMA.log_partition(one), one)
    batch = value(vectorize_graph(gradient, {one: pt.constant(etas)}))
    np.testing.assert_allclose(batch, [compiled(GAMMA)(eta)[1] for eta in etas], rtol=1e-12)
    counts = np.array([[[1.0, 1.0]], [[0.2, 2.0]]])
    assert value(COM_POISSON.log_partition(counts)).shape == (2, 1)


def test_densities_integrate_and_vanish_outside():
    x = np.linspace(0, 1, 20_001)
    density = np.exp(value(UNIT.log_prob(x, [3.0, -8.0])))
    assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-7)
    np.testing.assert_array_equal(value(UNIT.log_prob([-0.1, 1.1], [3.0, -8.0])), -np.inf)
    k = np.arange(200)
    assert np.sum(np.exp(value(COM_POISSON.log_prob(k, [1.2, 0.6])))) == pytest.approx(1, abs=1e-12)
    np.testing.assert_array_equal(value(COM_POISSON.log_prob([-1, 0.5], [1.2, 0.6])), -np.inf)


@pytest.mark.parametrize(
    ("family", "eta"),
    [
        (GAMMA, [1.0, 0.5]),
        (GAMMA, [-1.0, -1.0]),
        (QUARTIC, [1.0, 0.001]),
        (NORMAL, [0.0, 0.0]),
        (COM_POISSON, [0.7, 0.0]),
        (pms.Family(lambda x: [x], COUNTS), [0.0]),
    ],
)
def test_what_cannot_be_normalised_has_probability_zero(family, eta):
    assert compiled(family)(np.asarray(eta))[0] == np.inf
    at = family.support.example + 1
    assert value(family.log_prob(at, eta)) == -np.inf


@pytest.mark.parametrize(
    ("family", "eta", "true"),
    [
        # a kink, and two narrow modes far apart
        (pms.Family(lambda x: [pt.abs(x)], REAL), [-1.0], np.log(2)),
        (pms.Family(lambda x: [-((x**2 - 1) ** 2)], REAL), [1e8], None),
        # a singularity at 1, where no floating point numbers lie close enough
        (BETA, beta(0.5, 0.1)[0], None),
        # more terms than are summed, and a tail that falls off too slowly
        (pms.Family(lambda x: [x], COUNTS), [-1e-6], None),
        (pms.Family(lambda x: [pt.log(x)], pms.Integers(1, np.inf)), [-2.0], None),
    ],
)
def test_what_has_not_converged_is_nan_and_says_its_error(family, eta, true):
    A, _, error = compiled(family)(np.asarray(eta))
    assert np.isnan(A)
    assert error > 1e-6
    if true is not None:
        # the estimate is at least the error that the rule had
        terms = family.engine.terms()
        found = terms(np.append(eta, 1.0), -np.inf, np.inf, 0)
        assert found.error == error
        assert abs(log_sum(found.log_terms) - true) < error


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: pms.Interval(1, 1), errors.SupportError, "empty"),
        (lambda: pms.Interval(np.inf, np.inf), errors.SupportError, "empty"),
        (lambda: pms.Integers(0.5, np.inf), errors.SupportError, "integers"),
        (lambda: pms.Product(COUNTS), errors.SupportError, "finite"),
        (lambda: GAMMA.fit_moments([0.5, 1.0]), errors.FamilyError, "no member of the family"),
        (
            lambda: pms.Family(lambda x: [pt.log(x)], pms.Interval(-1, 1)).log_partition([1.0]),
            errors.FamilyError, "NaN at x = -0.9",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_random_parameters_agree_with_scipy():
    """Gamma and beta distributions of every shape, between grids and windows."""
    rng = np.random.default_rng(0)
    f, g = compiled(GAMMA), compiled(BETA)
    for _ in range(200):
        a, b = np.exp(rng.normal(0, 3, size=2))
        a = max(a, 0.2)
        eta, A, mean = gamma(a, b)
        found = f(np.array(eta))
        assert found[0] == pytest.approx(A, rel=1e-10, abs=1e-9)
        np.testing.assert_allclose(found[1], mean, rtol=1e-8)
        eta, A, mean = beta(a, 1 + b)
        found = g(np.array(eta))
        assert found[0] == pytest.approx(A, rel=1e-10, abs=1e-8)


def test_the_bound_of_a_tail_is_one():
    """Terms beyond a last one never exceed the bound: of geometric and of Poisson tails."""
    k = np.arange(2000)
    laws = [(stats.geom(1 - ratio, loc=-1), 0.1) for ratio in (0.5, 0.9, 0.99)]
    for law, slack in [*laws, (stats.poisson(30), 0.6)]:
        log_p = law.logpmf(k)
        for last in (35, 50, 80):
            bound, infinite = lattice.tail(log_p[last], np.diff(log_p[last:200]), 0.0)
            left_out = law.sf(last)
            assert not infinite
            assert left_out <= bound * (1 + 1e-9)
            assert bound < (1 + slack) * left_out
    # one that does not fall off has no sum, and one that rises on the way no bound
    assert lattice.tail(0.0, np.array([-0.1, 0.0]), 0.0) == (np.inf, True)
    assert lattice.tail(0.0, np.array([0.1, -0.1]), 0.0) == (np.inf, False)


@pytest.mark.parametrize("ratio", [0.97, 0.999, 0.9999])
def test_long_sums_that_begin_in_the_midst_of_what_counts(ratio):
    A, mean, error = compiled(pms.Family(lambda x: [x], COUNTS))(np.array([np.log(ratio)]))
    assert pytest.approx(-np.log1p(-ratio), rel=1e-12) == A
    assert mean[0] == pytest.approx(ratio / (1 - ratio), rel=1e-11)
    assert error < 1e-12


def test_derivatives_up_to_the_third():
    """Third cumulants of a Poisson and of a gamma distribution, through the gradient of Cov."""
    x = pt.vector("eta")
    for family, eta, third in (
        (COM_POISSON, [np.log(3.0), 1.0], 3.0),
        (pms.Family(lambda x: [x], POSITIVE), [-2.0], 2 / 8),
    ):
        variance = family.covariance(x)[0, 0]
        found = pytensor.function([x], pytensor.grad(variance, x), mode="FAST_COMPILE")
        assert found(np.array(eta))[0] == pytest.approx(third, rel=1e-10)


def test_native_code_gives_what_python_gives():
    for family, etas in (
        (GAMMA, [[2.0, -1.5], [-0.9, -1.0], [1.0, 0.5]]),
        (COM_POISSON, [[1.5, 1.2], [np.log(5e4), 1.0], [0.7, 0.0], [-1e-9, 0.0]]),
    ):
        one = pt.vector("eta", shape=(2,))
        outputs = [family.log_partition(one), family.mean_statistics(one)]
        if family is GAMMA:
            # second derivatives are the same operation, of terms or of points
            outputs.append(family.covariance(one))
        native = pytensor.function([one], outputs, mode="NUMBA")
        python = pytensor.function([one], outputs, mode="FAST_COMPILE")
        for eta in etas:
            for found, expected in zip(native(np.array(eta)), python(np.array(eta)), strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rate", [700.0, 5e3, 1e6])
def test_sums_of_more_terms_than_are_summed(rate):
    A, mean, error = compiled(COM_POISSON)(np.array([np.log(rate), 1.0]))
    assert pytest.approx(rate, rel=1e-12) == A
    assert mean[0] == pytest.approx(rate, rel=1e-10)
    assert error < 1e-12


def test_even_points_do_not_stand_for_integers_that_differ():
    """Counts heaped on tens, whose mean is so large that even points would miss the tens."""
    heaped = pms.Family(lambda x: [x, pt.eq(x % 10, 0)], COUNTS, lambda x: -pt.gammaln(x + 1))
    A, _, error = compiled(heaped)(np.array([np.log(1e5), 1.0]))
    assert np.isnan(A)
    assert error == np.inf
    # few enough to be summed one by one
    k = np.arange(400)
    terms = k * np.log(50.0) + (k % 10 == 0) - special.gammaln(k + 1)
    found = compiled(heaped)(np.array([np.log(50.0), 1.0]))[0]
    assert found == pytest.approx(special.logsumexp(terms), rel=1e-12)


def test_steps_are_averaged_over_every_integer():
    step = pms.Family(lambda x: [x, x**2, pt.cast(x <= 100_000, "float64")],
                      pms.Integers(-np.inf, np.inf))  # fmt: skip
    eta = np.array([103_777 / 1e8, -0.5 / 1e8, 0.0])
    k = np.arange(0, 210_000)
    exponents = eta[0] * k + eta[1] * k**2
    p = np.exp(exponents - special.logsumexp(exponents))
    assert compiled(step)(eta)[1][2] == pytest.approx(p[:100_001].sum(), rel=1e-10)
    raised = special.logsumexp(exponents + 0.5 * (k <= 100_000))
    assert compiled(step)(np.array([*eta[:2], 0.5]))[0] == pytest.approx(raised, rel=1e-12)


@pytest.mark.parametrize("eta", [[-0.03, 0.0], [-0.5, 0.0], [30.0, -1e-4]])
def test_downward_sums_mirror_upward_ones(eta):
    up = pms.Family(lambda x: [x, x**2], COUNTS)
    down = pms.Family(lambda x: [-x, x**2], pms.Integers(-np.inf, 0))
    A, mean, _ = compiled(up)(np.array(eta))
    assert np.isfinite(A)
    found, found_mean, _ = compiled(down)(np.array(eta))
    assert found == pytest.approx(A, rel=1e-12)
    np.testing.assert_allclose(found_mean, mean, rtol=1e-10)
