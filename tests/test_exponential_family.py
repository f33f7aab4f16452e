"""Families on finite supports: the laws, closed forms, references computed elsewhere, refusals."""

from functools import cache
from itertools import combinations

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats
from scipy.special import gammaln

import pm_statmech as pms
from pm_statmech import errors, exponential_family
from pm_statmech.log_partition.pairwise import Pairwise
from pm_statmech.log_partition.table import Table

from .conftest import RECORDS


def value(graph, given=None):
    """Evaluate without compiling to native code, which would take most of the time."""
    return graph.eval(given or {}, mode="FAST_COMPILE")


def spins_and_pairs(n):
    rows, columns = np.triu_indices(n, 1)
    return lambda x: [x, x[rows] * x[columns]]


FAMILIES = {
    "die": pms.Family(lambda x: [x], pms.Integers(1, 6)),
    "binomial": pms.Family(
        lambda x: [x], pms.Integers(0, 8), lambda x: -pt.gammaln(x + 1) - pt.gammaln(9 - x)
    ),
    "two moments": pms.Family(lambda x: [x, x**2], pms.Integers(-4, 5)),
    "listed": pms.Family(lambda x: [pt.log(x), x], pms.Finite([0.5, 1.0, 3.0, 7.0])),
    "vectors": pms.Family(lambda x: [x, x[0] * x[1]], pms.Finite([[0, 1], [2, 1], [-1, 0.5]])),
    "spins": pms.Family(spins_and_pairs(4), pms.Spins(4)),
    "binary with a base": pms.Family(
        lambda x: [pt.sum(x), x[0] * x[2]], pms.Binary(3), lambda x: 0.3 * x[1] - x[0] * x[1]
    ),
    "holes in the base": pms.Family(
        lambda x: [x], pms.Integers(0, 9), lambda x: pt.switch(pt.eq(x % 2, 0), 0.0, -np.inf)
    ),
    "product": pms.Family(
        lambda x: [x[0] * x[1], x[1] ** 2], pms.Product(pms.Integers(0, 2), pms.Integers(-1, 1))
    ),
}


def eta_of(family, seed, batch=()):
    return 0.7 * np.random.default_rng(seed).normal(size=(*batch, family.n_statistics))


@cache
def probabilities(name, seed):
    """All states with their probabilities and statistics at a random eta."""
    family = FAMILIES[name]
    eta = eta_of(family, seed)
    states = family.support.states(0, family.support.n_states)
    p = np.exp(value(family.log_prob(states, eta)))
    return family, eta, p[p > 0], family.table.statistics[:, :-1]


