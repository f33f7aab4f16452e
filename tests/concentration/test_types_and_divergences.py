"""Counts, typical sets, and divergences: against records, exact arithmetic and identities."""

from decimal import Decimal, getcontext

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy.stats import binom, entropy, multinomial, norm

from pm_statmech import concentration as co
from pm_statmech.concentration.laws import PLAIN
from pm_statmech.errors import CumulantError, LatticeError, ProjectionError
from tests.conftest import CONCENTRATION, RECORDS

TYPES = CONCENTRATION["types"]
# the records call the law q and the frequencies p
LAW, FREQUENCIES = TYPES["q"], np.array(TYPES["p"])


@pytest.mark.parametrize("row", TYPES["rows"], ids=lambda r: r["n"])
def test_records_of_types(row):
    counts = np.round(FREQUENCIES * row["n"])
    assert co.log_type_probability(counts, LAW) == pytest.approx(row["logP"], rel=1e-12)
    smooth = co.log_type_probability_stirling(counts, LAW)
    assert smooth == pytest.approx(row["stirling"], rel=1e-12)
    bounds = co.type_probability_bounds(counts, LAW)
    assert bounds.lower == pytest.approx(row["lower"], rel=1e-12)
    assert bounds.upper == pytest.approx(row["minus_nKL"], rel=1e-12)


def test_counts_of_a_billion_keep_their_digits():
    getcontext().prec = 60
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494")

    def log_factorial(n):
        n = Decimal(n)
        stirling = n * n.ln() - n + (2 * pi * n).ln() / 2
        return stirling + 1 / (12 * n) - 1 / (360 * n**3) + 1 / (1260 * n**5)

    # the first is the likeliest, where everything cancels
    for counts in (
        [200_000_000, 300_000_000, 500_000_000],
        [200_010_123, 299_990_000, 499_999_877],
    ):
        exact = log_factorial(sum(counts)) - sum(map(log_factorial, counts))
        exact += sum(k * Decimal(p).ln() for k, p in zip(counts, (".2", ".3", ".5"), strict=True))
        found = co.log_type_probability(counts, [0.2, 0.3, 0.5])
        assert found == pytest.approx(float(exact), rel=1e-14)


def test_all_types_against_scipy():
    p = np.array([0.1, 0.25, 0.05, 0.6])
    counts = co.all_types(9, 4)
    assert len(counts) == co.number_of_types(9, 4) == len(np.unique(counts, axis=0))
    assert np.all(counts.sum(axis=1) == 9)
    found = co.log_type_probability(counts, p)
    np.testing.assert_allclose(found, multinomial(9, p).logpmf(counts), rtol=1e-12)
    assert np.sum(np.exp(found)) == pytest.approx(1, abs=1e-13)
    bounds = co.type_probability_bounds(counts, p)
    assert np.all(bounds.lower <= found)
    assert np.all(found <= bounds.upper + 1e-12)


def test_letters_without_probability():
    assert co.log_type_probability([1, 2, 0], [0.5, 0.5, 0]) == pytest.approx(np.log(3 / 8))
    assert co.log_type_probability([1, 1, 1], [0.5, 0.5, 0]) == -np.inf


@pytest.mark.parametrize("row", CONCENTRATION["aep"]["rows"], ids=lambda r: r["n"])
def test_records_of_typical_sets(row):
    found = co.typical_set([0.3, 0.7], n=row["n"], epsilon=CONCENTRATION["aep"]["eps"])
    assert found.probability == pytest.approx(row["prob"], rel=1e-12)
    assert found.log_size / row["n"] == pytest.approx(row["log_size_per_n"], rel=1e-12)
    assert found.log_size_bounds.lower <= found.log_size <= found.log_size_bounds.upper


