"""Two layers learnt: gradients, what is learnt by heart, and what is refused."""

import numpy as np
import pytest
from scipy import stats

import pm_statmech as pms
from pm_statmech.errors import NetworkError
from pm_statmech.log_partition.restricted_boltzmann import layers

RNG = np.random.default_rng(1)
# two units that go together, and one that does not care
DATA = np.column_stack([np.tile([1, 0], 60), np.tile([1, 0], 60), RNG.integers(2, size=120)])


def log_likelihood(fit, v):
    fields = fit.hidden_bias + v @ fit.weights
    weight = v @ fit.visible_bias + np.logaddexp(0, fields).sum(axis=1)
    return np.mean(weight) - layers(fit.weights, fit.visible_bias, fit.hidden_bias)[0]


def test_the_likelihood_is_climbed_to_its_maximum():
    fit = pms.maximum_likelihood_layers(DATA, 2, penalty=1e-4, random_seed=1)
    # the best any distribution does: the entropy of the rows
    _, counts = np.unique(DATA, axis=0, return_counts=True)
    best = -stats.entropy(counts)
    assert best - 0.02 < fit.log_likelihood[-1] <= best + 1e-10
    assert fit.log_likelihood[-1] == pytest.approx(log_likelihood(fit, DATA), rel=1e-6)
    # from units by themselves, with what falls on the way in exchange for smaller weights
    assert fit.log_likelihood[-1] > fit.log_likelihood[0] + 0.5
    assert np.all(np.diff(fit.log_likelihood) > -0.01)
    # nowhere near by is it larger
    for part in fit[:3]:
        for step in (1e-3, -1e-3):
            moved = [p + step * RNG.normal(size=p.shape) if p is part else p for p in fit[:3]]
            there = log_likelihood(pms.learning.LearntLayers(*moved, None), DATA)
            penalties = [5e-5 * np.sum(W**2) for W in (moved[0], fit.weights)]
            assert there - penalties[0] <= log_likelihood(fit, DATA) - penalties[1] + 1e-6


def test_chains_stand_in_for_the_likelihood():
    fit = pms.persistent_chains_layers(DATA, 2, steps=3000, rate=0.2, random_seed=2)
    exact = pms.maximum_likelihood_layers(DATA, 2, random_seed=1)
    assert fit.log_likelihood[-1] > exact.log_likelihood[-1] - 0.1
    # control: units by themselves are worse
    p = DATA.mean(axis=0)
    apart = np.mean(np.sum(DATA * np.log(p) + (1 - DATA) * np.log(1 - p), axis=1))
    assert fit.log_likelihood[-1] > apart + 0.3
    again = pms.persistent_chains_layers(DATA, 2, steps=100, random_seed=2)
    same = pms.persistent_chains_layers(DATA, 2, steps=100, random_seed=2)
    np.testing.assert_array_equal(again.weights, same.weights)


@pytest.mark.parametrize("learn", [pms.maximum_likelihood_layers, pms.persistent_chains_layers])
@pytest.mark.parametrize("v", [[1, 0, 1], [[1, -1]], np.empty((0, 3)), [[0.5, 1.0]]])
def test_data_that_are_no_units(learn, v):
    with pytest.raises(NetworkError, match="table"):
        learn(v, 2)


def test_layers_too_large_for_the_exact_gradient():
    v = RNG.integers(2, size=(5, 30))
    with pytest.raises(NetworkError, match="persistent_chains_layers"):
        pms.maximum_likelihood_layers(v, 30)
    fit = pms.persistent_chains_layers(v, 30, steps=50, random_seed=1)
    assert np.all(np.isnan(fit.log_likelihood))
    assert np.all(np.isfinite(fit.weights))
