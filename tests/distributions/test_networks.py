"""Distributions on networks: listed states, draws, means, derivatives, batches, and mistakes."""

import dataclasses
from itertools import product

import networkx as nx
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.distributions.moments import mean
from scipy import stats

import pm_statmech as pms
from pm_statmech.distributions import network_sums
from pm_statmech.errors import NetworkError
from pm_statmech.log_partition import bethe, by_enumeration, by_kaufman, by_transfer_matrix

from ..conftest import RECORDS, state_with_sum, within

RNG = np.random.default_rng(1)
A = np.triu(RNG.normal(size=(5, 5)), 1)
A = A + A.T
H = 0.5 * RNG.normal(size=5)
XI = RNG.choice([-1.0, 1.0], size=(2, 5))
RING = nx.cycle_graph(5)
SPIN, UNIT, SCORE = (-1, 1), (0, 1), (0, 1, 2)


def value(graph):
    """Evaluate without compiling to native code."""
    return graph.eval(mode="FAST_COMPILE")


def pairs(x, J):
    """Sum over pairs of J_ij x_i x_j."""
    return 0.5 * np.einsum("si,ij,sj->s", x, J, x)


def along_ring(x, f):
    """Sum over the ring's edges."""
    return sum(f(x[:, i], x[:, (i + 1) % 5]) for i in range(5))


# how each is made, a node's states, and minus its energy by numpy
CASES = {
    "ising": (lambda **kw: pms.Ising.dist(A, H, beta=0.7, **kw), SPIN,
              lambda x: 0.7 * (pairs(x, A) + x @ H)),
    "ising on a graph": (lambda **kw: pms.Ising.dist([1, 2, 3, 4, 5.0], H, graph=RING, **kw), SPIN,
              lambda x: sum(J * x[:, i] * x[:, j] for J, (i, j) in
                            zip([1, 2, 3, 4, 5], RING.edges, strict=True)) + x @ H),
    "ising with one coupling": (lambda **kw: pms.Ising.dist(-0.4, 0.2, graph=RING, **kw), SPIN,
              lambda x: -0.4 * along_ring(x, np.multiply) + 0.2 * x.sum(axis=1)),
    "boltzmann": (lambda **kw: pms.BoltzmannMachine.dist(A, H, **kw), UNIT,
                  lambda x: pairs(x, A) + x @ H),
    "potts": (lambda **kw: pms.Potts.dist(0.8, [0.1, 0.5, -0.2], q=3, graph=RING, beta=1.5, **kw),
              SCORE, lambda x: 1.5 * (0.8 * along_ring(x, np.equal)
                                      + np.array([0.1, 0.5, -0.2])[x.astype(int)].sum(axis=1))),
    "blume-capel": (lambda **kw: pms.BlumeCapel.dist(0.5, H, crystal_field=0.3, graph=RING, **kw),
                    (-1, 0, 1), lambda x: 0.5 * along_ring(x, np.multiply) + x @ H
                    - 0.3 * (x**2).sum(axis=1)),
    "ordinal": (lambda **kw: pms.OrdinalMRF.dist(0.2 * A, np.outer(H, [1.0, -0.5]), **kw), SCORE,
                lambda x: pairs(x, 0.2 * A) + (x == 1) @ H - 0.5 * (x == 2) @ H),
    "hopfield": (lambda **kw: pms.Hopfield.dist(XI, 1.3, field=0.2, **kw), SPIN,
                 lambda x: 1.3 * (pairs(x, (XI.T @ XI - 2 * np.eye(5)) / 5) + 0.2 * x.sum(axis=1))),
    "curie-weiss": (lambda **kw: pms.CurieWeiss.dist(5, 1.2, 0.3, **kw), SPIN,
                    lambda x: 1.2 * x.sum(axis=1) ** 2 / 10 + 0.3 * x.sum(axis=1)),
    "few hidden": (lambda **kw: pms.RestrictedBoltzmannMachine.dist(A[:, :2], H, 0.1, **kw), UNIT,
                   lambda x: x @ H + np.log1p(np.exp(0.1 + x @ A[:, :2])).sum(axis=1)),
    "many hidden": (
        lambda **kw: pms.RestrictedBoltzmannMachine.dist(np.tile(A[:, :2], 3), H, 0.1, **kw), UNIT,
        lambda x: x @ H + 3 * np.log1p(np.exp(0.1 + x @ A[:, :2])).sum(axis=1)),
}  # fmt: skip


