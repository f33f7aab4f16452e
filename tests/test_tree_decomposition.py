"""Networks along a tree of small sets of nodes: brute force, records, draws, hopeless graphs."""

import networkx as nx
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest

import pm_statmech as pms
from pm_statmech.errors import NetworkError
from pm_statmech.log_partition import by_transfer_matrix, by_tree_decomposition
from pm_statmech.log_partition.elimination import elimination_of, greedy_elimination
from pm_statmech.log_partition.variable_elimination import draws_down, eliminate

from .conftest import RECORDS
from .test_network_engines import (
    GRAPHS,
    INTERACTIONS,
    SPINS,
    by_brute_force,
    by_transfer,
    lattice,
    named,
    network_on,
)

RNG = np.random.default_rng(23)
FAST = "FAST_COMPILE"


def by_tree(network, theta, K):
    return eliminate(theta, K, network.interaction, *elimination_of(network).tables)


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("kind", INTERACTIONS)
@pytest.mark.parametrize("strength", [1.0, 300.0])
def test_by_brute_force(graph, kind, strength):
    network = network_on(GRAPHS[graph], INTERACTIONS[kind])
    theta = strength * RNG.normal(size=(network.n, network.q))
    K = strength * RNG.normal(size=network.m)
    expected = by_brute_force(network, theta, K)
    found = by_tree(network, theta, K)
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-10)
    np.testing.assert_allclose(found[2], expected[2], atol=1e-10)


@pytest.mark.parametrize("name", [n for n in named("ising2d_free") if "12" not in n])
def test_records_of_free_lattices(name):
    p = RECORDS[name]["parameters"]
    network = lattice(p["Lx"], p["Ly"])
    found = by_tree(network, np.zeros((network.n, 2)), np.full(network.m, p["beta"]))
    assert found[0] == pytest.approx(RECORDS[name]["value"], rel=1e-12)


@pytest.mark.parametrize(
    "graph",
    [
        nx.connected_watts_strogatz_graph(60, 4, 0.1, seed=1), nx.random_labeled_tree(300, seed=2),
        nx.barabasi_albert_graph(60, 2, seed=3), nx.random_regular_graph(3, 40, seed=4),
    ],
    ids=["small world", "tree", "hubs", "regular"],
)  # fmt: skip
def test_sparse_graphs_against_the_transfer_matrix(graph):
    network = network_on(graph, SPINS)
    theta, K = RNG.normal(size=(network.n, 2)), RNG.normal(size=network.m)
    expected, found = by_transfer(network, theta, K), by_tree(network, theta, K)
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-11)
    np.testing.assert_allclose(found[2], expected[2], atol=1e-11)


def test_widths_that_are_known():
    widths = {
        "tree": (nx.random_labeled_tree(50, seed=1), 1), "ring": (nx.cycle_graph(9), 2),
        "all": (nx.complete_graph(7), 6), "ladder": (nx.ladder_graph(12), 2),
        "outerplanar": (nx.wheel_graph(9), 3),
    }  # fmt: skip
    for name, (graph, width) in widths.items():
        network = network_on(nx.convert_node_labels_to_integers(graph), SPINS)
        assert elimination_of(network).width == width, name


def test_bags_are_a_tree_decomposition():
    network = network_on(nx.connected_watts_strogatz_graph(40, 4, 0.2, seed=5), SPINS)
    e = elimination_of(network)
    bags = [set(e.members[a:b]) for a, b in zip(e.begins[:-1], e.begins[1:], strict=True)]
    assert set().union(*bags) == set(range(40))
    assert all(any({i, j} <= bag for bag in bags) for i, j in network.edges.tolist())
    # separators lie in their parents, which makes the bags of a node connected
    for k, bag in enumerate(bags):
        if e.parent[k] >= 0:
            assert bag - {e.members[e.begins[k]]} <= bags[e.parent[k]]
    assert sorted(e.edges[:, 0]) == list(range(network.m))


def test_draws_have_the_probabilities():
    network = network_on(nx.cycle_graph(5), np.eye(3))
    theta, K = RNG.normal(size=(5, 3)), RNG.normal(size=5)
    tables = elimination_of(network).tables
    x = draws_down(theta, K, network.interaction, *tables, RNG.random((40_000, 5))).astype(int)
    _, marginals, means = by_brute_force(network, theta, K)
    for s in range(3):
        p = marginals[:, s]
        assert np.all(np.abs(np.mean(x == s, axis=0) - p) <= 5.5 * np.sqrt(p * (1 - p) / 40_000))
    i, j = network.edges.T
    equal = np.mean(x[:, i] == x[:, j], axis=0)
    error = np.sqrt(means * (1 - means) / 40_000)
    assert np.all(np.abs(equal - means) <= 5.5 * error)
    # the control: neighbours drawn independently
    apart = np.sum(marginals[i] * marginals[j], axis=1)
    assert np.max(np.abs(equal - apart) / error) > 5.5


def test_in_a_model():
    graph = nx.random_labeled_tree(500, seed=1)
    J = pt.dscalar("J")
    x = pms.Ising.dist(J, 0.1, graph=graph, shape=(500, 500))
    assert x.owner.op.engine is by_tree_decomposition
    assert x.owner.op.drawn_by() is by_tree_decomposition
    log_z = pt.sum(x.owner.op.log_partition(*x.owner.inputs[2:]))
    other = pms.Ising.dist(J, 0.1, graph=graph, log_partition=by_transfer_matrix)
    expected = pt.sum(other.owner.op.log_partition(*other.owner.inputs[2:]))
    f = pytensor.function(
        [J], [log_z, pytensor.grad(log_z, J), expected, pytensor.grad(expected, J)], mode=FAST
    )
    found = f(0.4)
    np.testing.assert_allclose(found[:2], found[2:], rtol=1e-12)
    drawn = pm.draw(pms.Ising.dist(0.4, 0.1, graph=graph, shape=(500, 500)), random_seed=1)
    i, j = np.array(graph.edges).T
    products = np.mean(drawn[:, i] * drawn[:, j], axis=1)
    assert abs(products.mean() * graph.number_of_edges() - found[1]) < (
        5.5 * products.std() * graph.number_of_edges() / np.sqrt(500)
    )


def test_hopeless_graphs():
    assert greedy_elimination(nx.complete_graph(60)) is None
    with pytest.raises(NetworkError, match="40 neighbours"):
        pms.Ising.dist(0.1, graph=nx.complete_graph(60), log_partition=by_tree_decomposition)
    with pytest.raises(NetworkError, match="tree decomposition"):
        pm.logp(pms.Ising.dist(0.1, 0.2, graph=nx.grid_2d_graph(40, 40)), np.ones((40, 40)))
