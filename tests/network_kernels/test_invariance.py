"""Moves leave the distribution alone: all they can do is listed, with its probability."""

from itertools import pairwise, product

import numpy as np
import pytest

from pm_statmech.log_partition.networks import Network
from pm_statmech.network_kernels import block_gibbs, heat_bath
from pm_statmech.network_kernels.clusters import equality_gain, swendsen_wang, wolff

SPINS = np.array([[1.0, -1.0], [-1.0, 1.0]])
EDGES = np.array([[0, 1], [0, 3], [1, 2], [2, 3]])
PATH = np.array([[0, 1], [1, 2]])
RNG = np.random.default_rng(8)


def square(interaction):
    """Four nodes in a ring, in fields, with couplings that all differ."""
    network = Network(4, EDGES, interaction)
    theta = RNG.normal(size=(4, network.q))
    return network, theta, np.array([0.3, 1.1, 0.6, 0.2])


def weights(network, theta, K, states):
    pairs = network.interaction[states[:, network.edges[:, 0]], states[:, network.edges[:, 1]]]
    exponents = theta[np.arange(network.n), states].sum(axis=1) + pairs @ K
    p = np.exp(exponents - exponents.max())
    return p / p.sum()


def system(interaction, edges, with_field: bool):
    """A ring of four nodes, or a path of three: its parameters, states and probabilities."""
    n = 4 if len(edges) == 4 else 3
    network = Network(n, edges, interaction)
    theta = RNG.normal(size=(n, network.q)) * with_field
    K = np.array([0.3, 1.1, 0.6, 0.2])[: len(edges)]
    states = np.array(list(product(range(network.q), repeat=n)))
    return network, theta, K, states, weights(network, theta, K, states)


def outcomes(run, n_numbers: int):
    """All results of a function of uniform numbers in [0, 1), with their probabilities.

    For results that are constant between two breakpoints of one number given those before it, once
    later numbers are 0.5: found by bisection.
    """

    def branches(before, k):
        """Values of number k in each interval, with its length."""

        def result(value):
            return run(np.array([*before, value, *[0.5] * (n_numbers - k - 1)]))

        left = 0.0
        while True:
            here = result(left)
            if result(np.nextafter(1.0, 0.0)) == here:
                yield left, 1.0 - left
                return
            low, high = left, 1.0
            for _ in range(60):
                middle = 0.5 * (low + high)
                low, high = (middle, high) if result(middle) == here else (low, middle)
            yield left, high - left
            left = high

    def walk(before, k, p):
        if k == n_numbers:
            yield run(np.array(before)), p
            return
        for value, length in branches(before, k):
            yield from walk([*before, value], k + 1, p * length)

    return walk([], 0, 1.0)


def transition_matrix(states, outcomes_from):
    number = {tuple(x): k for k, x in enumerate(states.tolist())}
    P = np.zeros((len(states), len(states)))
    for k, x in enumerate(states):
        for y, p in outcomes_from(x):
            P[k, number[y]] += p
    return P


def moved(x, move):
    """What a move in place makes of x."""
    y = x.copy()
    move(y)
    return tuple(y.tolist())


@pytest.mark.parametrize(
    "interaction", [SPINS, np.eye(3), np.outer([-1, 0, 1], [-1, 0, 1.0])], ids=["2", "3", "spin 1"]
)
def test_heat_bath(interaction):
    network, theta, K = square(interaction)
    states = np.array(list(product(range(network.q), repeat=4)))
    p = weights(network, theta, K, states)

    def outcomes_from(x, potentials=theta):
        def run(u):
            return moved(
                x, lambda y: heat_bath.sweep(y, potentials, K, interaction, *network.neighbours, u)
            )

        return outcomes(run, 4)

    P = transition_matrix(states, outcomes_from)
    np.testing.assert_allclose(P.sum(axis=1), 1.0, atol=1e-13)
    np.testing.assert_allclose(p @ P, p, atol=1e-12)
    # control: at other potentials it is another distribution's
    other = transition_matrix(states, lambda x: outcomes_from(x, 1.1 * theta))
    assert np.max(np.abs(p @ other - p)) > 1e-3


