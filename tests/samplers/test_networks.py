"""Chains on networks against exact means, and posteriors without log Z against those with it."""

from itertools import product

import arviz as az
import networkx as nx
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pm_statmech as pms
from pm_statmech.errors import MixingWarning, NetworkError
from pm_statmech.log_partition import bethe
from pm_statmech.log_partition.kaufman import torus

from ..conftest import RECORDS, state_with_sum, within

TORUS = nx.grid_2d_graph(8, 8, periodic=True)


@pytest.mark.parametrize("beta", [0.2, 0.4, 0.5])
@pytest.mark.parametrize("moves", [pms.heat_bath, pms.swendsen_wang, pms.wolff])
def test_mean_energies_on_a_torus(beta, moves):
    thin = 20 if moves is pms.wolff else 5
    dt = pms.sample_network(
        pms.Ising.dist(1.0, beta=beta, graph=TORUS), 1500, thin=thin, moves=moves, random_seed=3,
        chains=2,
    )  # fmt: skip
    _, in_rings, between = torus(beta, beta, 8, 8)
    log_weight = dt.sample_stats["log_weight"]
    error = float(az.mcse(dt.sample_stats.to_dataset())["log_weight"])
    within(log_weight.mean(), beta * (in_rings + between), error)
    # control: the next temperature's mean is noticed
    _, in_rings, between = torus(beta + 0.03, beta + 0.03, 8, 8)
    assert abs(float(log_weight.mean()) - beta * (in_rings + between)) > 5.5 * error
    assert set(np.unique(dt.posterior["x"])) == {-1, 1}
    assert dt.posterior["x"].dims == ("chain", "draw", "x_dim_0", "x_dim_1")
    assert dt.posterior.attrs["moves"] == moves.said


def test_fields_and_labels_against_exact_draws():
    graph = nx.grid_2d_graph(4, 5)
    field = np.random.default_rng(1).normal(size=(4, 5, 3))
    x = pms.Potts.dist(0.7, field, q=3, graph=graph)
    exact = pm.draw(
        pms.Potts.dist(0.7, field, q=3, graph=graph, size=4000), random_seed=1, mode="FAST_COMPILE"
    )
    for moves in (pms.heat_bath, pms.swendsen_wang):
        found = pms.sample_network(x, 1000, thin=3, moves=moves, random_seed=2)
        for s in range(3):
            here = (found.posterior["x"] == s).astype(float)
            p = np.mean(exact == s, axis=0)
            z = (here.mean(("chain", "draw")) - p) / np.sqrt(p * (1 - p) / 2000 + 1e-5)
            assert np.max(np.abs(z)) < 5.5


@pytest.mark.filterwarnings("ignore::pm_statmech.errors.MixingWarning")
def test_the_same_seed_gives_the_same_chain():
    x = pms.Ising.dist(0.3, graph=TORUS)
    for moves in (pms.heat_bath, pms.swendsen_wang, pms.wolff):
        runs = [pms.sample_network(x, 50, moves=moves, random_seed=s, chains=2) for s in (1, 1, 2)]
        np.testing.assert_array_equal(runs[0].posterior["x"], runs[1].posterior["x"])
        assert np.any(runs[0].posterior["x"] != runs[2].posterior["x"])
        assert np.any(runs[0].posterior["x"][0] != runs[0].posterior["x"][1])


def test_chains_that_do_not_mix_are_said():
    large = nx.grid_2d_graph(32, 32, periodic=True)
    with pytest.warns(MixingWarning, match="R-hat"):
        pms.sample_network(
            pms.Ising.dist(0.6, graph=large), 50, tune=5, moves=pms.heat_bath, random_seed=1
        )


