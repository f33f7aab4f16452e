"""Latent networks: what sweeps draw from is the tempered posterior, state by state."""

import itertools

import arviz_stats
import networkx as nx
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest

import pm_statmech as pms
from pm_statmech.energy_function import compile_energy_function
from pm_statmech.samplers.network_sweeps import at_beta

from .conftest import within

BETAS = [0.0, 0.37, 1.0, 2.5]
RNG = np.random.default_rng(5)
GRID = nx.grid_2d_graph(2, 3)
TRIANGLE = np.array([[0, 1], [1, 2], [0, 2]])
DATA = RNG.normal(size=(2, 3))
IMPOSSIBLE = np.array([0, 1, 0])


def tempered_spins():
    pms.Ising("s", RNG.normal(size=7), RNG.normal(size=(2, 3)), graph=GRID, beta=0.4)
    return ["s"]


def tempered_labels_given_data():
    s = pms.Potts("s", -0.6, q=3, graph=TRIANGLE, field=RNG.normal(size=(3, 3)), beta=0.7)
    pm.Normal("y", pt.constant([0.0, 1.0, 4.0])[s], 1.0, observed=RNG.normal(size=3))
    return ["s"]


def labels_and_data_tempered_together():
    # the target is the likelihood's, 1, and the labels' own beta a ratio of it
    s = pms.Potts("s", -0.6, q=3, graph=TRIANGLE, field=RNG.normal(size=(3, 3)), beta=0.7)
    pm.Normal("y", pt.constant([0.0, 1.0, 4.0])[s], 1.0, observed=RNG.normal(size=3))
    return ["s", "y"]


def spins_under_noise():
    J, sigma = pm.HalfNormal("J"), pm.HalfNormal("sigma")
    s = pms.Ising("s", J, pm.Normal("h", shape=(2, 3)), graph=GRID)
    pm.Normal("y", s, sigma, observed=DATA)
    return None


def labels_under_a_loss():
    s = pms.BlumeCapel("s", 0.4, 0.3, graph=GRID)
    pms.GibbsLoss(
        "y", pt.cast(s, "float64"), loss=pms.losses.absolute(), observed=DATA, beta=0.3,
        weights=np.arange(1.0, 7.0).reshape(2, 3),
    )  # fmt: skip
    pm.Normal("also", s, 2.0, observed=DATA)
    return ["y"]


def states_that_data_exclude():
    s = pms.BoltzmannMachine("s", 0.5, graph=TRIANGLE)
    pm.Bernoulli("y", pt.constant([0.0, 0.8])[s], observed=IMPOSSIBLE)
    return None


def probabilities_that_fail_at_one_node():
    # p = 1.3 for the last node in state 1: impossible there, and only there
    p = np.array([0.5, 0.5, 0.5, 0.9])
    s = pms.Ising("s", 0.3, graph=nx.cycle_graph(4))
    pm.Bernoulli("y", p=p + 0.4 * s, observed=[1, 0, 1, 1])
    return None


def two_networks():
    s = pms.Ising("s", 0.3, graph=GRID)
    r = pms.Ising("r", 0.2, graph=TRIANGLE)
    pm.Normal("y", s, 1.0, observed=DATA)
    pm.Normal("z", r, 1.0, observed=RNG.normal(size=3))
    return ["y", "s"]


MODELS = [
    tempered_spins, tempered_labels_given_data, labels_and_data_tempered_together,
    spins_under_noise, states_that_data_exclude,
    *(pytest.param(make, marks=pytest.mark.exhaustive) for make in (
        labels_under_a_loss, probabilities_that_fail_at_one_node, two_networks)),
]  # fmt: skip