def listed(states):
    return np.array(list(product(states, repeat=5)), dtype=float)


@pytest.mark.parametrize("name", CASES)
def test_probabilities(name):
    make, states, weight = CASES[name]
    x = listed(states)
    expected = weight(x) - np.logaddexp.reduce(weight(x))
    np.testing.assert_allclose(value(pm.logp(make(), x)), expected, rtol=1e-11, atol=1e-11)
    # other states have probability 0
    strange = np.array([[states[-1] + 1, *[states[0]] * 4], [*[states[0]] * 4, states[0] - 1]])
    np.testing.assert_array_equal(value(pm.logp(make(), strange)), -np.inf)


@pytest.mark.parametrize("name", CASES)
def test_draws_and_means(name):
    make, states, weight = CASES[name]
    x = listed(states)
    p = np.exp(weight(x) - np.logaddexp.reduce(weight(x)))
    np.testing.assert_allclose(value(mean(make())), p @ x, rtol=1e-9, atol=1e-12)
    n = 20_000
    drawn = pm.draw(make(size=n), random_seed=2, mode="FAST_COMPILE")
    assert drawn.dtype == "int64"
    assert drawn.shape == (n, 5)
    number = np.searchsorted(np.array(states), drawn) @ len(states) ** np.arange(5)[::-1]
    counts = np.bincount(number, minlength=len(x))

    def fit(p):
        # states that are hardly ever drawn go together
        kept = n * p > 5
        rare = max(p[~kept].sum(), 1.0 / n)
        expected = np.append(p[kept], rare)
        found = np.append(counts[kept], counts[~kept].sum())
        return stats.chisquare(found, n * expected / expected.sum()).pvalue

    assert fit(p) > 1e-7
    # control: a temperature a little lower is noticed
    assert fit(p**1.3 / np.sum(p**1.3)) < 1e-7


@pytest.mark.parametrize("engine", [by_enumeration, by_transfer_matrix])
def test_derivatives(engine):
    J, h, beta = pt.vector("J", shape=(5,)), pt.vector("h", shape=(5,)), pt.scalar("beta")
    at = {J: np.array([0.3, -0.2, 0.9, 0.1, -0.6]), h: H, beta: 0.8}
    x = np.array([[1, 1, -1, 1, -1], [-1, 1, -1, -1, -1]])
    logp = pt.sum(pm.logp(pms.Ising.dist(J, h, beta=beta, graph=RING, log_partition=engine), x))
    function = pytensor.function([J, h, beta], logp, mode="FAST_COMPILE")
    slopes = pytensor.function([J, h, beta], pytensor.grad(logp, [J, h, beta]), mode="FAST_COMPILE")
    found = np.concatenate([np.ravel(v) for v in slopes(*at.values())])
    values = np.concatenate([np.ravel(v) for v in at.values()])
    for k in range(11):
        there, back = values.copy(), values.copy()
        there[k] += 1e-5
        back[k] -= 1e-5
        difference = function(*np.split(there, [5, 10])[:2], there[10])
        difference = difference - function(*np.split(back, [5, 10])[:2], back[10])
        assert found[k] == pytest.approx(difference / 2e-5, rel=1e-7, abs=1e-8)


def test_batches():
    three = np.array([0.5, 1.0, 2.0])
    y = pms.Ising.dist(A, H, beta=three)
    assert value(y).shape == (3, 5)
    np.testing.assert_allclose(
        value(pm.logp(y, np.ones(5))),
        [value(pm.logp(pms.Ising.dist(A, H, beta=b), np.ones(5))) for b in three],
    )
    several = pms.Potts.dist(three, q=2, graph=nx.path_graph(4))
    # three couplings of the three edges, and not a batch
    assert value(several).shape == (4,)
    assert value(pms.Ising.dist(np.stack([A, 2 * A]), H)).shape == (2, 5)
    assert value(pms.CurieWeiss.dist(3, three)).shape == (3, 3)
    assert value(pms.Hopfield.dist(XI, three)).shape == (3, 5)
    assert value(pms.RestrictedBoltzmannMachine.dist(np.ones((2, 3, 4)))).shape == (2, 3)
    many = pms.Hopfield.dist(np.tile(XI, 12), three, field=0.1)
    assert value(many).shape == (3, 60)
    assert value(pm.logp(many, np.ones(60))).shape == (3,)