def test_draws_of_what_no_table_holds():
    large = nx.grid_2d_graph(40, 40, periodic=True)
    x = pms.Ising.dist(0.35, graph=large, size=60)
    assert x.owner.op.drawn_by() is None
    drawn = pm.draw(x, random_seed=1, mode="FAST_COMPILE")
    energy = np.sum(drawn * np.roll(drawn, 1, 1) + drawn * np.roll(drawn, 1, 2), axis=(1, 2))
    _, in_rings, between = torus(0.35, 0.35, 40, 40)
    within(energy.mean(), in_rings + between, energy.std() / np.sqrt(60))
    # batches do not share their random numbers
    both = pms.Ising.dist(0.35, graph=large, beta=np.ones(2))
    first, second = pm.draw(both, random_seed=1, mode="FAST_COMPILE")
    assert np.mean(first == second) < 0.9


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: pms.sample_network(pm.Normal.dist()), "not a variable on a network"),
        (lambda: pms.sample_network(pms.Ising.dist(0.3, beta=[1.0, 2.0], graph=TORUS)), "batch"),
        (
            lambda: pms.sample_network(pms.Ising.dist(-0.3, graph=TORUS), moves=pms.wolff),
            "coupling -0.3 makes neighbours differ",
        ),
        (
            lambda: pms.sample_network(
                pms.BlumeCapel.dist(0.3, graph=TORUS, log_partition=pms.log_partition.bethe),
                moves=pms.swendsen_wang,
            ),
            "not one of equal states",
        ),
    ],
)
def test_mistakes_are_named(make, match):
    with pytest.raises(NetworkError, match=match):
        make()


@pytest.fixture(scope="module")
def torus_model():
    with pm.Model() as model:
        beta = pm.Uniform("beta", 0, 1)
        pms.Ising(
            "x", 1.0, beta=beta, graph=TORUS, observed=state_with_sum(76),
            # any will do: the step does not use it
            log_partition=pms.log_partition.bethe,
        )  # fmt: skip
    return model


def exchanged(model, moves, sweeps, draws=1500):
    with model:
        step = pms.ExchangeStep(moves=moves, sweeps=sweeps, compile_kwargs={"mode": "FAST_COMPILE"})
        return pm.sample(
            draws, tune=500, chains=2, cores=1, step=step, random_seed=3, progressbar=False,
            compute_convergence_checks=False,
        )  # fmt: skip


def test_the_posterior_of_beta_without_log_z(torus_model):
    record = RECORDS["posterior_beta_L8_S76"]
    dt = exchanged(torus_model, pms.swendsen_wang, 20)
    within(dt.posterior["beta"].mean(), record["value"], float(az.mcse(dt)["beta"]))
    error = float(az.mcse(dt, method="sd")["beta"])
    within(dt.posterior["beta"].std(), record["sd"], error)
    stats = dt.sample_stats
    assert 0.1 < float(stats["accept"].mean()) < 0.6
    assert 0.1 < float(np.isfinite(stats["start_difference"]).mean()) < 0.3


def test_an_inner_chain_that_is_too_short_is_flagged(torus_model):
    record = RECORDS["posterior_beta_L8_S76"]
    with pytest.warns(MixingWarning, match="inner chain of 1 sweeps is too short"):
        dt = exchanged(torus_model, pms.heat_bath, 1, draws=500)
    # and it would have been wrong
    assert float(dt.posterior["beta"].std()) > 1.5 * record["sd"]


@pytest.mark.exhaustive
def test_couplings_and_fields_by_exchange():
    """Several parameters, rows of data, and other terms of the model, against the exact one."""
    rng = np.random.default_rng(4)
    graph = nx.cycle_graph(4)
    x = pm.draw(
        pms.Ising.dist([0.5, -0.4, 0.3, 0.1], [0.2, 0.0, -0.3, 0.1], graph=graph, size=40),
        random_seed=rng, mode="FAST_COMPILE",
    )  # fmt: skip
    with pm.Model() as model:
        J = pm.Normal("J", 0.0, 0.5, shape=4)
        h = pm.Normal("h", 0.0, 0.5)
        pms.Ising("x", J, h, graph=graph, observed=x)
        pm.Normal("also", h, 0.5, observed=0.3)
        exact = pm.sample(
            1000, tune=1000, chains=2, cores=1, random_seed=5, progressbar=False,
            nuts_sampler="pymc", compute_convergence_checks=False, target_accept=0.95,
        )  # fmt: skip
    found = exchanged(model, pms.heat_bath, 10, draws=4000)
    for name in ("J", "h"):
        first, second = found.posterior[name], exact.posterior[name]
        error = np.hypot(az.mcse(found)[name].values, az.mcse(exact)[name].values)
        z = (first.mean(("chain", "draw")).values - second.mean(("chain", "draw")).values) / error
        assert np.all(np.abs(z) < 5.5)


