"""Large deviations along Markov chains: closed forms, independent draws, exact laws."""

import numpy as np
import pymc as pm
import pytest
from scipy.special import logsumexp

from pm_statmech import concentration as co
from pm_statmech.concentration import markov_chains
from pm_statmech.concentration.laws import PLAIN
from pm_statmech.errors import CumulantError

TWO, ON = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0.0, 1.0])


def both_ways(P, f, x, monkeypatch):
    """By Arnoldi's iteration and one by one."""
    yield co.markov_rate_function(P, f, x)
    with monkeypatch.context() as patch:
        patch.setattr(markov_chains._AtOnce, "at", lambda self, t: None)
        yield co.markov_rate_function(P, f, x)


def test_two_states_in_closed_form(monkeypatch):
    x = np.array([0.02, 0.1, 1 / 3, 0.5, 0.9])
    # the empirical mean's rate by the rate of pairs: the frequency s of steps from 0 to 1
    s = np.linspace(0, 1, 400_001)[1:-1][:, None] * np.minimum(x, 1 - x)
    with np.errstate(divide="ignore", invalid="ignore"):
        stay_0, stay_1 = 1 - x - s, x - s
        rate = (
            s * np.log(s / (1 - x) / 0.1) + stay_0 * np.log(stay_0 / (1 - x) / 0.9)
            + s * np.log(s / x / 0.2) + stay_1 * np.log(stay_1 / x / 0.8)
        )  # fmt: skip
    exact = np.nanmin(rate, axis=0)
    for found in both_ways(TWO, ON, x, monkeypatch):
        np.testing.assert_allclose(found.value, exact, atol=1e-9)
        assert found.stationary_mean == pytest.approx(1 / 3)
        assert found.value[2] == pytest.approx(0, abs=1e-14)


def test_equal_rows_are_independent_draws(monkeypatch):
    p, f = np.array([0.2, 0.3, 0.5]), np.array([0.0, 1.0, 5.0])
    x = np.array([0.3, 1.1, 4.8])
    exact = co.rate_function(co.Atoms(f, p), x)
    for found in both_ways(np.tile(p, (3, 1)), f, x, monkeypatch):
        np.testing.assert_allclose(found.value, exact.value.eval(mode=PLAIN), rtol=1e-11)
        np.testing.assert_allclose(found.tilt, exact.tilt.eval(mode=PLAIN), rtol=1e-6)


def test_rates_are_those_of_long_chains():
    # exact probabilities of the sum, by recursion, at n and 2n
    logs = []
    for n in (400, 800):
        log_p = np.full((2, n + 1), -np.inf)
        log_p[0, 0] = 0.0
        for _ in range(n):
            stay = logsumexp(log_p + np.log(TWO[:, :1]), axis=0)
            on = logsumexp(log_p + np.log(TWO[:, 1:]), axis=0)
            log_p = np.vstack([stay, np.append(-np.inf, on[:-1])])
        logs.append(logsumexp(log_p[:, n * 6 // 10]))
    rate = co.markov_rate_function(TWO, ON, [0.6]).value[0]
    assert (logs[0] - logs[1] - 0.5 * np.log(2)) / 400 == pytest.approx(rate, rel=2e-3)


def chain(name, n):
    rng = np.random.default_rng(1)
    if name == "dense":
        return rng.dirichlet(np.full(n, 0.3), size=n), rng.normal(size=n)
    if name == "walk":
        P = np.zeros((n, n))
        i = np.arange(n - 1)
        P[i, i + 1], P[i + 1, i] = 0.3, 0.4
        return P + np.diag(1 - P.sum(axis=1)), np.arange(n) / n
    h = n // 2
    P = np.zeros((n, n))
    P[:h, :h], P[h:, h:] = rng.dirichlet(np.ones(h), size=(2, h))
    P[:h, h:], P[h:, :h] = 1e-3 / h, 2e-3 / h
    return P / P.sum(axis=1, keepdims=True), rng.normal(size=n)


@pytest.mark.parametrize("name", ["dense", "walk", "two halves"])
def test_perron_roots_of_many_states(name, monkeypatch):
    P, f = chain(name, 60)
    low, high = co.markov_cumulant(P, f, [-3.0, 3.0]).mean
    x = np.linspace(low, high, 7)
    for found in both_ways(P, f, x, monkeypatch):
        for k, t in enumerate(found.tilt):
            M = P * np.exp(t * f)
            if name == "walk":
                # similar to a symmetric matrix, whose eigenvalues are safe
                M = np.sqrt(M * M.T)
                root = np.log(np.linalg.eigvalsh(M)[-1])
            else:
                root = np.log(np.max(np.linalg.eigvals(M).real))
            assert found.value[k] == pytest.approx(t * x[k] - root, abs=1e-11)


def test_vectors_may_span_hundreds_of_orders_of_magnitude():
    P, f = chain("walk", 500)
    found = co.markov_cumulant(P, f, [2.0])
    M = np.sqrt((P * np.exp(2.0 * f)) * (P * np.exp(2.0 * f)).T)
    roots, vectors = np.linalg.eigh(M)
    assert found.value[0] == pytest.approx(np.log(roots[-1]), abs=1e-13)
    assert found.mean[0] == pytest.approx(vectors[:, -1] ** 2 @ f, rel=1e-10)
    # a jump of the mean at one tilt, where the rate is a line
    x = np.array([0.2, 0.4, 0.6])
    rates = co.markov_rate_function(P, f, x)
    assert rates.value[1] == pytest.approx((rates.value[0] + rates.value[2]) / 2, rel=1e-3)


def test_chains_that_go_round():
    P = np.array([[0, 1, 0], [0, 0, 1], [0.5, 0.5, 0]])
    f = np.array([0.0, 0.0, 1.0])
    assert co.largest_cycle_mean(P, f) == pytest.approx(1 / 2)
    assert -co.largest_cycle_mean(P, -f) == pytest.approx(1 / 3)
    found = co.markov_rate_function(P, f, [0.35, 0.45, 0.49])
    assert np.all(found.value > 0)
    with pytest.raises(CumulantError, match=r"the mean 0\.6: .* go from 0\.333333 to 0\.5"):
        co.markov_rate_function(P, f, [0.4, 0.6])
    with pytest.raises(CumulantError, match=r"from 0\.5 to 0\.5"):
        co.markov_rate_function([[0, 1], [1, 0]], ON, [0.7])


@pytest.mark.parametrize(
    ("P", "f", "match"),
    [
        (np.eye(2), ON, "reducible: of 2 classes"),
        ([[0.5, 0.5], [0.0, 1.0]], ON, "reducible"),
        ([[0.5, 0.4], [0.5, 0.5]], ON, "row 0 .* sums to 0.9"),
        ([[1.5, -0.5], [0.5, 0.5]], ON, "row 0 .* negative"),
        (TWO, [0.0], r"\(S, S\) and \(S,\)"),
        (TWO, [0.0, np.inf], "not finite"),
        (TWO, [1.0, 1.0], "never deviates"),
    ],
)
def test_mistakes(P, f, match):
    with pytest.raises(CumulantError, match=match):
        co.markov_rate_function(P, f, [0.5])


def test_it_is_cramers_function_of_a_coin():
    found = co.markov_rate_function([[0.7, 0.3], [0.7, 0.3]], ON, [0.6])
    exact = co.rate_function(pm.Bernoulli.dist(0.3), 0.6).value.eval(mode=PLAIN)
    assert found.value[0] == pytest.approx(float(exact), rel=1e-11)
