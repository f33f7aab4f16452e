"""Kac and Ward's determinant: records, the transfer matrix, and when it says that it cannot."""

import networkx as nx
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.gradient import NullTypeGradError

import pm_statmech as pms
from pm_statmech.errors import NetworkError
from pm_statmech.log_partition import by_kac_ward, by_transfer_matrix
from pm_statmech.log_partition.planar import kac_ward, planar_edges

from .conftest import RECORDS
from .test_network_engines import by_transfer, lattice, named, network_on

FAST = "FAST_COMPILE"
SPINS = np.array([[1.0, -1.0], [-1.0, 1.0]])
RNG = np.random.default_rng(17)
PLANAR = {
    "pair": nx.path_graph(2),
    "ring": nx.cycle_graph(7),
    "star": nx.star_graph(6),
    "tree": nx.random_labeled_tree(15, seed=1),
    "lattice": nx.grid_2d_graph(4, 6),
    "triangles": nx.triangular_lattice_graph(4, 5),
    "hexagons": nx.hexagonal_lattice_graph(2, 3),
    "wheel": nx.wheel_graph(8),
    "all": nx.complete_graph(4),
    "dodecahedron": nx.dodecahedral_graph(),
    "icosahedron": nx.icosahedral_graph(),
}


def by_determinant(network, K):
    p = planar_edges(network)
    log_z, mean = kac_ward(K, p.edge, p.starts, p.turns, p.angles)
    return log_z + network.n * np.log(2.0), mean


@pytest.mark.parametrize("name", named("ising2d_free"))
def test_records_of_free_lattices(name):
    p = RECORDS[name]["parameters"]
    network = lattice(p["Lx"], p["Ly"])
    found, _ = by_determinant(network, np.full(network.m, p["beta"]))
    assert found == pytest.approx(RECORDS[name]["value"], rel=1e-12)


@pytest.mark.parametrize("name", PLANAR)
@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
def test_against_the_transfer_matrix(name, scale):
    graph = nx.convert_node_labels_to_integers(PLANAR[name])
    network = network_on(graph, SPINS)
    K = scale * RNG.normal(size=network.m)
    log_z, _, products = by_transfer(network, np.zeros((network.n, 2)), K)
    found, mean = by_determinant(network, K)
    assert found == pytest.approx(log_z, rel=1e-12)
    np.testing.assert_allclose(mean, products, atol=1e-9)
    # the control: with the turns the other way round for one layer the loops would not cancel
    p = planar_edges(network)
    if len(p.turns) > 6 and scale:
        wrong = np.where(np.arange(len(p.angles)) % 3 == 0, p.angles + 2 * np.pi, p.angles)
        other, _ = kac_ward(K, p.edge, p.starts, p.turns, wrong)
        has_loops = network.m >= network.n
        assert not has_loops or not abs(other + network.n * np.log(2.0) - log_z) < 1e-9


def test_ferromagnet_of_any_strength():
    network = lattice(12, 12)
    for strength in (5.0, 30.0, 300.0):
        K = np.full(network.m, strength)
        found, mean = by_determinant(network, K)
        # all spins equal, up or down, and the first turned ones at a corner
        assert found == pytest.approx(strength * network.m + np.log(2), rel=1e-9)
        np.testing.assert_allclose(mean, 1.0, atol=1e-7)


def test_frustrated_and_cold_spins_are_nan_before_they_are_wrong():
    network = lattice(9, 9)
    signs = RNG.choice([-1.0, 1.0], size=network.m)
    seen = []
    for strength in (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0):
        log_z, _, products = by_transfer(
            network, np.zeros((network.n, 2)), strength * signs
        )  # fmt: skip
        found, mean = by_determinant(network, strength * signs)
        seen.append(np.isnan(found))
        if not np.isnan(found):
            assert found == pytest.approx(log_z, rel=1e-11)
            np.testing.assert_allclose(mean, products, atol=1e-7)
        else:
            assert np.all(np.isnan(mean))
    assert not seen[0]
    assert seen[-1]


def test_nothing_that_is_not_finite_raises():
    triangles = network_on(
        nx.convert_node_labels_to_integers(nx.triangular_lattice_graph(4, 5)), SPINS
    )
    for K in (-5.0, -20.0, -800.0, np.nan, np.inf):
        log_z, mean = by_determinant(triangles, np.full(triangles.m, K))
        assert np.isnan(log_z)
        assert np.all(np.isnan(mean))


def test_in_a_model():
    graph = nx.grid_2d_graph(20, 20)
    J = pt.dscalar("J")
    x = pms.Ising.dist(J, graph=graph)
    assert x.owner.op.engine is by_kac_ward
    log_z = x.owner.op.log_partition(*x.owner.inputs[2:])
    f = pytensor.function([J], [log_z, pytensor.grad(log_z, J)], mode=FAST)
    for value in (-0.4, 0.4):
        h = 1e-4
        (low, _), (_, slope), (high, _) = f(value - h), f(value), f(value + h)
        assert slope == pytest.approx((high - low) / (2 * h), rel=1e-6)
    # a lattice without odd rings does not know the sign
    np.testing.assert_allclose(f(-0.4)[0], f(0.4)[0], rtol=1e-13)
    with pytest.raises(NullTypeGradError, match="second derivatives"):
        pytensor.function([J], pytensor.grad(pytensor.grad(log_z, J), J), mode=FAST)


def test_potts_labels_of_two_states():
    graph = nx.grid_2d_graph(3, 4)
    pair = [
        pms.Potts.dist(0.8, q=2, graph=graph, log_partition=engine)
        for engine in (by_kac_ward, by_transfer_matrix)
    ]
    found = [
        x.owner.op.log_partition(*x.owner.inputs[2:]).eval(mode=FAST).item() for x in pair
    ]  # fmt: skip
    assert found[0] == pytest.approx(found[1], rel=1e-12)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda e: pms.Ising.dist(0.3, graph=nx.complete_graph(5), log_partition=e), "crossings"),
        (lambda e: pms.Ising.dist(0.3, 0.1, graph=nx.path_graph(4), log_partition=e), "field"),
        (lambda e: pms.BoltzmannMachine.dist(0.3, graph=nx.path_graph(4), log_partition=e),
         "change places"),
        (lambda e: pms.Potts.dist(0.3, q=3, graph=nx.path_graph(4), log_partition=e), "two states"),
    ],
    ids=["K5", "field", "0 and 1", "three states"],
)  # fmt: skip
def test_what_it_is_not_for(make, match):
    with pytest.raises(NetworkError, match=match):
        make(by_kac_ward)
