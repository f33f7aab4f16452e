"""The swap scheme, by enumerating its transition matrix: pi P = pi to rounding."""

import itertools

import numpy as np
import pytest

from pm_statmech.datatree import round_trips
from pm_statmech.samplers.exchange import propose_swaps, swap_probability

LEVELS = np.array([0.0, 0.7, 2.9])  # energies of a system with three states
PRIOR = np.array([0.5, 0.2, 0.3])
BETAS = np.array([0.0, 0.4, 1.3, 2.0])


def stationary(betas):
    """Product of pi_beta over the rungs, over all configurations."""
    states = list(itertools.product(range(3), repeat=len(betas)))
    rungs = PRIOR * np.exp(-betas[:, None] * LEVELS)
    rungs /= rungs.sum(axis=1, keepdims=True)
    return states, np.array([np.prod(rungs[np.arange(len(betas)), s]) for s in map(list, states)])


def swap_matrix(betas, parity, move=propose_swaps):
    """Transition matrix of one exchange, by running it on every outcome of its uniforms."""
    states, _ = stationary(betas)
    index = {s: i for i, s in enumerate(states)}
    P = np.zeros((len(states), len(states)))
    n_pairs = len(betas) - 1
    for s in states:
        for outcome in itertools.product([0.0, 1.0], repeat=n_pairs):
            x = np.array(s, dtype=float)[:, None]
            values = np.stack([np.zeros(len(s)), LEVELS[list(s)]], axis=1)
            replica = np.arange(len(s))
            acceptance = np.empty(n_pairs)
            move(x, values, replica, betas, parity, np.array(outcome), acceptance)
            weight = 1.0
            for u, a in zip(outcome, acceptance, strict=True):
                # a uniform of 0 stands for all that accept, 1 for all that reject
                weight *= 0.5 if a < 0 else (a if u == 0.0 else 1.0 - a)
            P[index[s], index[tuple(x[:, 0].astype(int))]] += weight
            np.testing.assert_array_equal(LEVELS[x[:, 0].astype(int)], values[:, 1])
            np.testing.assert_array_equal(np.array(s)[replica], x[:, 0].astype(int))
    return P


@pytest.mark.parametrize("parity", [0, 1])
def test_exchange_leaves_the_ladder_invariant(parity):
    _, pi = stationary(BETAS)
    P = swap_matrix(BETAS, parity)
    np.testing.assert_allclose(P.sum(axis=1), 1.0, atol=1e-14)
    assert np.max(np.abs(pi @ P - pi)) <= 1e-12
    assert np.max(np.abs(P - np.eye(len(pi)))) > 0.1


def _transposed_ratio(x, values, replica, betas, parity, uniforms, acceptance):
    propose_swaps(x, values, replica, betas[::-1].copy(), parity, uniforms, acceptance)


def _rejection_for_acceptance(x, values, replica, betas, parity, uniforms, acceptance):
    propose_swaps(x, values, replica, betas, parity, 1.0 - uniforms, acceptance)


def _doubled_beta(x, values, replica, betas, parity, uniforms, acceptance):
    propose_swaps(x, values, replica, 2 * betas, parity, uniforms, acceptance)


@pytest.mark.parametrize("mutant", [_transposed_ratio, _rejection_for_acceptance, _doubled_beta])
def test_broken_exchanges_are_seen(mutant):
    """Controls that must fail: a swapped ratio, p for 1 - p, twice the beta."""
    _, pi = stationary(BETAS)
    assert np.max(np.abs(pi @ swap_matrix(BETAS, 0, mutant) - pi)) > 1e-3


def test_energies_that_stay_behind_are_seen():
    """Control: a swap that moves states without their energies trips the check of consistency."""

    def mutant(x, values, replica, betas, parity, uniforms, acceptance):
        kept = values.copy()
        propose_swaps(x, values, replica, betas, parity, uniforms, acceptance)
        values[:] = kept

    with pytest.raises(AssertionError):
        swap_matrix(BETAS, 0, mutant)


def test_infinite_energies_never_move_to_a_colder_rung():
    assert swap_probability(0.0, 1.0, np.inf, 3.0) == 0.0
    assert swap_probability(0.0, 1.0, np.inf, np.inf) == 1.0
    assert swap_probability(0.5, 1.0, 3.0, 1.0) == pytest.approx(np.exp(-1.0))
    assert swap_probability(0.5, 1.0, 1.0, 3.0) == 1.0


def test_round_trips_by_hand():
    # replica 0 goes 0 -> 2 -> 0, replica 2 goes 2 -> 0 -> 2: one trip, two arrivals
    rungs_of_replicas = np.array([[0, 1, 2], [1, 0, 2], [2, 0, 1], [2, 1, 0], [1, 2, 0], [0, 2, 1],
                                  [0, 1, 2]])  # fmt: skip
    replica = np.argsort(rungs_of_replicas, axis=1)
    trips, restarts = round_trips(replica, 2)
    assert (trips, restarts) == (1, 3)
    assert round_trips(np.tile(np.arange(3), (50, 1)), 2) == (0, 0)