@pytest.mark.parametrize("name", FAMILIES)
class TestLaws:
    def test_probabilities_sum_to_one(self, name):
        assert probabilities(name, 1)[2].sum() == pytest.approx(1.0, abs=1e-13)

    def test_gradient_is_the_mean_and_hessian_the_covariance(self, name):
        family, eta, p, T = probabilities(name, 1)
        free = pt.vector("eta", shape=eta.shape)
        gradient = pytensor.grad(family.log_partition(free), free)
        mean = p @ T
        np.testing.assert_allclose(value(gradient, {free: eta}), mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(value(family.mean_statistics(eta)), mean, rtol=1e-12, atol=1e-12)
        covariance = (T - mean).T @ ((T - mean) * p[:, None])
        np.testing.assert_allclose(
            value(family.covariance(eta)), covariance, rtol=1e-10, atol=1e-11
        )
        # control: at another eta the mean is another
        assert not np.allclose(value(family.mean_statistics(eta + 0.2)), mean, atol=1e-3)

    def test_entropy_and_relative_entropy_are_sums_over_states(self, name):
        family, eta, p, _ = probabilities(name, 1)
        _, other, q, _ = probabilities(name, 2)
        assert value(family.entropy(eta)) == pytest.approx(-np.sum(p * np.log(p)), abs=1e-11)
        kl = np.sum(p * np.log(p / q))
        assert kl > 0
        assert value(family.kl(eta, other)) == pytest.approx(kl, abs=1e-11)
        assert value(family.kl(eta, eta)) == pytest.approx(0.0, abs=1e-12)
        cross = value(family.cross_entropy(eta, other))
        assert cross == pytest.approx(-np.sum(p * np.log(q)), abs=1e-11)

    def test_batches_of_eta_are_the_same_one_by_one(self, name):
        family = FAMILIES[name]
        etas = eta_of(family, 3, (2, 3))
        A, mean = value(family.log_partition(etas)), value(family.mean_statistics(etas))
        assert A.shape == (2, 3)
        for index in np.ndindex(2, 3):
            assert A[index] == pytest.approx(value(family.log_partition(etas[index])), abs=1e-12)
            np.testing.assert_allclose(
                mean[index], value(family.mean_statistics(etas[index])), atol=1e-12
            )


def test_binomial_against_scipy():
    family, p = FAMILIES["binomial"], 0.23
    eta = np.log([p / (1 - p)])
    x = np.arange(-1, 10)
    np.testing.assert_allclose(
        value(family.log_prob(x, eta)), stats.binom(8, p).logpmf(x), rtol=1e-12
    )
    A = value(family.log_partition(eta))
    assert pytest.approx(-8 * np.log(1 - p) - gammaln(9), rel=1e-13) == A


def test_a_value_off_the_support_has_no_gradient_and_no_nan():
    family, eta = FAMILIES["listed"], pt.vector("eta")
    log_p = family.log_prob(-2.0, eta)
    gradient = pytensor.grad(log_p, eta)
    found = pytensor.function([eta], [log_p, gradient])(np.array([0.1, 0.2]))
    assert found[0] == -np.inf
    np.testing.assert_array_equal(found[1], 0.0)


@cache
def glass(n):
    """Checking the polynomial at all states takes seconds for 20 spins."""
    return pms.Family(spins_and_pairs(n), pms.Spins(n))


@pytest.mark.xdist_group("glass")
@pytest.mark.parametrize("name", ["sk_n10_beta1.0_h0.3", "sk_n20_beta1.0_h0.0",
                                  "sk_n20_beta2.0_h0.3"])  # fmt: skip
def test_spin_glasses_of_the_references(name):
    record = RECORDS[name]
    n, beta, scale, seed = (record["parameters"][k] for k in ("n", "beta", "h_scale", "seed"))
    rng = np.random.default_rng(seed)
    J = np.triu(rng.normal(size=(n, n)), 1) / np.sqrt(n)
    eta = beta * np.concatenate([scale * rng.normal(size=n), J[np.triu_indices(n, 1)]])
    family = glass(n)
    assert isinstance(family.engine, Pairwise)
    assert value(family.log_partition(eta)) == pytest.approx(record["value"], rel=1e-12)
    mean = value(family.mean_statistics(eta))
    np.testing.assert_allclose(mean[:3], record["mean_first3"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mean[n : n + 2], [record["corr_01"], record["corr_02"]], rtol=1e-9)
    assert np.sum(mean[n:]) == pytest.approx(record["sum_corr_upper"], rel=1e-9)
    assert value(family.entropy(eta)) == pytest.approx(record["entropy"], rel=1e-10)


@pytest.mark.parametrize("name", ["hopfield_n16_p2_beta1.0", "hopfield_n16_p3_beta1.0"])
def test_hopfield_networks_of_the_references(name):
    record = RECORDS[name]
    n, p = record["parameters"]["n"], record["parameters"]["p"]
    patterns = np.random.default_rng(record["parameters"]["seed"]).choice([-1, 1], size=(p, n))
    J = np.triu(patterns.T @ patterns / n, 1)
    # one statistic, the energy itself: its polynomial is found, and folded
    family = pms.Family(lambda x: [pt.dot(pt.dot(x, J), x)], pms.Spins(n))
    assert isinstance(family.engine, Pairwise)
    assert value(family.log_partition([1.0])) == pytest.approx(record["value"], rel=1e-12)


@pytest.mark.parametrize("beta", [0.2, 0.7])
def test_ising_lattice_of_the_references(beta):
    grid = np.arange(16).reshape(4, 4)
    left = np.concatenate([grid[:, :-1].ravel(), grid[:-1].ravel()])
    right = np.concatenate([grid[:, 1:].ravel(), grid[1:].ravel()])
    family = pms.Family(lambda x: [pt.sum(x[left] * x[right])], pms.Spins(16))
    found = value(family.log_partition([beta]))
    assert found == pytest.approx(RECORDS[f"ising2d_free_4x4_beta{beta}"]["value"], rel=1e-12)


@pytest.mark.parametrize("mean", [2.5, 5.9])
def test_brandeis_dice_of_the_references(mean):
    record, family = RECORDS[f"dice_mean_{mean}"], FAMILIES["die"]
    eta = [float(record["lambda_"])]
    assert value(family.mean_statistics(eta)) == pytest.approx([mean], rel=1e-14)
    np.testing.assert_allclose(
        np.exp(value(family.log_prob(np.arange(1, 7), eta))), np.float64(record["p"]), rtol=1e-13
    )
    assert value(family.entropy(eta)) == pytest.approx(float(record["entropy"]), rel=1e-13)
    assert value(family.kl(eta, [0.0])) == pytest.approx(record["value"], rel=1e-13)


def test_ordinal_field_and_random_graph_of_the_references():
    record = RECORDS["ordinal_mrf_p5_m3"]
    rng = np.random.default_rng(record["parameters"]["seed"])
    mu = np.c_[np.zeros(5), rng.normal(size=(5, 3))]
    sigma = np.triu(0.3 * rng.normal(size=(5, 5)), 1)
    support = pms.Product(*[pms.Integers(0, 3)] * 5)
    family = pms.Family(
        lambda x: [
            sum(pt.constant(mu[i])[pt.cast(x[i], "int64")] for i in range(5))
            + pt.dot(pt.dot(x, sigma), x)
        ],
        support,
    )
    assert value(family.log_partition([1.0])) == pytest.approx(record["value"], rel=1e-12)

    record = RECORDS["ergm_n6_(-1.0, 0.1, 0.5)"]
    edges = list(combinations(range(6), 2))
    incident = np.array([[v in edge for edge in edges] for v in range(6)], dtype=float)
    triangles = np.array([[edges.index(pair) for pair in combinations(t, 2)]
                          for t in combinations(range(6), 3)])  # fmt: skip

    def statistics(x):
        degree = pt.dot(pt.constant(incident), x)
        closed = pt.prod(x[triangles], axis=1)
        return [pt.sum(x), pt.sum(degree * (degree - 1)) / 2, pt.sum(closed)]

    graphs = pms.Family(statistics, pms.Binary(15))
    theta = record["parameters"]["theta"]
    # triangles are products of three entries, which the fold is right to refuse
    assert isinstance(graphs.engine, Table)
    assert value(graphs.log_partition(theta)) == pytest.approx(record["value"], rel=1e-12)
    np.testing.assert_allclose(
        value(graphs.mean_statistics(theta)), record["mean_stats"], rtol=1e-9
    )


def test_curie_weiss_by_its_levels():
    record = RECORDS["curie_weiss_n1000_b1.2_h0.01"]
    n, beta, h = (record["parameters"][k] for k in ("n", "beta", "h"))
    up = lambda x: (x + n) / 2  # noqa: E731
    levels = pms.Family(
        lambda x: [x**2, x],
        pms.Finite(np.arange(-n, n + 1, 2)),
        lambda x: pt.gammaln(n + 1.0) - pt.gammaln(up(x) + 1) - pt.gammaln(n - up(x) + 1),
    )
    found = value(levels.log_partition([beta / (2 * n), h]))
    assert found == pytest.approx(record["value"], rel=1e-12)


def test_fold_and_table_agree(monkeypatch):
    by_table = pms.Family(spins_and_pairs(7), pms.Spins(7))
    assert isinstance(by_table.engine, Table)
    monkeypatch.setattr(exponential_family, "SMALL_TABLE", 0)
    for support, eta in ((pms.Spins(7), eta_of(by_table, 4, (2,))),
                         (pms.Binary(7), eta_of(by_table, 5, (2,)))):  # fmt: skip
        by_fold = pms.Family(spins_and_pairs(7), support, lambda x: 0.4 * x[0] - x[1] * x[2])
        assert isinstance(by_fold.engine, Pairwise)
        plain = pms.Family(by_fold.statistics, support, by_fold.log_base)
        object.__setattr__(plain, "engine", plain.table)
        for quantity in ("log_partition", "mean_statistics", "entropy"):
            np.testing.assert_allclose(
                getattr(by_fold, quantity)(eta).eval(), value(getattr(plain, quantity)(eta)),
                rtol=1e-12, atol=1e-12,
            )  # fmt: skip
        np.testing.assert_allclose(
            by_fold.covariance(eta[0]).eval(), value(plain.covariance(eta[0])), atol=1e-12
        )


# three states have room for two parameters only
@pytest.mark.parametrize("name", [n for n in FAMILIES if n != "vectors"])
def test_fitting_moments_inverts_the_mean(name):
    family = FAMILIES[name]
    etas = eta_of(family, 6, (2,))
    means = value(family.mean_statistics(etas))
    np.testing.assert_allclose(value(family.fit_moments(means)), etas, rtol=1e-8, atol=1e-8)
    # duality: A*(mu) = eta . mu - A(eta) = -entropy - E[log h]
    conjugate = np.sum(etas * means, axis=-1) - value(family.log_partition(etas))
    np.testing.assert_allclose(value(family.conjugate(means)), conjugate, rtol=1e-10, atol=1e-10)


def test_the_gradient_of_a_fit_is_the_inverse_covariance():
    family = FAMILIES["two moments"]
    eta = np.array([0.2, -0.05])
    mean = pt.vector("mean", shape=(2,))
    fitted = family.fit_moments(mean)
    gradient = pytensor.grad(fitted[0], mean)
    conjugate = pytensor.grad(family.conjugate(mean), mean)
    function = pytensor.function([mean], [fitted, gradient], mode="NUMBA")
    at = value(family.mean_statistics(eta))
    found, row = function(at)
    slope = pytensor.function([mean], conjugate, mode="FAST_COMPILE")(at)
    np.testing.assert_allclose(found, eta, atol=1e-10)
    np.testing.assert_allclose(row, np.linalg.inv(value(family.covariance(eta)))[0], rtol=1e-8)
    # grad A* is eta itself
    np.testing.assert_allclose(slope, eta, atol=1e-9)
    assert np.all(np.isnan(function(np.array([9.0, 1.0]))[0]))


@pytest.mark.parametrize("mean", [2.5, 5.9])
def test_dice_of_given_mean_are_those_of_the_references(mean):
    found = value(FAMILIES["die"].fit_moments([mean]))
    assert found[0] == pytest.approx(float(RECORDS[f"dice_mean_{mean}"]["lambda_"]), rel=1e-11)


def test_maximum_likelihood_from_data():
    rng = np.random.default_rng(8)
    counts = rng.binomial(8, 0.3, size=500)
    found = FAMILIES["binomial"].fit(counts)
    rate = counts.mean() / 8
    assert found[0] == pytest.approx(np.log(rate / (1 - rate)), rel=1e-10)
    spins = rng.choice([-1, 1], size=(300, 4), p=[0.3, 0.7])
    eta = FAMILIES["spins"].fit(spins)
    means = value(FAMILIES["spins"].mean_statistics(eta))
    np.testing.assert_allclose(means[:4], spins.mean(axis=0), atol=1e-11)


@pytest.mark.parametrize("eta", [0.7, -0.7])
def test_a_state_of_zero_base_may_have_an_infinite_statistic(eta):
    """x^eta on 1, ..., 5: zero is in the support, log 0 is not looked at."""
    family = pms.Family(
        lambda x: [pt.log(x)], pms.Integers(0, 5), lambda x: pt.switch(pt.gt(x, 0), 0.0, -np.inf)
    )
    free = pt.vector("eta", shape=(1,))
    log_p = family.log_prob(np.arange(6), free)
    slope = pytensor.grad(pt.sum(log_p[1:]) + pt.switch(log_p[0] > -1, log_p[0], 0.0), free)
    found = value(log_p, {free: [eta]})
    weights = np.arange(1, 6) ** eta
    assert found[0] == -np.inf
    np.testing.assert_allclose(found[1:], np.log(weights / weights.sum()), rtol=1e-12)
    assert np.all(np.isfinite(value(slope, {free: [eta]})))


def test_an_offset_of_a_statistic_costs_no_moment_its_fit():
    far = pms.Family(lambda x: [x + 1e6, (x - 3) ** 2], pms.Integers(0, 9))
    near = pms.Family(lambda x: [x, (x - 3) ** 2], pms.Integers(0, 9))
    means = np.array([4.25, 6.0])
    np.testing.assert_allclose(
        value(far.fit_moments(means + np.array([1e6, 0.0]))),
        value(near.fit_moments(means)),
        rtol=1e-8,
    )


def test_a_small_statistic_of_three_entries_is_not_taken_for_a_pairwise_one(monkeypatch):
    monkeypatch.setattr(exponential_family, "SMALL_TABLE", 0)
    family = pms.Family(lambda x: [1e6 * x[0], 1e-6 * x[0] * x[1] * x[2]], pms.Spins(3))
    assert isinstance(family.engine, Table)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: pms.Finite([1.0, 1.0]), errors.SupportError, "twice"),
        (lambda: pms.Finite([np.nan]), errors.SupportError, "not finite"),
        (lambda: pms.Integers(3, 2), errors.SupportError, "empty"),
        (lambda: pms.Integers(0, np.nan), errors.SupportError, "integers"),
        (lambda: pms.Spins(0), errors.SupportError, "positive"),
        (lambda: pms.Product(pms.Spins(2)), errors.SupportError, "numbers"),
        (
            lambda: pms.Family(lambda x: x, pms.Integers(0, 3)).n_statistics,
            errors.FamilyError, "list of tensors",
        ),
        (
            lambda: pms.Family(lambda x: [pt.log(x)], pms.Integers(0, 3)).log_partition([1.0]),
            errors.FamilyError, r"not finite at x = 0.*log_base = -inf",
        ),
        (
            lambda: pms.Family(
                lambda x: [x], pms.Integers(0, 3), lambda x: -np.inf + 0 * x
            ).log_partition([1.0]),
            errors.FamilyError, "0 at every state",
        ),
        (
            lambda: FAMILIES["two moments"].log_partition(np.zeros(3)),
            errors.FamilyError, "3 entries.*2 statistics",
        ),
        (lambda: FAMILIES["die"].log_partition(1.0), errors.FamilyError, "a number"),
        (lambda: FAMILIES["die"].fit_moments([6.5]), errors.FamilyError, "outside the convex hull"),
        (lambda: FAMILIES["die"].fit_moments([6.0]), errors.FamilyError, "on the edge"),
        (
            lambda: FAMILIES["two moments"].fit_moments([0.0, 0.0]),
            errors.FamilyError, "on the edge",
        ),
        (lambda: FAMILIES["die"].fit([1, 2, 7]), errors.SupportError, "7.* is not a state"),
        (lambda: FAMILIES["die"].fit([2, 2, 2.5]), errors.SupportError, "2.5 is not a state"),
        (
            lambda: pms.Family(lambda x: [x, 2 * x + 1], pms.Integers(0, 4)).fit([1, 2]),
            errors.FamilyError, "some follow from the others",
        ),
        (
            lambda: pms.Family(
                lambda x: [pt.prod(x), x], pms.Spins(20)
            ).log_partition(np.zeros(21)),
            errors.FamilyError, "1048576 states.*MiB",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, error, match):
    with pytest.raises(error, match=match):
        make()