@pytest.mark.parametrize("make", MODELS, ids=lambda f: f.__name__)
def test_sweeps_draw_from_the_tempered_posterior(make):
    with pm.Model() as model:
        tempered = make()
    split = pms.tempered_model(model, tempered=tempered)
    function = compile_energy_function(split, {"mode": "NUMBA"})
    assert [v.name for v in function.networks] == [
        rv.name for rv in model.free_RVs if rv.type.dtype == "int64"
    ]
    assert len(function.alone) == 0
    start = np.random.default_rng(3).normal(size=function.size)
    start[function.integers[0]] = function.integers[1]
    for latent in function.networks:
        network, values = latent.op.problem.network, latent.op.values
        numbers = np.array(list(itertools.product(range(network.q), repeat=network.n)))
        x = np.tile(start, (len(numbers), 1))
        x[:, latent.position : latent.position + network.n] = values[numbers]
        found = function(x)
        parts = latent.natural(start)
        first, second = network.edges.T
        for beta in BETAS:
            theta, K = (at_beta(a, b, beta) for a, b in zip(*parts, strict=True))
            said = np.sum(theta[np.arange(network.n), numbers], axis=1)
            said = said + network.interaction[numbers[:, first], numbers[:, second]] @ K
            energy = found[:, 1] if beta > 0 else np.zeros(len(x))
            log_p = found[:, 0] - beta * energy
            possible = np.isfinite(log_p)
            assert np.array_equal(possible, np.isfinite(said))
            gap = said[possible] - log_p[possible]
            assert np.ptp(gap) <= 1e-9
            # the control: at another temperature the sweep would draw from something else
            if beta > 0 and np.ptp(found[possible, 1]) > 1e-6:
                assert np.ptp(said[possible] - found[possible, 0] + 1.1 * beta * found[possible, 1])


def sums_of_neighbours():
    s = pms.Ising("s", 0.3, graph=nx.path_graph(3))
    pm.Normal("y", s[:-1] + s[1:], 1.0, observed=[0.3, 1.0])


def a_sum_over_all():
    s = pms.Ising("s", 0.3, graph=nx.path_graph(3))
    pm.Normal("y", pt.sum(s), 1.0, observed=2.0)


def another_network_in_its_field():
    s = pms.Ising("s", 0.3, graph=nx.path_graph(3))
    r = pms.Ising("r", 0.3, 0.5 * s, graph=nx.path_graph(3))
    pm.Normal("y", r, 1.0, observed=[0.3, 1.0, -0.2])


def a_condition_on_all_nodes():
    s = pms.Ising("s", 0.3, graph=nx.path_graph(3))
    pm.Normal("y", 0.0, 1.0 + 0.3 * (s + pt.roll(s, 1)), observed=[0.3, 1.0, -0.2])


def several_rows():
    s = pms.Ising("s", 0.3, graph=nx.path_graph(3), shape=(2, 3))
    pm.Normal("y", s, 1.0, observed=RNG.normal(size=(2, 3)))