@pytest.mark.parametrize("name", ["ising", "ising with one coupling", "potts", "ordinal"])
def test_sums_have_the_likelihood_of_the_table(name):
    make, _, _ = CASES[name]
    table = pm.draw(make(size=50), random_seed=1, mode="FAST_COMPILE")
    kind = type(make().owner.op)
    found = pms.SufficientStatistics(table).of(kind)
    sums = network_sums.sums_of(kind, 50).rv_op(*make().owner.inputs[2:])
    expected = np.sum(value(pm.logp(make(), table)))
    assert value(pm.logp(sums, found)) == pytest.approx(expected, rel=1e-12)
    # sums of draws are the draws' sums: means over many of them
    several = network_sums.sums_of(kind, 50).rv_op(*make().owner.inputs[2:], size=(400,))
    drawn = pm.draw(several, random_seed=2, mode="FAST_COMPILE")
    alone = pm.draw(make(size=20_000), random_seed=3, mode="FAST_COMPILE")
    once = pms.SufficientStatistics(alone).of(kind) / 20_000
    error = drawn.std(axis=0) * np.sqrt(1 / 400 + 50 / 20_000) + 1e-9
    assert drawn.shape == (400, len(found))
    assert np.all(np.abs(drawn.mean(axis=0) - 50 * once) < 5.5 * error)


def test_a_model_of_sums():
    table = pm.draw(CASES["ising"][0](size=200), random_seed=1, mode="FAST_COMPILE")
    logps = []
    for observed in (table, pms.SufficientStatistics(table)):
        with pm.Model() as model:
            J, h = pm.Normal("J", shape=10), pm.Normal("h", shape=5)
            pms.Ising("x", J, h, graph=np.column_stack(np.triu_indices(5, 1)), observed=observed)
        logps.append(model.compile_logp(mode="FAST_COMPILE"))
        point = model.initial_point()
    for shift in (0.0, 0.3, -0.7):
        at = {name: v + shift for name, v in point.items()}
        assert logps[0](at) == pytest.approx(logps[1](at), rel=1e-12)
    with model:
        drawn = pm.sample_prior_predictive(
            5, random_seed=1, compile_kwargs={"mode": "FAST_COMPILE"}
        ).prior_predictive["x"]
    assert drawn.shape == (1, 5, 20)
    # every node is in one of two states in every row
    np.testing.assert_array_equal(drawn[..., 0] + drawn[..., 1], 200)
    assert (
        pms.explain(model, mode="FAST_COMPILE").loc["x", "normaliser"] == "enumeration of 5 nodes"
    )
    with pm.Model(), pytest.raises(NetworkError, match="potentials and edges"):
        pms.CurieWeiss("c", 5, observed=pms.SufficientStatistics(table))


def test_means_of_batches():
    """Where only one of the parameters has a batch, the others' means are not added up."""
    K = np.array([[0.5, 0.3], [1.0, -0.7], [0.0, 0.0]])
    graph = nx.path_graph(3)
    makers = {
        "ising": (lambda k: pms.Ising.dist(K[k], 0.4, graph=graph)),
        "potts": (lambda k: pms.Potts.dist(K[k], q=3, graph=graph)),
        "curie-weiss": (lambda k: pms.CurieWeiss.dist(
            4, beta=np.array([0.5, 1.0, 2.0])[k], field=0.3)),
        "layers": (lambda k: pms.RestrictedBoltzmannMachine.dist(
            np.linspace(-1, 1, 24).reshape(3, 4, 2)[k], 0.2, 0.1)),
        "hopfield": (lambda k: pms.Hopfield.dist(
            np.tile(XI, 12), np.array([0.5, 1.0, 2.0])[k], field=0.1)),
    }  # fmt: skip
    for make in makers.values():
        together = value(mean(make(slice(None))))
        np.testing.assert_allclose(together[1], value(mean(make(1))), rtol=1e-9, atol=1e-12)
    torus = pms.Ising.dist(0.3, graph=nx.grid_2d_graph(4, 4, periodic=True))
    np.testing.assert_array_equal(value(mean(torus)), np.zeros((4, 4)))


