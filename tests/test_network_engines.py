"""Engines of networks: records, brute force, each other, and strengths at which tables vanish."""

from itertools import product

import networkx as nx
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from pm_statmech.errors import NetworkError
from pm_statmech.log_partition import transfer_in_logs
from pm_statmech.log_partition.fold import fold_spins
from pm_statmech.log_partition.frontier import best_sweep, orders, sweep_of
from pm_statmech.log_partition.kaufman import torus
from pm_statmech.log_partition.mean_fields import curie_weiss, fields_of_patterns
from pm_statmech.log_partition.network_engines import (
    Problem,
    bethe,
    mean_field,
    torus_edges,
    tree_reweighted,
)
from pm_statmech.log_partition.networks import Network
from pm_statmech.log_partition.restricted_boltzmann import layers
from pm_statmech.log_partition.transfer_matrix import transfer
from pm_statmech.log_partition.variational import messages

from .conftest import RECORDS

FAST = "FAST_COMPILE"
SPINS = np.array([[1.0, -1.0], [-1.0, 1.0]])
INTERACTIONS = {"spins": SPINS, "labels": np.eye(3), "scores": np.outer(range(3), range(3)) * 1.0}
GRAPHS = {
    "pair": nx.path_graph(2),
    "path": nx.path_graph(6),
    "ring": nx.cycle_graph(6),
    "star": nx.star_graph(5),
    "tree": nx.balanced_tree(2, 2),
    "lattice": nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 3)),
    "torus": nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 3, periodic=True)),
    "all": nx.complete_graph(6),
    "petersen": nx.petersen_graph(),
}


def network_on(graph, interaction) -> Network:
    edges = np.sort(np.array(graph.edges, dtype=np.int64).reshape(-1, 2), axis=1)
    return Network(len(graph), edges, interaction)


def lattice(rows: int, columns: int, **kwargs) -> Network:
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(rows, columns, **kwargs))
    return network_on(graph, SPINS)


def by_transfer(network, theta, K, sweep=None):
    sweep = best_sweep(network) if sweep is None else sweep
    return transfer(
        theta, K, network.interaction, network.edges, sweep.steps, sweep.further, sweep.sizes
    )


def by_brute_force(network, theta, K):
    """Log Z, probabilities and mean interactions by listing all states."""
    states = np.array(list(product(range(network.q), repeat=network.n)))
    pairs = network.interaction[states[:, network.edges[:, 0]], states[:, network.edges[:, 1]]]
    exponents = theta[np.arange(network.n), states].sum(axis=1) + pairs @ K
    top = exponents.max()
    p = np.exp(exponents - top)
    log_z = top + np.log(p.sum())
    p /= p.sum()
    marginals = np.stack([p @ (states == s) for s in range(network.q)], axis=1)
    return log_z, marginals, p @ pairs


def of_field(h):
    """Potentials of spins."""
    return np.stack([-h, h], axis=1)


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("kind", INTERACTIONS)
@pytest.mark.parametrize("strength", [1.0, 300.0])
def test_transfer_matrix_by_brute_force(graph, kind, strength):
    network = network_on(GRAPHS[graph], INTERACTIONS[kind])
    rng = np.random.default_rng(3)
    theta = strength * rng.normal(size=(network.n, network.q))
    K = strength * rng.normal(size=network.m)
    expected = by_brute_force(network, theta, K)
    for order in list(orders(network))[:4]:
        sweep = sweep_of(network, order)
        found = by_transfer(network, theta, K, sweep)
        in_logs = transfer_in_logs.forth_and_back(
            theta, K, network.interaction, sweep.steps, sweep.further, sweep.sizes
        )
        for one in (found, in_logs):
            assert one[0] == pytest.approx(expected[0], rel=1e-13, abs=1e-12)
            np.testing.assert_allclose(one[1], expected[1], atol=1e-10)
            np.testing.assert_allclose(one[2], expected[2], atol=1e-10)