def test_typical_set_of_a_billion_letters():
    n, epsilon = 10**9, 1e-5
    found = co.typical_set([0.3, 0.7], n=n, epsilon=epsilon)
    # a normal law, by the central limit theorem, of which the next term is 1/sqrt(n)
    sd = np.sqrt(0.21) * np.log(7 / 3) / np.sqrt(n)
    assert found.probability == pytest.approx(1 - 2 * norm.sf(epsilon / sd), abs=1e-4)
    assert found.log_size_bounds.lower <= found.log_size <= found.log_size_bounds.upper


def test_typical_set_of_letters_of_equal_probability_counts_all_of_them():
    # three letters of which two are alike, against all sequences
    p, n = np.array([0.2, 0.2, 0.6]), 7
    letters = np.array(np.meshgrid(*[range(3)] * n)).reshape(n, -1)
    loss = -np.log(p)[letters].mean(axis=0)
    inside = np.abs(loss - entropy(p)) <= 0.15
    found = co.typical_set(p, n=n, epsilon=0.15)
    assert np.exp(found.log_size) == pytest.approx(np.sum(inside))
    assert found.probability == pytest.approx(np.sum(np.exp(-n * loss[inside])))


def test_events_of_types_are_tails():
    found = co.log_event_probability([0.3, 0.7], n=50, event=lambda q: q[:, 0] >= 0.6)
    assert found == pytest.approx(binom(50, 0.3).logsf(29), rel=1e-12)
    assert co.log_event_probability([0.3, 0.7], n=5, event=lambda q: q[:, 0] > 1) == -np.inf


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: co.log_type_probability([1, -1], [0.5, 0.5]), "whole numbers"),
        (lambda: co.log_type_probability([1.5, 1], [0.5, 0.5]), "whole numbers"),
        (lambda: co.log_type_probability([1, 1, 1], [0.5, 0.5]), "letters"),
        (lambda: co.log_type_probability([0, 0], [0.5, 0.5]), "all 0"),
        (lambda: co.all_types(10_000, 6), "merge letters"),
        (lambda: co.log_event_probability([0.5, 0.5], n=5, event=lambda q: q), "booleans"),
    ],
)
def test_mistakes_with_types(call, match):
    with pytest.raises(LatticeError, match=match):
        call()


CHERNOFF = [r for r in RECORDS if r.startswith("chernoff")]


@pytest.mark.parametrize("name", CHERNOFF)
def test_records_of_chernoff_information(name):
    record = RECORDS[name]
    given = record["parameters"]
    pair = {
        "bernoulli": lambda: (pm.Bernoulli.dist(given["p"]), pm.Bernoulli.dist(given["q"])),
        "poisson": lambda: (pm.Poisson.dist(given["l1"]), pm.Poisson.dist(given["l2"])),
        "exponential": lambda: (
            pm.Exponential.dist(given["rate1"]), pm.Exponential.dist(given["rate2"])
        ),
        "gaussian": lambda: (
            pm.Normal.dist(given["mu1"], given["sd1"]), pm.Normal.dist(given["mu2"], given["sd2"])
        ),
    }[name.split("_")[1]]()  # fmt: skip
    found = co.chernoff_information(*pair)
    assert found.information == pytest.approx(record["value"], rel=1e-12)
    assert found.exponent == pytest.approx(float(record["alpha_star"]), rel=1e-9)


def test_record_of_chernoff_information_of_arrays():
    record = CONCENTRATION["chernoff_bernoulli"]
    p, q = ([v, 1 - v] for v in (record["P"], record["Q"]))
    found = co.chernoff_information(p, q)
    assert found.information == pytest.approx(record["C"], rel=1e-12)
    # the minimiser of the record was found to half of its digits
    assert found.exponent == pytest.approx(record["s"], rel=1e-7)
    for end in (p, q):
        assert co.relative_entropy(found.midpoint, end) == pytest.approx(record["C"], rel=1e-12)