@pytest.mark.exhaustive
def test_fields_of_lattices_by_shape_or_number():
    graph = nx.grid_2d_graph(2, 3)
    h = np.random.default_rng(0).normal(size=(4, 2, 3))
    x = np.ones((2, 3), dtype=int)
    by_shape = value(pm.logp(pms.Ising.dist(0.3, h, graph=graph), x))
    by_number = value(pm.logp(pms.Ising.dist(0.3, h.reshape(4, 6), graph=graph), x))
    np.testing.assert_allclose(by_shape, by_number)
    with pytest.raises(NetworkError, match=r"\(3, 2\), and the network nodes of shape \(2, 3\)"):
        pms.Ising.dist(0.3, np.ones((3, 2)), graph=graph)
    with pytest.raises(NetworkError, match=r"nodes of shape \(2, 3\) and 3 states"):
        pms.Potts.dist(0.3, np.ones((3, 2, 3)), q=3, graph=graph)


@pytest.mark.parametrize("mode", ["FAST_COMPILE", "NUMBA"])
def test_lengths_that_are_known_late_are_looked_at(mode):
    graph = nx.path_graph(4)
    K, h, H = pt.vector("K"), pt.vector("h"), pt.matrix("H")
    cases = [
        (pms.Potts.dist(K, q=3, graph=graph), {K: np.ones(5)}),
        (pms.Ising.dist(0.3, h, graph=graph), {h: np.ones(3)}),
        (pms.Potts.dist(0.3, H, q=3, graph=graph), {H: np.ones((4, 5))}),
    ]
    for x, given in cases:
        log_z = x.owner.op.log_partition(*x.owner.inputs[2:])
        # draws read the same parameters, and take long to compile
        for graph_of in (log_z, x) if mode == "FAST_COMPILE" else (log_z,):
            function = pytensor.function(list(given), graph_of, mode=mode)
            with pytest.raises((ValueError, AssertionError, IndexError)):
                function(*given.values())


def test_data_of_another_length_are_noticed():
    with pm.Model() as model:
        with pytest.raises(NetworkError, match=r"shape \(5, 3\)"):
            pms.CurieWeiss("x", 4, 1.0, observed=pm.Data("data", np.ones((5, 3), int)))
        good = pm.Data("good", np.ones((5, 4), int))
        pms.CurieWeiss("y", 4, 1.0, observed=good)
    logp = model.compile_logp(mode="FAST_COMPILE")
    assert np.isfinite(logp({}))
    with model:
        good.set_value(np.ones((5, 3), dtype=good.type.dtype))
    with pytest.raises(AssertionError):
        logp({})


def test_engines_of_the_same_name_are_told_apart():
    mine = dataclasses.replace(by_transfer_matrix, compute=lambda problem, theta, K: 0 * K + 123.0)
    theirs = pms.Ising.dist(0.3, 0.1, graph=RING, log_partition=by_transfer_matrix)
    x = pms.Ising.dist(0.3, 0.1, graph=RING, log_partition=mine)
    assert x.owner.op.engine is mine
    assert theirs.owner.op.engine is by_transfer_matrix


def test_strong_couplings_on_a_torus():
    torus = nx.grid_2d_graph(4, 6, periodic=True)
    for K in (140.0, 151.0, 360.0, 1e5, -360.0):
        x = pms.Ising.dist(K, graph=torus)
        ordered = np.ones((4, 6), dtype=int)
        if K < 0:
            ordered[np.add(*np.indices((4, 6))) % 2 == 1] = -1
        # what is subtracted is 48 K
        rounding = 1e-15 * 48 * abs(K)
        assert value(pm.logp(x, ordered)) == pytest.approx(-np.log(2), abs=rounding)