@pytest.mark.parametrize("graph", GRAPHS)
def test_spins_of_two_states(graph):
    """Any potentials of two states are fields and couplings of spins, and the fold has them."""
    network = network_on(GRAPHS[graph], np.array([[0.3, -0.7], [-0.7, 1.9]]))
    rng = np.random.default_rng(4)
    theta, K = rng.normal(size=(network.n, 2)), rng.normal(size=network.m)
    symbols = network.as_spins(pt.constant(theta), pt.constant(K))
    h, couplings, constant = (np.asarray(v.eval(mode="FAST_COMPILE")) for v in symbols)
    J = np.zeros((network.n, network.n))
    J[tuple(network.edges.T)] = couplings
    log_z, means, _ = fold_spins(h, J)
    expected = by_brute_force(network, theta, K)
    assert log_z + constant == pytest.approx(expected[0], rel=1e-13)
    np.testing.assert_allclose((1 + means) / 2, expected[1][:, 1], atol=1e-12)


def named(*starts):
    return [name for name in RECORDS if name.startswith(starts)]


@pytest.mark.parametrize("name", named("ising2d_free"))
def test_records_of_free_lattices(name):
    p = RECORDS[name]["parameters"]
    network = lattice(p["Lx"], p["Ly"])
    found = by_transfer(network, np.zeros((network.n, 2)), np.full(network.m, p["beta"]))
    assert found[0] == pytest.approx(RECORDS[name]["value"], rel=1e-12)


@pytest.mark.parametrize("name", named("ea2d"))
def test_records_of_spin_glasses(name):
    p = RECORDS[name]["parameters"]
    rng = np.random.default_rng(p["seed"])
    between_x = rng.normal(size=(p["Lx"] - 1, p["Ly"]))
    between_y = rng.normal(size=(p["Lx"], p["Ly"] - 1))
    network = lattice(p["Lx"], p["Ly"])
    x, y = np.divmod(network.edges, p["Ly"])
    along_x = x[:, 0] != x[:, 1]
    K = np.where(
        along_x, between_x[np.minimum(x[:, 0], p["Lx"] - 2), y[:, 0]],
        between_y[x[:, 0], np.minimum(y[:, 0], p["Ly"] - 2)],
    )  # fmt: skip
    assert by_transfer(network, np.zeros((network.n, 2)), K)[0] == pytest.approx(
        RECORDS[name]["value"], rel=1e-12
    )


@pytest.mark.parametrize("name", named("rfim2d"))
def test_records_in_random_fields(name):
    p = RECORDS[name]["parameters"]
    h = 0.5 * np.random.default_rng(p["seed"]).normal(size=(p["Lx"], p["Ly"]))
    network = lattice(p["Lx"], p["Ly"])
    found = by_transfer(network, of_field(h.ravel()), np.full(network.m, p["K"]))
    assert found[0] == pytest.approx(RECORDS[name]["value"], rel=1e-12)


def test_record_of_a_random_graph():
    record = RECORDS["ising_3regular_n60"]
    p = record["parameters"]
    rng = np.random.default_rng(p["seed"])
    edges = np.array(p["edges"])
    J, h = rng.normal(size=len(edges)), 0.3 * rng.normal(size=p["n"])
    network = Network(p["n"], edges, SPINS)
    found = by_transfer(network, of_field(h), J)
    assert found[0] == pytest.approx(record["value"], rel=1e-12)
    # the gradient by differences of log Z
    for e in (0, 40, 89):
        there, back = J.copy(), J.copy()
        there[e] += 1e-5
        back[e] -= 1e-5
        difference = by_transfer(network, of_field(h), there)[0]
        difference -= by_transfer(network, of_field(h), back)[0]
        assert found[2][e] == pytest.approx(difference / 2e-5, abs=1e-8)


@pytest.mark.parametrize("name", named("ising1d"))
def test_records_of_rings_in_a_field(name):
    p = RECORDS[name]["parameters"]
    network = network_on(nx.cycle_graph(p["N"]), SPINS)
    found = by_transfer(network, of_field(np.full(p["N"], p["h"])), np.full(p["N"], p["K"]))
    assert found[0] == pytest.approx(RECORDS[name]["value"], rel=1e-12)


