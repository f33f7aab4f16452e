"""Integer moves: exact invariance by enumeration, and whole models with exact evidences."""

from itertools import product

import numpy as np
import pymc as pm
import pytest
from scipy import stats
from scipy.special import logsumexp

import pm_statmech as pms
from pm_statmech.integer_support import integer_bounds
from pm_statmech.samplers.discrete import heat_bath_step, metropolis_step

from ..conftest import within

SIZES = (2, 3, 4)
STATES = [np.array(s, dtype=float) for s in product(*(range(q) for q in SIZES))]
NAMES = {tuple(s): k for k, s in enumerate(STATES)}
JUMPS = {-2.0: 0.2, -1.0: 0.3, 1.0: 0.3, 2.0: 0.2}


@pytest.fixture(scope="module")
def coupled():
    """A switch, a colour and a count, coupled by their energy."""
    with pm.Model() as model:
        a = pm.Bernoulli("a", 0.3)
        b = pm.Categorical("b", [0.2, 0.5, 0.3])
        c = pm.DiscreteUniform("c", 0, 3)
        pms.GibbsPotential("e", 0.7 * (a + b - c) ** 2 - 0.4 * a * c)
    return pms.tempered_model(model).compile()


def probabilities(function, beta):
    values = function(np.stack(STATES))
    log_p = values[:, 0] - beta * values[:, 1]
    return np.exp(log_p - logsumexp(log_p))


def arrival(function, target, state, beta, i, uniform):
    x = state.copy()
    value = function(x)
    heat_bath_step(target, x, value, beta, i, 0.0, SIZES[i] - 1.0, uniform, np.empty(8))
    np.testing.assert_array_equal(value, function(x))
    return int(x[i])


def heat_bath_matrix(function, beta, i):
    """Transition matrix from the uniforms at which the arrival changes, by bisection."""
    target, keep = function.bind()
    matrix = np.zeros((len(STATES), len(STATES)))
    for row, state in enumerate(STATES):
        edges = [0.0]
        for level in range(1, SIZES[i]):
            low, high = edges[-1], 1.0
            for _ in range(50):
                middle = 0.5 * (low + high)
                below = arrival(function, target, state, beta, i, middle) < level
                low, high = (middle, high) if below else (low, middle)
            edges.append(low)
        edges.append(1.0)
        for s, share in enumerate(np.diff(edges)):
            moved = state.copy()
            moved[i] = s
            matrix[row, NAMES[tuple(moved)]] += share
    del keep
    return matrix


def metropolis_matrix(function, beta, i, jumps):
    target, keep = function.bind()
    matrix = np.zeros((len(STATES), len(STATES)))
    for row, state in enumerate(STATES):
        for jump, chance in jumps.items():
            x = state.copy()
            accept = metropolis_step(target, x, function(x), beta, i, 0.0, SIZES[i] - 1.0, jump,
                                     1.0, np.empty(8))  # fmt: skip
            moved = state.copy()
            moved[i] += jump if accept > 0 else 0.0
            matrix[row, NAMES[tuple(moved)]] += chance * accept
            matrix[row, row] += chance * (1.0 - accept)
    del keep
    return matrix


@pytest.mark.parametrize("beta", [0.0, 0.37, 1.0, 2.5])
@pytest.mark.parametrize("i", [0, 1, 2])
def test_heat_bath_keeps_the_target_exactly(coupled, beta, i):
    pi, matrix = probabilities(coupled, beta), heat_bath_matrix(coupled, beta, i)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-12)
    assert np.max(np.abs(pi @ matrix - pi)) <= 1e-12
    # and not another temperature's
    wrong = probabilities(coupled, beta + 0.5)
    assert np.max(np.abs(wrong @ matrix - wrong)) > 1e-3


@pytest.mark.parametrize("beta", [0.0, 0.37, 1.0, 2.5])
@pytest.mark.parametrize("i", [1, 2])
def test_metropolis_keeps_the_target_exactly(coupled, beta, i):
    pi, matrix = probabilities(coupled, beta), metropolis_matrix(coupled, beta, i, JUMPS)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-12)
    assert np.max(np.abs(pi @ matrix - pi)) <= 1e-12
    lopsided = metropolis_matrix(coupled, beta, i, {-1.0: 0.7, 1.0: 0.3})
    assert np.max(np.abs(pi @ lopsided - pi)) > 1e-3