def test_lattices_have_two_axes():
    graph = nx.grid_2d_graph(3, 4)
    J = np.linspace(-1, 1, len(graph.edges))
    field = np.arange(12.0).reshape(3, 4) / 10
    with pm.Model(coords={"row": range(3), "col": range(4), "map": range(2)}) as model:
        drawn = value(pms.Ising.dist(J, field, graph=graph, size=2))
        pms.Ising("maps", J, field, graph=graph, observed=drawn, dims=("map", "row", "col"))
        latent = pms.Ising("latent", 0.3, graph=graph, dims=("row", "col"))
    assert drawn.shape == (2, 3, 4)
    assert latent.type.ndim == 2
    expected = np.sum(field * drawn, axis=(1, 2))
    for coupling, ((r, c), (s, d)) in zip(J, graph.edges, strict=True):
        expected += coupling * drawn[:, r, c] * drawn[:, s, d]
    [logp] = model.logp(model["maps"], sum=False)
    found = logp.eval(mode="FAST_COMPILE")
    # up to the one log Z
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=1e-9)


def test_labelled_nodes_and_edges():
    graph = nx.Graph([("b", "a"), ("a", "c")])
    x = pms.Ising.dist([1.0, -0.5], graph=graph)
    # nodes as the graph has them: b, a, c
    states = np.array(list(product(SPIN, repeat=3)))
    weight = states[:, 0] * states[:, 1] - 0.5 * states[:, 1] * states[:, 2]
    found = value(pm.logp(x, states))
    np.testing.assert_allclose(found, weight - np.logaddexp.reduce(weight), rtol=1e-12)
    same = pms.Ising.dist([1.0, -0.5], None, graph=np.array([[0, 1], [1, 2]]))
    np.testing.assert_allclose(value(pm.logp(same, states)), found)


def test_engines_are_chosen_and_said():
    torus = nx.grid_2d_graph(4, 6, periodic=True)
    J = pt.scalar("J")
    engines = {
        "Kaufman's closed form of 24 nodes": pms.Ising.dist(J, graph=torus),
        "transfer matrix of 24 nodes": pms.Ising.dist(J, 0.1, graph=torus),
        "enumeration of 5 nodes": pms.Ising.dist(A),
        "transfer matrix of 36 nodes": pms.Ising.dist(J, graph=nx.grid_2d_graph(6, 6)),
        # negative couplings of an odd torus are frustrated
        "transfer matrix of 15 nodes": pms.Ising.dist(
            J, graph=nx.grid_2d_graph(3, 5, periodic=True)
        ),
    }
    for said, x in engines.items():
        assert x.owner.op.engine_said() == said
    # all the same
    logs = [
        value(pm.logp(pms.Ising.dist(-0.3, graph=torus, log_partition=engine), np.ones((4, 6))))
        for engine in (by_kaufman, by_transfer_matrix, by_enumeration)
    ]
    np.testing.assert_allclose(logs, logs[0], rtol=1e-12)
    odd = pms.Ising.dist(
        -0.3, graph=nx.grid_2d_graph(3, 5, periodic=True), log_partition=by_kaufman
    )
    assert np.isnan(value(pm.logp(odd, np.ones((3, 5)))))


def test_the_posterior_of_beta_on_a_torus():
    record = RECORDS["posterior_beta_L8_S76"]
    # a state with that sum over bonds: any will do, as the sum is sufficient
    x = state_with_sum(record["parameters"]["S"])
    with pm.Model():
        beta = pm.Uniform("beta", 0, 1)
        pms.Ising("x", 1.0, beta=beta, graph=nx.grid_2d_graph(8, 8, periodic=True), observed=x)
        dt = pm.sample(1000, tune=500, chains=2, cores=1, random_seed=1, progressbar=False,
                       compile_kwargs={"mode": "NUMBA"}, nuts_sampler="pymc")  # fmt: skip
    draws = dt.posterior["beta"].values
    # of correlated draws
    import arviz as az

    ess = float(az.ess(dt)["beta"])
    within(draws.mean(), record["value"], record["sd"] / np.sqrt(ess))
    assert draws.std() == pytest.approx(record["sd"], rel=0.15)