def test_the_exchange_step_refuses():
    with pm.Model():
        beta = pm.Uniform("beta", 0, 1)
        with pytest.raises(NetworkError, match="observed networks are none"):
            pms.ExchangeStep([beta])
    with pm.Model():
        J, h = pm.Normal("J"), pm.Normal("h")
        pms.Ising("x", J, h, graph=SQUARE, observed=np.ones((3, 3)), log_partition=bethe)
        with pytest.raises(NetworkError, match="depends on h too"):
            pms.ExchangeStep([J])
        table = pms.SufficientStatistics(np.ones((2, 3, 3)))
        pms.Ising("y", J, graph=SQUARE, observed=table, log_partition=bethe)
        with pytest.raises(NetworkError, match="log Z of y is an approximation"):
            pms.ExchangeStep(network="x")
    with pm.Model():
        k = pm.Poisson("k", 1.0)
        pms.Ising("x", 0.1 * k, graph=TORUS, observed=state_with_sum(76))
        with pytest.raises(NetworkError, match="k is discrete"):
            pms.ExchangeStep()


SQUARE = nx.grid_2d_graph(3, 3)
NOISY = np.random.default_rng(1).normal(size=(3, 3))


def listed_means(weight):
    """Means of nine spins by all 512 states, in the field of a function of (512, 3, 3)."""
    x = np.array(list(product([-1.0, 1.0], repeat=9)))
    number = {v: k for k, v in enumerate(SQUARE)}
    exponents = weight(x.reshape(-1, 3, 3))
    for u, v in SQUARE.edges:
        exponents = exponents + 0.4 * x[:, number[u]] * x[:, number[v]]
    p = np.exp(exponents - exponents.max())
    return (p / p.sum() @ x).reshape(3, 3)


def by_node(x):
    pm.Normal("y", x, 1.0, observed=NOISY)
    return lambda x: -0.5 * np.sum((NOISY - x) ** 2, axis=(1, 2))


def by_sum(x):
    pm.Normal("y", x.sum(), 2.0, observed=1.7)
    return lambda x: -0.5 * ((1.7 - x.sum(axis=(1, 2))) / 2) ** 2


def by_neighbours(x):
    pm.Potential("smooth", -0.3 * (x[0] * x[2] + x[1]) ** 2)
    return lambda x: -0.3 * np.sum((x[:, 0] * x[:, 2] + x[:, 1]) ** 2, axis=1)


@pytest.mark.parametrize("rest", [by_node, by_sum, by_neighbours])
def test_latent_spins(rest):
    with pm.Model() as model:
        x = pms.Ising("x", 0.4, graph=SQUARE)
        weight = rest(x)
        step = pms.HeatBathStep([x], compile_kwargs={"mode": "FAST_COMPILE"})
        assert step.by_node == (rest is by_node)
        draws = 2000 if step.by_node else 400
        dt = pm.sample(
            draws, tune=50, chains=2, cores=1, step=step, random_seed=1, progressbar=False,
            compute_convergence_checks=False,
        )  # fmt: skip
    error = az.mcse(dt)["x"].values
    found = dt.posterior["x"].mean(("chain", "draw")).values
    assert np.all(np.abs(found - listed_means(weight)) < 5.5 * error)
    # control: without the rest of the model they are others
    assert np.any(np.abs(found - listed_means(lambda x: 0.0)) > 5.5 * error)
    assert 0 < float(dt.sample_stats["moved"].mean()) < 1
    with model:
        _, chosen = pm.sampling.mcmc.assign_step_methods(model)
    assert list(chosen) == [pms.HeatBathStep]


def shifted(x, b):
    return x + b * pt.roll(x, 1)


def reversed_by_index(x, b):
    return (1 + b) * x[::-1]