def test_metropolis_moves_the_state_it_accepts(coupled):
    target, keep = coupled.bind()
    for uniform, moved in ((1e-12, True), (1.0, False)):
        x = np.array([0.0, 0.0, 0.0])
        value = coupled(x)
        accept = metropolis_step(target, x, value, 1.0, 2, 0.0, 3.0, 2.0, uniform, np.empty(8))
        assert 0 < accept < 1
        assert x[2] == (2.0 if moved else 0.0)
        np.testing.assert_array_equal(value, coupled(x))
    del keep


def test_bounds_are_those_of_the_distribution():
    with pm.Model():
        n = pm.Poisson("n", 3)
        expected = {
            "b": (pm.Bernoulli("b", 0.5), 0, 1),
            "c": (pm.Categorical("c", np.ones(4) / 4), 0, 3),
            "d": (pm.DiscreteUniform("d", -2, 5), -2, 5),
            "k": (pm.Binomial("k", [3, 7], 0.5), 0, [3, 7]),
            "m": (pm.Binomial("m", n, 0.5), 0, np.inf),
            "g": (pm.Geometric("g", 0.5), 1, np.inf),
            "n": (n, -np.inf, np.inf),
        }
        joint = pm.Multinomial("joint", 5, [0.5, 0.5])
    for rv, low, high in expected.values():
        found = integer_bounds(rv)
        np.testing.assert_array_equal(found[0], low)
        np.testing.assert_array_equal(found[1], high)
    with pytest.raises(pms.errors.UnsupportedVariableError, match=r"'joint'.*move together"):
        integer_bounds(joint)


def allocations():
    """Five observations of two normals with latent allocations; exact by enumeration."""
    y, weights = np.array([-2.1, -1.9, 0.1, 2.2, 1.8]), np.array([0.4, 0.6])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=2)
        z = pm.Categorical("z", weights, shape=5)
        pm.Normal("y", mu[z], 1, observed=y)

    def marginal(v):
        n = len(v)
        return stats.multivariate_normal.logpdf(v, np.zeros(n), np.eye(n) + 4.0) if n else 0.0

    terms = []
    for choice in product(range(2), repeat=5):
        a = np.array(choice)
        terms.append(np.sum(np.log(weights[a])) + sum(marginal(y[a == k]) for k in range(2)))
    return model, float(logsumexp(terms))


def counts():
    """A Poisson number of trials of which seven succeed."""
    with pm.Model() as model:
        n = pm.Poisson("n", 20)
        p = pm.Beta("p", 2, 2)
        pm.Binomial("k", n, p, observed=7)
    n = np.arange(7, 300)
    terms = stats.poisson.logpmf(n, 20) + stats.betabinom.logpmf(7, n, 2, 2)
    return model, float(logsumexp(terms))


def switches():
    """Six switches and nothing continuous."""
    effect = np.array([1.0, 2.0, -1.0, 0.5, 3.0, -2.0])
    with pm.Model() as model:
        b = pm.Bernoulli("b", 0.3, shape=6)
        pm.Normal("y", pm.math.sum(b * effect), 0.5, observed=1.3)
    states = np.array(list(product([0, 1], repeat=6)))
    prior = np.sum(stats.bernoulli.logpmf(states, 0.3), axis=1)
    return model, float(logsumexp(prior + stats.norm.logpdf(1.3, states @ effect, 0.5)))


@pytest.mark.parametrize("make", [allocations, counts, switches])
def test_discrete_and_mixed_models(make):
    model, truth = make()
    dt = pms.sample_tempered(500, tune=300, model=model, random_seed=4, quiet=True)
    found = pms.log_evidence(dt)
    within(found["log_evidence"], truth, found["mcse"])
    integers = [name for name, v in dt["posterior"].data_vars.items() if v.dtype.kind == "i"]
    assert integers == [rv.name for rv in model.free_RVs if rv.type.dtype == "int64"]