def test_what_it_costs():
    with pm.Model() as model:
        J = pm.Normal("J", shape=5)
        pms.Ising("x", J, graph=RING, observed=np.ones((3, 5)))
        pms.RestrictedBoltzmannMachine("v", J[:, None], observed=np.ones((3, 5)))
        pms.CurieWeiss("c", 5, pt.exp(J[0]), observed=np.ones((3, 5)))
        pms.Hopfield("m", XI, pt.exp(J[0]), observed=np.ones((3, 5)))
    found = pms.explain(model, mode="FAST_COMPILE")
    assert found.loc["x", "normaliser"] == "transfer matrix of 5 nodes"
    assert found.loc["v", "normaliser"] == "sum over 2^1 states of the smaller layer"
    assert found.loc["c", "normaliser"] == "sum over magnetisations of 5 nodes"
    assert found.loc["m", "normaliser"] == "enumeration of 5 nodes"
    assert np.all(found["error"] == 0)


def test_asymmetric_random_couplings_are_refused():
    with pm.Model() as model:
        J = pm.Normal("J", shape=(3, 3))
        pms.Ising("x", J, observed=np.ones((2, 3)))
    logp = model.compile_logp(mode="FAST_COMPILE")
    with pytest.raises(NetworkError, match="Fill both triangles"):
        logp({"J": np.arange(9.0).reshape(3, 3)})
    assert np.isfinite(logp({"J": A[:3, :3]}))


FULL = np.ones((30, 30)) - np.eye(30)
LARGE = nx.grid_2d_graph(40, 40)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: pms.Ising("x", A[:3, :3], observed=[[0, 1, 1]]), "state 0.*BoltzmannMachine"),
        (lambda: pms.BoltzmannMachine("x", A[:3, :3], observed=[[-1, 1, 1]]), "-1.*Take Ising"),
        (lambda: pms.Potts("x", 1.0, q=2, graph=RING, observed=[[0, 1, 2, 1, 0]]), "state 2"),
        (lambda: pms.Ising("x", A, observed=np.ones((3, 4))), r"shape \(3, 4\).*\(N, 5\)"),
        (lambda: pms.Ising("x", A, observed=[[1, 1, np.nan, 1, 1]]), "missing entries"),
        (lambda: pms.Ising.dist(np.array([[0, 1.0], [2, 0]])), "not symmetric"),
        (lambda: pms.Ising.dist(np.ones((2, 2))), "diagonal"),
        (lambda: pms.Ising.dist(np.full((2, 2), np.nan)), "not finite"),
        (lambda: pms.Ising.dist(1.0), "without graph="),
        (lambda: pms.Ising.dist(1.0, graph=nx.Graph([(0, 1), (2, 3)])), "in 2 parts"),
        (lambda: pms.Ising.dist(1.0, graph=nx.DiGraph([(0, 1)])), "directed"),
        (lambda: pms.Ising.dist(1.0, graph=np.ones((2, 3))), r"float64 of shape \(2, 3\)"),
        (lambda: pms.Ising.dist(1.0, graph=np.array([[0, 0]])), "to itself"),
        (lambda: pms.Ising.dist([1.0, 2.0], graph=RING), "2 entries and the graph 5 edges"),
        (lambda: pms.Ising.dist(1.0, [1.0, 2.0], graph=RING), r"\(2,\), and the network nodes"),
        (lambda: pms.Ising.dist(A, graph=RING), "matrix alone"),
        (lambda: pms.Ising.dist(1.0, graph=nx.Graph()), "no node"),
        (lambda: pms.Ising.dist(1.0, graph=np.empty((0, 2), dtype=int)), "no edge"),
        (lambda: pms.Ising("x", A, observed=[list("abcde")]), "are numbers"),
        (lambda: pms.Potts.dist(1.0, q=2.5, graph=RING), "q = 2.5"),
        (lambda: pms.Potts.dist(1.0, 0.5, q=3, graph=RING), "one for each of the 3 states"),
        (lambda: pms.Hopfield.dist(XI, -1.0), "positive"),
        (lambda: pms.Ising.dist(1.0, beta=np.nan, graph=RING), "beta"),
        (lambda: pms.Potts.dist(1.0, q=1, graph=RING), "q = 1"),
        (lambda: pms.Potts.dist(1.0, [1.0, 2.0], q=3, graph=RING), "2 entries a node for 3"),
        (lambda: pms.OrdinalMRF.dist(A, pt.matrix()), "unknown number of thresholds"),
        (
            lambda: pm.logp(pms.Ising.dist(FULL), np.ones(30)),
            r"no exact engine.*2\^30 states.*multiplications",
        ),
        (lambda: pms.Ising.dist(FULL, log_partition=by_enumeration), r"2\^30 states"),
        (
            lambda: pms.Ising("x", 1.0, 0.1, graph=LARGE, observed=np.ones((40, 40))),
            r"no exact engine.*1600 nodes",
        ),
        (lambda: pms.Ising.dist(1.0, graph=LARGE, log_partition=by_transfer_matrix), "GiB"),
        (lambda: pms.Ising.dist(1.0, 0.1, graph=RING, log_partition=by_kaufman), "not a torus"),
        (lambda: pms.Potts.dist(1.0, q=3, graph=RING, log_partition=by_enumeration), "two states"),
        (lambda: pms.Hopfield.dist(pt.matrix()), "constants"),
        (lambda: pms.Hopfield.dist(np.ones((6, 100))), "grid of"),
        (lambda: pms.Hopfield.dist(np.ones((1, 100)), -1.0), "positive"),
        (lambda: pms.CurieWeiss.dist(1, 1.0), "n = 1"),
        (lambda: pms.RestrictedBoltzmannMachine.dist(np.ones((30, 30))), r"2\^30"),
        (lambda: pms.RestrictedBoltzmannMachine.dist(np.ones((3, 2)), [1.0, 2.0]), "2 entries"),
        (lambda: pms.RestrictedBoltzmannMachine.dist(np.ones(3)), r"\(n, k\)"),
    ],
)
def test_mistakes_are_named(make, match):
    with pm.Model(), pytest.raises(NetworkError, match=match):
        make()