DISTRIBUTIONS = {
    "normal": (lambda: (pm.Normal.dist(0.3, 1.2), pm.Normal.dist(-1, 2)), (-40, 40)),
    "lognormal": (lambda: (pm.LogNormal.dist(0.3, 0.5), pm.LogNormal.dist(0, 0.8)), (0, 200)),
    "gamma": (lambda: (pm.Gamma.dist(2.5, 3), pm.Gamma.dist(4, 1.5)), (0, 60)),
    "inverse gamma": (lambda: (pm.InverseGamma.dist(4, 2), pm.InverseGamma.dist(6, 5)), (0, 900)),
    "beta": (lambda: (pm.Beta.dist(2, 3), pm.Beta.dist(4, 1.5)), (0, 1)),
    "wald": (lambda: (pm.Wald.dist(2, 3), pm.Wald.dist(1, 4)), (0, 150)),
    "exponential": (lambda: (pm.Exponential.dist(3), pm.Exponential.dist(1)), (0, 60)),
    "poisson": (lambda: (pm.Poisson.dist(3), pm.Poisson.dist(4.5)), None),
    "binomial": (lambda: (pm.Binomial.dist(9, 0.3), pm.Binomial.dist(9, 0.6)), None),
    "negative binomial": (
        lambda: (pm.NegativeBinomial.dist(n=3, p=0.3), pm.NegativeBinomial.dist(n=3, p=0.5)), None
    ),
    "geometric": (lambda: (pm.Geometric.dist(0.3), pm.Geometric.dist(0.5)), None),
}  # fmt: skip


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_divergences_of_distributions_against_sums_and_integrals(name):
    make, ends = DISTRIBUTIONS[name]
    p, q = make()
    if ends is None:
        x, weights = np.arange(300.0), np.ones(300)
        if name == "binomial":
            x, weights = np.arange(10.0), np.ones(10)
        if name == "geometric":
            x = x + 1
    else:
        nodes, weights = np.polynomial.legendre.leggauss(4000)
        # closer together near the lower end, where densities on the half-line are narrow
        u, power = (nodes + 1) / 2, 1 if ends[0] < 0 else 3
        x = ends[0] + (ends[1] - ends[0]) * u**power
        weights = weights / 2 * (ends[1] - ends[0]) * power * u ** (power - 1)
    values = pt.constant(x)
    log_p, log_q = (pm.logp(v, values).eval(mode=PLAIN) for v in (p, q))
    there = np.isfinite(log_p)
    log_p, log_q, weights = log_p[there], log_q[there], weights[there]
    kl = weights @ (np.exp(log_p) * (log_p - log_q))
    affinity = np.log(weights @ np.exp(0.3 * log_p + 0.7 * log_q))
    assert float(co.relative_entropy(p, q)) == pytest.approx(kl, rel=2e-6)
    assert float(co.renyi_divergence(p, q, 0.3)) == pytest.approx(affinity / -0.7, rel=2e-6)


def test_order_one_is_between_its_neighbours():
    p, q = [0.2, 0.5, 0.3], [0.4, 0.35, 0.25]
    below, at, above = (float(co.renyi_divergence(p, q, a)) for a in (1 - 1e-5, 1, 1 + 1e-5))
    assert below < at < above
    assert at == pytest.approx((below + above) / 2, abs=1e-9)
    largest = float(co.renyi_divergence(p, q, np.inf))
    assert largest == pytest.approx(np.log(1.5 / 1.05))
    assert float(co.renyi_divergence(p, q, 2000)) == pytest.approx(largest, rel=1e-2)


def test_divergences_where_one_is_0():
    assert co.relative_entropy([0.5, 0.5, 0], [1, 0, 0]) == np.inf
    assert co.relative_entropy([1, 0, 0], [0.5, 0.5, 0]) == pytest.approx(np.log(2))
    assert co.renyi_divergence([0.5, 0.5], [1, 0], 2) == np.inf
    assert co.jensen_shannon([1, 0], [0, 1]) == pytest.approx(np.log(2))
    with pytest.raises(ProjectionError, match="share no state"):
        co.chernoff_information([1, 0], [0, 1])