@pytest.mark.parametrize(
    "make",
    [
        sums_of_neighbours,
        *(pytest.param(make, marks=pytest.mark.exhaustive) for make in (
            a_sum_over_all, another_network_in_its_field, a_condition_on_all_nodes, several_rows)),
    ],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_elsewhere_nodes_move_one_by_one(make):
    with pm.Model() as model:
        make()
    function = compile_energy_function(pms.tempered_model(model))
    swept = [v.name for v in function.networks]
    assert "s" not in swept
    assert len(function.alone) == model["s"].eval(mode="FAST_COMPILE").size


def enumerated(L, J, h, betas):
    bits = np.arange(2 ** (L * L))[:, None] >> np.arange(L * L) & 1
    s = (2 * bits - 1).reshape(-1, L, L)
    E = -J * (np.sum(s[:, 1:] * s[:, :-1], (1, 2)) + np.sum(s[:, :, 1:] * s[:, :, :-1], (1, 2)))
    E = E - np.sum(h * s, (1, 2))
    found = []
    for beta in betas:
        p = np.exp(-beta * E)
        U = np.average(E, weights=p)
        C = beta**2 * np.average((E - U) ** 2, weights=p)
        found.append((np.log(np.mean(p)), U, C, np.average(s, axis=0, weights=p)))
    return found


@pytest.mark.parametrize("J", [1.0, -1.0], ids=["clusters", "heat bath alone"])
def test_heat_capacity_scan_against_all_states(J):
    h = np.array([[0.8, 0, 0], [0, -0.5, 0], [0, 0.9, 0.4]])
    with pm.Model():
        pms.Ising("s", J, h, graph=nx.grid_2d_graph(3, 3), beta=0.8)
        dt = pms.sample_tempered(
            800, tune=200, chains=4, tempered=["s"], random_seed=4, progressbar=False, quiet=True,
            betas=[0.2],
        )  # fmt: skip
    assert float(dt["posterior"].attrs["target_beta"]) == 0.8
    betas = [0.2, 0.5, 0.8]
    th = pms.thermodynamics(dt, betas=betas)
    for k, (log_z, U, C, _) in enumerate(enumerated(3, J, h, betas)):
        within(th["log_partition"][k], log_z, th["log_partition_mcse"][k])
        within(th["mean_energy"][k], U, th["mean_energy_mcse"][k])
        within(th["heat_capacity"][k], C, th["heat_capacity_mcse"][k])
    [(_, _, _, mean)] = enumerated(3, J, h, [0.8])
    draws = dt["posterior"]["s"].values
    assert draws.dtype.kind == "i"
    assert set(np.unique(draws)) == {-1, 1}
    error = arviz_stats.mcse(dt["posterior"].dataset)["s"].values
    assert np.all(error > 0)
    assert np.max(np.abs(draws.mean((0, 1)) - mean) / error) <= 5.5
    # the control: a field of the other sign
    assert np.max(np.abs(draws.mean((0, 1)) + mean) / error) > 11


@pytest.mark.exhaustive
def test_latent_labels_and_their_coupling_against_enumeration():
    y = np.array([1.3, 0.4, -0.2, -1.1])
    with pm.Model():
        J = pm.Uniform("J", 0, 1)
        s = pms.Ising("s", J, graph=nx.cycle_graph(4))
        pm.Normal("y", s, 0.7, observed=y)
        dt = pms.sample_tempered(
            1500, tune=300, chains=4, random_seed=2, progressbar=False, quiet=True
        )
    states = np.array(list(itertools.product([-1, 1], repeat=4)))
    bonds = np.sum(states * np.roll(states, 1, 1), axis=1)
    grid = (np.arange(2000) + 0.5) / 2000
    prior = np.exp(np.outer(grid, bonds))
    prior = prior / prior.sum(1, keepdims=True)
    like = np.exp(-0.5 * np.sum((y - states) ** 2, 1) / 0.49) / (0.7 * np.sqrt(2 * np.pi)) ** 4
    joint = prior * like
    evidence = pms.log_evidence(dt)
    within(evidence["log_evidence"], np.log(joint.sum() / 2000), evidence["mcse"])
    joint = joint / joint.sum()
    J_mean = joint.sum(1) @ grid
    J_draws = dt["posterior"]["J"]
    within(J_draws.mean(), J_mean, float(J_draws.std()) / np.sqrt(1000))
    mean = joint.sum(0) @ states
    found = dt["posterior"]["s"].mean(("chain", "draw")).values
    assert np.all(np.abs(found - mean) <= 5.5 * np.sqrt((1 - mean**2) / 2000))
    # the control: the labels that the data alone would say
    alone = np.tanh(y / 0.49)
    assert np.max(np.abs(found - alone) / np.sqrt((1 - alone**2) / 2000)) > 5.5


def test_steps_of_pymc_leave_impossible_states_out():
    with pm.Model():
        probabilities_that_fail_at_one_node()
        dt = pm.sample(
            2000, tune=0, chains=2, random_seed=1, progressbar=False, quiet=True,
            compute_convergence_checks=False, compile_kwargs={"mode": "FAST_COMPILE"},
        )  # fmt: skip
    states = np.array(list(itertools.product([-1, 1], repeat=4)))
    p = np.array([0.5, 0.5, 0.5, 0.9]) + 0.4 * states
    y = np.array([1, 0, 1, 1])
    possible = np.all(p <= 1, axis=1)
    like = np.prod(np.where(y, p, 1 - p), axis=1) * possible
    weight = like * np.exp(0.3 * np.sum(states * np.roll(states, 1, 1), axis=1))
    mean = weight / weight.sum() @ states
    found = dt["posterior"]["s"].mean(("chain", "draw")).values
    assert np.all(dt["posterior"]["s"].values[..., 3] == -1)
    assert np.all(np.abs(found - mean)[:3] <= 5.5 * np.sqrt((1 - mean[:3] ** 2) / 1000))


@pytest.mark.exhaustive
def test_dims_and_leaving_one_out():
    y = np.array([1, 0, 1, 1])
    with pm.Model(coords={"node": list("abcd")}):
        s = pms.Ising("s", 0.5, graph=nx.path_graph(4), dims="node")
        pm.Bernoulli("y", logit_p=1.0 * s, observed=y)
        dt = pms.sample_tempered(1500, tune=100, random_seed=2, progressbar=False, quiet=True)
        scan = pms.sample_tempered(
            50, tune=50, tempered=["s", "y"], random_seed=2, progressbar=False, quiet=True
        )
    assert scan["posterior"]["s"].dims == ("chain", "draw", "node")
    assert scan["loss"]["s"].dims == ("chain", "draw")
    states = np.array(list(itertools.product([-1, 1], repeat=4)))
    prior = np.exp(0.5 * np.sum(states[:, 1:] * states[:, :-1], axis=1))
    p = 1 / (1 + np.exp(-states.astype(float)))
    like = np.where(y, p, 1 - p)
    left_out = []
    for i in range(4):
        weight = prior * np.prod(np.delete(like, i, 1), axis=1)
        left_out.append(np.log(weight / weight.sum() @ like[:, i]))
    found = pms.loo(dt)
    np.testing.assert_allclose(found.elpd_i, left_out, atol=0.05)
    # the control: what the posterior itself predicts
    weight = prior * np.prod(like, axis=1)
    inside = np.log(weight / weight.sum() @ like)
    assert np.max(np.abs(inside - left_out)) > 0.05


class TestTemperedNames:
    def test_random_parameters(self):
        with pm.Model() as model:
            pms.Ising("s", pm.HalfNormal("J"), graph=GRID)
        with pytest.raises(pms.errors.TemperedTermError, match=r"depend on \['J'\]"):
            pms.tempered_model(model, tempered=["s"])

    def test_names_that_cannot_be_tempered(self):
        with pm.Model() as model:
            pm.Normal("mu")
            pms.Ising("s", 0.3, graph=GRID)
        with pytest.raises(pms.errors.TemperedTermError, match=r"families \['s'\]"):
            pms.tempered_model(model, tempered=["mu"])
        with pytest.raises(pms.errors.TemperedTermError, match=r"tempered=\['s'\]"):
            pms.tempered_model(model)

    def test_base_measure_is_a_probability(self):
        with pm.Model() as model:
            pms.Potts("s", 0.7, q=3, graph=TRIANGLE, beta=0.4)
        split = pms.tempered_model(model, tempered=["s"])
        f = pytensor.function(
            list(split.value_vars), [split.log_prior, split.energy], mode="FAST_COMPILE"
        )
        found = [f(np.array(s)) for s in itertools.product(range(3), repeat=3)]
        assert np.sum(np.exp([v for v, _ in found])) == pytest.approx(1.0, rel=1e-12)
        # minus the coupling, without beta, for every pair of equal labels
        assert [round(float(e), 12) for _, e in found[:2]] == [-2.1, -0.7]
        assert f(np.array([0, 1, 3]))[0] == -np.inf

    def test_families_by_name_are_not_taken_apart(self):
        # their parameters stand for natural ones
        with pm.Model() as model:
            pms.Zeta("k", 2.0)
            pms.DiscreteGaussian("g", 0.0, 1.0)
            pms.ExponentialFamily("x", [1.0], statistics=lambda x: [x], support=pms.Integers(0, 5))
        for name in ("k", "g"):
            with pytest.raises(pms.errors.TemperedTermError, match=r"families \['x'\]"):
                pms.tempered_model(model, tempered=[name])
        assert pms.tempered_model(model, tempered=["x"]).target_beta == 1.0

    def test_base_measure_without_an_integral(self):
        with pm.Model() as model:
            pms.ExponentialFamily(
                "x", [1.0, -0.5], statistics=lambda x: [x, x**2], support=pms.Interval(0, np.inf)
            )
        with pytest.raises(pms.errors.FamilyError, match="no distribution"):
            pms.tempered_model(model, tempered=["x"])

    def test_temper_is_the_distribution_at_another_beta(self):
        with pm.Model() as model:
            pms.Ising("s", 0.5, 0.2, graph=nx.path_graph(3), beta=0.6)
        hot = pms.temper(model, 0.25, tempered=["s"])
        states = np.array(list(itertools.product([-1, 1], repeat=3)))
        logp = hot.compile_logp(mode="FAST_COMPILE")
        other = pms.Ising.dist(0.5, 0.2, graph=nx.path_graph(3), beta=0.25)
        expected = pm.logp(other, states).eval(mode="FAST_COMPILE")
        found = [logp({"s": s}) for s in states]
        assert np.ptp(found - expected) <= 1e-12

    def test_family_on_a_line(self):
        with pm.Model():
            pms.ExponentialFamily(
                "x", [0.8, -0.3], statistics=lambda x: [x, x**2], support=pms.Integers(0, 6)
            )
            dt = pms.sample_tempered(
                1000, tune=200, chains=2, tempered=["x"], random_seed=1, progressbar=False,
                quiet=True,
            )  # fmt: skip
        x = np.arange(7)
        p = np.exp(0.8 * x - 0.3 * x**2)
        found = pms.log_evidence(dt)
        within(found["log_evidence"], np.log(np.mean(p)), found["mcse"])
        draws = dt["posterior"]["x"]
        p = p / p.sum()
        within(draws.mean(), p @ x, np.sqrt(p @ x**2 - (p @ x) ** 2) / np.sqrt(500))