@pytest.mark.parametrize("name", named("sk_"))
def test_records_of_all_to_all_couplings(name):
    record = RECORDS[name]
    p = record["parameters"]
    rng = np.random.default_rng(p["seed"])
    A = np.triu(rng.normal(size=(p["n"], p["n"])), 1) / np.sqrt(p["n"])
    h = p["h_scale"] * rng.normal(size=p["n"])
    log_z, means, pairs = fold_spins(p["beta"] * h, p["beta"] * A)
    assert log_z == pytest.approx(record["value"], rel=1e-12)
    np.testing.assert_allclose(means[:3], record["mean_first3"], atol=1e-9)
    assert pairs[0, 1] == pytest.approx(record["corr_01"], rel=1e-9)
    assert pairs[0, 2] == pytest.approx(record["corr_02"], rel=1e-9)
    assert np.sum(np.triu(pairs, 1)) == pytest.approx(record["sum_corr_upper"], rel=1e-9)


@pytest.mark.parametrize("name", named("ising2d_torus_L"))
def test_records_of_the_torus(name):
    record = RECORDS[name]
    if name.endswith("dos"):
        energies = np.array([float(key) for key in record["value"]])
        numbers = np.array(list(record["value"].values()), dtype=float)
        for beta in (-0.8, -0.2, 1e-10, 1e-4, 0.3, 2.0):
            log_z, in_rings, between = torus(beta, beta, 4, 4)
            weights = numbers * np.exp(beta * energies)
            assert log_z == pytest.approx(np.log(np.sum(weights)), rel=1e-13)
            mean = weights @ energies / np.sum(weights)
            assert in_rings + between == pytest.approx(mean, rel=1e-9, abs=1e-8)
        return
    p = record["parameters"]
    log_z, in_rings, between = torus(p["beta"], p["beta"], p["L"], p["L"])
    assert log_z == pytest.approx(record["value"], rel=1e-13)
    if "mean_bond_sum" in record:
        assert in_rings + between == pytest.approx(float(record["mean_bond_sum"]), rel=1e-11)


@pytest.mark.parametrize("name", named("ising2d_torus_aniso"))
def test_records_of_two_couplings(name):
    p = RECORDS[name]["parameters"]
    n, m, K, between = p["n"], p["m"], p["K_ring"], p["K_between"]
    log_z, *slopes = torus(K, between, n, m)
    assert log_z == pytest.approx(RECORDS[name]["value"], rel=1e-13)
    for slope, dK, db in zip(slopes, (1e-5, 0.0), (0.0, 1e-5), strict=True):
        there, back = torus(K + dK, between + db, n, m), torus(K - dK, between - db, n, m)
        assert slope == pytest.approx((there[0] - back[0]) / 2e-5, rel=1e-7)
    # the other way round is the same lattice
    assert torus(between, K, m, n)[0] == pytest.approx(log_z, rel=1e-13)


@pytest.mark.parametrize(("K", "between"), [(0.0, 0.3), (0.3, 0.0), (1e-9, 0.3), (0.7, 1e-10)])
def test_rings_that_hardly_touch(K, between):
    network = lattice(3, 4, periodic=True)
    assert {tuple(e) for e in network.edges.tolist()} == torus_edges(3, 4)
    rows = np.divmod(network.edges, 4)[0]
    in_rings = rows[:, 0] == rows[:, 1]
    found = by_transfer(network, np.zeros((12, 2)), np.where(in_rings, K, between))
    log_z, of_rings, of_between = torus(K, between, 4, 3)
    assert log_z == pytest.approx(found[0], rel=1e-12)
    assert of_rings == pytest.approx(np.sum(found[2][in_rings]), abs=1e-6)
    assert of_between == pytest.approx(np.sum(found[2][~in_rings]), abs=1e-6)