@pytest.mark.parametrize(
    ("interaction", "edges"),
    [(SPINS, EDGES), (np.eye(3), PATH)],
    ids=["spins on a ring", "labels on a path"],
)
@pytest.mark.parametrize("with_field", [True, False])
def test_swendsen_wang(interaction, edges, with_field):
    network, theta, K, states, p = system(interaction, edges, with_field)
    bonds = 1 - np.exp(-equality_gain(interaction) * K)

    def outcomes_from(x, chances=bonds):
        for there in product([0, 1], repeat=network.m):
            # a number below the chance, or above
            u_bonds = np.where(there, 0.0, 1.0)
            chance = np.prod(np.where(there, chances, 1 - chances))

            def run(u, u_bonds=u_bonds):
                y = x.copy()
                swendsen_wang(y, theta, bonds, edges, u_bonds, u)
                return tuple(y.tolist())

            for after, q in outcomes(run, network.n):
                yield after, chance * q

    P = transition_matrix(states, outcomes_from)
    np.testing.assert_allclose(p @ P, p, atol=1e-12)
    other = transition_matrix(states, lambda x: outcomes_from(x, 0.9 * bonds))
    assert np.max(np.abs(p @ other - p)) > 1e-4


@pytest.mark.parametrize(
    ("interaction", "edges"),
    [(SPINS, EDGES), (np.eye(3), PATH)],
    ids=["spins on a ring", "labels on a path"],
)
def test_wolff(interaction, edges):
    network, theta, K, states, p = system(interaction, edges, True)
    n = network.n
    bonds = 1 - np.exp(-equality_gain(interaction) * K)

    def outcomes_from(x, chances=bonds):
        limits = np.array([0.0, *np.sort(chances), 1.0])

        def run(seed, u):
            y = x.copy()
            used = wolff(y, theta, chances, *network.neighbours, seed, u)
            return tuple(y.tolist()), used

        def walk(seed, before, chance):
            def last(u):
                return run(seed, np.array([*before, *u, *[0.5] * (len(edges) - len(before))]))

            if last([0.5])[1] == len(before) + 1:
                # all that is left to draw is the cluster's state
                for y, q in outcomes(lambda u: last(u)[0], 1):
                    yield y, chance * q
                return
            # the next number is compared with the chance of one edge
            for low, high in pairwise(limits):
                yield from walk(seed, [*before, 0.5 * (low + high)], chance * (high - low))

        for seed in range(n):
            yield from walk(seed, [], 1.0 / n)

    P = transition_matrix(states, outcomes_from)
    np.testing.assert_allclose(P.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(p @ P, p, atol=1e-12)
    other = transition_matrix(states, lambda x: outcomes_from(x, 0.9 * bonds))
    assert np.max(np.abs(p @ other - p)) > 1e-4


def test_block_gibbs():
    W, b, c = RNG.normal(size=(3, 2)), RNG.normal(size=3), RNG.normal(size=2)
    visible = np.array(list(product([0.0, 1.0], repeat=3)))
    p = np.exp(visible @ b) * np.prod(1 + np.exp(c + visible @ W), axis=1)
    p /= p.sum()

    def outcomes_from(v, bias=b):
        def with_hidden(u):
            y, h = v.copy(), np.zeros(2)
            block_gibbs.sweep(y, h, W, bias, c, u)
            return (*y.tolist(), *h.tolist())

        for result, chance in outcomes(with_hidden, 5):
            yield result[:3], chance

    P = transition_matrix(visible, outcomes_from)
    np.testing.assert_allclose(p @ P, p, atol=1e-12)
    other = transition_matrix(visible, lambda v: outcomes_from(v, 1.1 * b))
    assert np.max(np.abs(p @ other - p)) > 1e-4


def test_two_colours_of_a_lattice():
    """The torus by colours does what the heat bath does in that order."""
    from pm_statmech.network_kernels.lattices import colours, thresholds, together

    rng = np.random.default_rng(2)
    rows, columns, K, field = 4, 6, 0.37, 0.21
    spins = rng.choice([-1, 1], size=(rows, columns))
    black, white = colours(spins)
    np.testing.assert_array_equal(together(black, white), spins)
    limits = thresholds(K, field) / 2.0**32
    u = rng.random((2, rows, columns // 2))
    heat_bath.half_sweep(black, white, True, limits, u[0])
    heat_bath.half_sweep(white, black, False, limits, u[1])
    found = together(black, white)
    expected = spins.copy()
    for colour in range(2):
        for r in range(rows):
            for k in range(columns // 2):
                c = 2 * k + (r + colour) % 2
                around = sum(
                    expected[(r + i) % rows, (c + j) % columns]
                    for i, j in ((1, 0), (-1, 0), (0, 1), (0, -1))
                )
                up = 1 / (1 + np.exp(-2 * (K * around + field)))
                expected[r, c] = 1 if u[colour, r, k] < up else -1
    np.testing.assert_array_equal(found, expected)