@pytest.mark.parametrize("around", [shifted, reversed_by_index])
def test_terms_that_look_node_by_node_at_one_point(around):
    """A neighbour's share that is 0 at the initial point is seen all the same."""
    path = nx.path_graph(6)
    y = np.random.default_rng(1).normal(size=6)
    with pm.Model():
        b = pm.Normal("b", 0, 1)
        x = pms.Ising("x", 0.3, graph=path)
        pm.Normal("y", around(x, b), 0.5, observed=y)
        step = pms.HeatBathStep([x], compile_kwargs={"mode": "FAST_COMPILE"})
        assert not step.by_node


def test_terms_by_node():
    """Elementwise terms, and levels looked up by state, go by node."""
    with pm.Model():
        levels = pm.Normal("levels", shape=3)
        x = pms.Potts("x", 0.5, q=3, graph=SQUARE)
        pm.Normal("y", levels[x] + 0.1, pt.exp(levels[0]), observed=NOISY)
        pm.Bernoulli("z", logit_p=1.0 - x, observed=NOISY > 0)
        assert pms.HeatBathStep([x], compile_kwargs={"mode": "FAST_COMPILE"}).by_node


def test_labels_of_many_states():
    x = pms.Potts.dist(0.1, q=200, graph=nx.path_graph(4))
    states = pms.sample_network(x, 100, random_seed=1).posterior["x"]
    assert states.min() >= 0
    assert states.max() > 150


def test_a_latent_network_with_its_coupling():
    """Labels of noisy pixels with unknown levels and coupling: all steps together."""
    rng = np.random.default_rng(3)
    graph = nx.grid_2d_graph(5, 5)
    labels = (np.arange(5) > 1).astype(int) * np.ones((5, 1), dtype=int)
    y = np.array([-1.0, 1.0])[labels] + 0.4 * rng.normal(size=(5, 5))
    with pm.Model() as model:
        coupling = pm.HalfNormal("coupling", 1.0)
        levels = pm.Normal("levels", [-1.0, 1.0], 0.5, shape=2)
        x = pms.Potts("x", coupling, q=2, graph=graph)
        pm.Normal("y", levels[x], 0.4, observed=y)
        dt = pm.sample(
            200, tune=200, chains=2, cores=1, random_seed=1, progressbar=False,
            compute_convergence_checks=False,
        )  # fmt: skip
        _, chosen = pm.sampling.mcmc.assign_step_methods(model)
    assert pms.HeatBathStep in chosen
    np.testing.assert_array_equal(dt.posterior["x"].mean(("chain", "draw")) > 0.5, labels == 1)
    low, high = dt.posterior["levels"].mean(("chain", "draw")).values
    assert low < -0.7
    assert high > 0.7


def test_the_heat_bath_step_refuses():
    with pm.Model():
        b = pm.Bernoulli("b", 0.5)
        with pytest.raises(NetworkError, match="b is not a variable on a network"):
            pms.HeatBathStep([b])
        several = pms.Ising("several", 0.1, graph=SQUARE, shape=(2, 3, 3))
        with pytest.raises(NetworkError, match="batch of networks"):
            pms.HeatBathStep([several])


@pytest.mark.exhaustive
def test_a_latent_network_at_a_ladder_of_temperatures():
    """Spins whose bonds are tempered, against a listing of all states."""
    ring = nx.cycle_graph(4)
    with pm.Model() as model:
        x = pms.Ising("x", 0.0, 0.3, graph=ring)
        bonds = sum(x[i] * x[(i + 1) % 4] for i in range(4))
        pms.GibbsPotential("bonds", -1.0 * bonds, beta=0.8)
    dt = pms.sample_tempered(
        400, tune=200, chains=2, random_seed=1, model=model, quiet=True, progressbar=False
    )
    states = np.array(list(product([-1.0, 1.0], repeat=4)))
    energy = -np.sum(states * np.roll(states, -1, axis=1), axis=1)
    found = pms.thermodynamics(dt)
    for beta in found.inverse_temperature.values:
        p = np.exp(0.3 * states.sum(axis=1) - beta * energy)
        here = found.sel(inverse_temperature=beta)
        within(here.mean_energy, p @ energy / p.sum(), here.mean_energy_mcse)
    assert set(np.unique(dt.posterior["x"])) == {-1, 1}