def test_mean_fields():
    record = RECORDS["curie_weiss_n1000_b1.2_h0.01"]
    p = record["parameters"]
    found = curie_weiss(p["n"], p["beta"], p["h"]).eval(mode="FAST_COMPILE")
    assert found == pytest.approx(record["value"], rel=1e-13)


@pytest.mark.parametrize("name", named("hopfield"))
def test_records_of_patterns(name):
    p = RECORDS[name]["parameters"]
    xi = np.random.default_rng(p["seed"]).choice([-1, 1], size=(p["p"], p["n"])).astype(float)
    none, ones = np.zeros(p["n"]), np.ones(p["n"])
    log_z, slope, _ = fields_of_patterns(p["beta"], none, xi, ones)
    assert log_z == pytest.approx(RECORDS[name]["value"], rel=1e-13)
    there, back = (fields_of_patterns(p["beta"] + d, none, xi, ones)[0] for d in (1e-5, -1e-5))
    assert slope == pytest.approx((there - back) / 2e-5, rel=1e-7)


@pytest.mark.parametrize("beta", [0.01, 1.0, 30.0])
def test_patterns_by_enumeration(beta):
    """Real patterns in fields, at temperatures where the integrand is wide and where it is not."""
    rng = np.random.default_rng(5)
    xi, h = rng.normal(size=(2, 9)), rng.normal(size=9)
    J = xi.T @ xi / 9
    log_z, means, pairs = fold_spins(beta * h, beta * J)
    found = fields_of_patterns(beta, beta * h, xi, np.ones(9))
    assert found[0] == pytest.approx(log_z, rel=1e-13)
    np.testing.assert_allclose(found[2], means, atol=1e-12)
    # by beta of the quadratic form alone
    assert found[1] == pytest.approx(np.sum(np.triu(J * pairs, 1)), rel=1e-10)


@pytest.mark.parametrize("name", named("rbm"))
def test_records_of_two_layers(name):
    p = RECORDS[name]["parameters"]
    rng = np.random.default_rng(p["seed"])
    W = p["scale"] * rng.normal(size=(p["nv"], p["nh"])) / np.sqrt(p["nh"])
    b, c = 0.1 * rng.normal(size=p["nv"]), 0.1 * rng.normal(size=p["nh"])
    log_z, visible, hidden, products = layers(W, b, c)
    assert log_z == pytest.approx(RECORDS[name]["value"], rel=1e-13)
    other = layers(np.ascontiguousarray(W.T), c, b)
    assert other[0] == log_z
    np.testing.assert_array_equal(other[3].T, products)
    for value, slope in ((b, visible), (c, hidden)):
        value[2] += 1e-5
        there = layers(W, b, c)[0]
        value[2] -= 2e-5
        back = layers(W, b, c)[0]
        value[2] += 1e-5
        assert slope[2] == pytest.approx((there - back) / 2e-5, rel=1e-7)


def test_two_layers_are_spins():
    rng = np.random.default_rng(6)
    W, b, c = 2 * rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=3)
    units = np.array(list(product([0, 1], repeat=7)), dtype=float)
    v, h = units[:, :4], units[:, 4:]
    p = np.exp(v @ b + h @ c + np.sum((v @ W) * h, axis=1))
    log_z, visible, hidden, products = layers(W, b, c)
    assert log_z == pytest.approx(np.log(p.sum()), rel=1e-14)
    p /= p.sum()
    np.testing.assert_allclose(visible, p @ v, rtol=1e-12)
    np.testing.assert_allclose(hidden, p @ h, rtol=1e-12)
    np.testing.assert_allclose(products, np.einsum("s,si,sj->ij", p, v, h), rtol=1e-12)


APPROXIMATIONS = {"naive_mean_field": mean_field, "bethe": bethe, "trw_upper": tree_reweighted}