def test_chain_rules_add_up():
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(24), 2).reshape(2, 2, 3, 4)
    for axes in (0, 1, (0, 2), (2,)):
        found = co.chain_rule(p, q, axes)
        assert found.between + found.within == pytest.approx(found.total, rel=1e-13)
    others = tuple(a for a in range(3) if a != 1)
    margins = p.sum(axis=others), q.sum(axis=others)
    assert co.chain_rule(p, q, 1).between == pytest.approx(entropy(*margins), rel=1e-12)
    found = co.coarse_graining(p.ravel(), q.ravel(), np.arange(24) % 5)
    assert 0 < found.between < found.total


def test_bregman_divergences_of_known_functions():
    rng = np.random.default_rng(2)
    p, q = rng.dirichlet(np.ones(5), 2)
    from_entropy = co.bregman_divergence(lambda v: pt.sum(v * pt.log(v)), p, q)
    assert from_entropy == pytest.approx(float(co.relative_entropy(p, q)), rel=1e-12)
    assert co.bregman_divergence(lambda v: -pt.sum(pt.log(v)), p, q) == pytest.approx(
        np.sum(p / q - np.log(p / q) - 1), rel=1e-12
    )


def test_log_loss_is_entropy_and_what_the_forecast_costs():
    found = co.log_loss([0.5, 0.3, 0.2], [0.4, 0.4, 0.2])
    assert found.expected == pytest.approx(-np.array([0.5, 0.3, 0.2]) @ np.log([0.4, 0.4, 0.2]))
    assert found.expected == pytest.approx(found.entropy + found.relative_entropy)


def test_exponents_of_tests_are_those_of_exact_errors():
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.3, 0.2])
    assert co.stein_exponent(p, q) == pytest.approx(entropy(p, q))
    information = co.chernoff_information(p, q).information
    same = co.hoeffding_exponents(p, q, false_alarm=information)
    assert same.miss == pytest.approx(information, rel=1e-9)
    ends = co.hoeffding_exponents(p, q, false_alarm=0.0)
    assert ends.miss == pytest.approx(entropy(p, q))
    # exact errors at n and 2n: the slope of their logarithms, less the factor of 1/sqrt(n)
    point = co.hoeffding_exponents(p, q, false_alarm=0.06)
    threshold = point.midpoint @ np.log(q / p)
    n = 400
    once, twice = (co.likelihood_ratio_errors(p, q, n=k, threshold=threshold) for k in (n, 2 * n))
    for before, after, rate in zip(once, twice, (point.false_alarm, point.miss), strict=True):
        assert (before - after - 0.5 * np.log(2)) / n == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: co.entropy([0.5, -0.5]), ProjectionError, "at least 0"),
        (lambda: co.relative_entropy([1, 1], [1, 1, 1]), ProjectionError, "other states"),
        (lambda: co.renyi_divergence([1, 1], [1, 1], 0), ProjectionError, "above 0"),
        (
            lambda: co.relative_entropy(pm.Normal.dist(), pm.Poisson.dist(1)),
            CumulantError, "not of one exponential family",
        ),
        (
            lambda: co.relative_entropy(pm.Binomial.dist(3, 0.5), pm.Binomial.dist(4, 0.5)),
            CumulantError, "not of one exponential family",
        ),
        (
            lambda: co.relative_entropy(pm.Cauchy.dist(0, 1), pm.Cauchy.dist(1, 1)),
            CumulantError, "no exponential family",
        ),
        (
            lambda: co.stein_exponent(pm.Poisson.dist(pm.Exponential.dist(1)), pm.Poisson.dist(1)),
            CumulantError, "random variables",
        ),
        (
            lambda: co.hoeffding_exponents([0.2, 0.8], [0.7, 0.3], false_alarm=2.0),
            ProjectionError, "rates lie between",
        ),
    ],
)  # fmt: skip
def test_mistakes_with_divergences(call, error, match):
    with pytest.raises(error, match=match):
        call()