def test_what_needs_no_log_partition_needs_no_engine():
    x = pms.Ising.dist(0.2, 0.1, graph=LARGE)
    drawn = pms.sample_network(x, 300, tune=50, chains=2, random_seed=1)
    assert drawn["posterior"]["x"].shape == (2, 300, 40, 40)
    with pm.Model() as model:
        pms.Ising("s", 1.0, 0.1, graph=LARGE, beta=0.2)
    assert pms.tempered_model(model, tempered=["s"]).target_beta == 0.2
    assert pms.explain(model).loc["s", "normaliser"] == "none: no exact engine reaches it"
    with pytest.raises(NetworkError, match="no exact engine"):
        model.logp()


def test_approximations_say_that_they_are():
    with pm.Model() as model:
        J = pm.Normal("J")
        pms.Ising("x", J, graph=LARGE, log_partition=bethe, observed=np.ones((40, 40)))
    found = pms.explain(model, mode="FAST_COMPILE")
    assert found.loc["x", "normaliser"] == "Bethe's approximation of 1600 nodes"
    assert np.isnan(found.loc["x", "error"])


def test_record_of_a_maximum_likelihood():
    record = RECORDS["pairwise_maxent_n5_mle"]
    theta, t = np.array(record["theta_mle"]), np.array(record["parameters"]["suff_stats"])
    i, j = np.triu_indices(5, 1)
    h, J = pt.dvector("h"), pt.dvector("J")
    x = pms.Ising.dist(J, h, graph=np.column_stack([i, j]))
    log_z = x.owner.op.log_partition(*x.owner.inputs[2:])
    f = pytensor.function([h, J], [log_z, *pytensor.grad(log_z, [h, J])], mode="FAST_COMPILE")
    value, *means = f(theta[:5], theta[5:])
    # at the maximum the means are the data's
    np.testing.assert_allclose(np.concatenate(means), t, atol=1e-9)
    assert theta @ t - value == pytest.approx(record["value"], rel=1e-12)
    # standard errors, by the covariance of all states
    states = np.array(list(product([-1, 1], repeat=5)))
    T = np.column_stack([states, states[:, i] * states[:, j]])
    p = np.exp(T @ theta - value)
    covariance = np.cov(T.T, aweights=p, bias=True)
    errors = np.sqrt(np.diag(np.linalg.inv(covariance)) / record["parameters"]["N"])
    np.testing.assert_allclose(errors, record["se_mle"], rtol=1e-8)