@pytest.mark.parametrize("name", APPROXIMATIONS)
def test_records_of_approximations(name):
    h = 0.2 * np.random.default_rng(3).normal(size=16)
    problem = Problem(lattice(4, 4), uniform=False, without_field=False)
    theta, K = pt.constant(of_field(h)), pt.constant(np.full(24, 0.3))
    found = APPROXIMATIONS[name].compute(problem, theta, K).eval(mode="FAST_COMPILE")
    assert found == pytest.approx(RECORDS["bounds_free4x4"]["value"][name], rel=1e-11)


@pytest.mark.parametrize("graph", ["lattice", "all", "petersen", "tree"])
@pytest.mark.parametrize("kind", INTERACTIONS)
@pytest.mark.parametrize("strength", [0.1, 0.6])
def test_bounds_are_bounds(graph, kind, strength):
    network = network_on(GRAPHS[graph], INTERACTIONS[kind])
    rng = np.random.default_rng(7)
    theta, K = rng.normal(size=(network.n, network.q)), strength * rng.normal(size=network.m)
    exact = by_transfer(network, theta, K)
    problem = Problem(network, uniform=False, without_field=False)
    logs = {}
    for name, engine in APPROXIMATIONS.items():
        symbols = pt.dmatrix(), pt.dvector()
        log_z = engine.compute(problem, *symbols)
        function = pytensor.function(symbols, [log_z, *pytensor.grad(log_z, symbols)], mode=FAST)
        logs[name], of_theta, of_K = function(theta, K)
        # the derivatives are those of the approximation
        step = 1e-5 * rng.normal(size=network.m)
        there, back = function(theta, K + step)[0], function(theta, K - step)[0]
        assert of_K @ step == pytest.approx((there - back) / 2, rel=1e-4, abs=1e-10)
        np.testing.assert_allclose(of_theta.sum(axis=1), 1.0, rtol=1e-10)
    assert logs["naive_mean_field"] <= exact[0] + 1e-10
    assert logs["trw_upper"] >= exact[0] - 1e-10
    if graph == "tree":
        for name in ("bethe", "trw_upper"):
            assert logs[name] == pytest.approx(exact[0], rel=1e-10)
    else:
        assert logs["naive_mean_field"] < exact[0] < logs["trw_upper"]


def test_messages_that_do_not_settle_are_nan():
    network = network_on(nx.complete_graph(8), SPINS)
    rng = np.random.default_rng(1)
    J = 2.0 * rng.normal(size=network.m)
    log_z, marginals, _ = messages(
        of_field(0.3 * rng.normal(size=8)), J, SPINS, network.edges, np.ones(network.m)
    )
    assert np.isnan(log_z)
    assert np.all(np.isnan(marginals))


def test_orders_find_the_narrow_side():
    for rows, columns, most in ((20, 6, 6), (6, 20, 6), (5, 5, 5)):
        assert best_sweep(lattice(rows, columns)).width <= most
    assert best_sweep(network_on(nx.cycle_graph(50), SPINS)).width <= 2
    assert best_sweep(network_on(nx.path_graph(50), SPINS)).width <= 1 + 1
    assert best_sweep(network_on(nx.balanced_tree(2, 6), SPINS)).width <= 11


def test_a_torus_is_recognised():
    network = lattice(4, 5, periodic=True)
    assert Problem(network, uniform=True, without_field=True).torus == (4, 5)
    assert Problem(lattice(4, 5), uniform=True, without_field=True).torus is None


@pytest.mark.parametrize(
    ("n", "edges", "interaction", "match"),
    [
        (2, [[0, 1]], np.ones((1, 1)), "q = 1"),
        (2, [[0, 2]], SPINS, "leads out of 2 nodes"),
        (2, [[1, 1]], SPINS, "to itself"),
        (3, [[0, 1], [0, 1], [1, 2]], SPINS, "more than once"),
        (4, [[0, 1], [2, 3]], SPINS, "in 2 parts"),
    ],
)
def test_what_is_no_network(n, edges, interaction, match):
    with pytest.raises(NetworkError, match=match):
        Network(n, np.array(edges), interaction)
