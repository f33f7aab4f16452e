"""Spread of draws of losses: pseudo-likelihoods against the spread of their estimates."""

import itertools

import networkx as nx
import numpy as np
import pymc as pm
import pytest
import statsmodels.api as sm
from xarray import DataTree

import pm_statmech as pms
from pm_statmech.calibration.adjustment import stretch
from pm_statmech.errors import CalibrationError, NetworkError

RNG = np.random.default_rng(11)
FAST = "FAST_COMPILE"
STATES = np.array(list(itertools.product([-1, 1], repeat=4)))
J_TRUE = np.array([0.6, -0.4, 0.5, 0.3])
H_TRUE = np.array([0.2, 0.0, -0.3, 0.1])
RING = nx.cycle_graph(4)
PAIRS = np.array(RING.edges)


def probabilities(J, h):
    weights = np.exp(STATES[:, PAIRS[:, 0]] * STATES[:, PAIRS[:, 1]] @ J + STATES @ h)
    return weights / weights.sum()


def by_conditionals(x, J, h):
    """Sum of the log conditional probabilities of a row, from the joint distribution."""
    p = probabilities(J, h)
    total = 0.0
    for i in range(4):
        others = np.all(np.delete(STATES, i, 1) == np.delete(x, i), axis=1)
        total += np.log(p[np.all(x == STATES, axis=1)][0] / p[others].sum())
    return total


@pytest.mark.parametrize(
    "graph",
    [RING, nx.star_graph(12), pytest.param(nx.grid_2d_graph(3, 4), marks=pytest.mark.exhaustive)],
)
def test_pseudo_likelihood_is_the_product_of_conditionals(graph):
    n, m = graph.number_of_nodes(), graph.number_of_edges()
    J, h = RNG.normal(size=m), RNG.normal(size=n)
    shape = (3, 4) if n == 12 else (n,)
    x = RNG.choice([-1, 1], size=(5, *shape))
    with pm.Model() as model:
        J_rv, h_rv = pm.Normal("J", shape=m), pm.Normal("h", shape=n)
        pms.PseudoIsing("x", J_rv, h_rv, graph=graph, beta=0.7, observed=x)
    found = model.compile_logp(vars=[model["x"]], mode=FAST)({"J": J, "h": h})
    if n == 4:
        expected = sum(by_conditionals(row, 0.7 * J, 0.7 * h) for row in x)
    else:
        pairs = pms.Ising.dist(J, h, graph=graph, beta=0.7)
        expected = 0.0
        for row in x:
            for i in np.ndindex(shape):
                other = row.copy()
                other[i] = -row[i]
                here, there = pm.logp(pairs, np.stack([row, other])).eval(mode=FAST)
                expected -= np.logaddexp(0.0, there - here)
    assert found == pytest.approx(expected, rel=1e-12)


def test_few_edges_and_many_give_the_same():
    # a lattice has few edges; with all other pairs coupled by 0 it has many
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 3))
    J = np.zeros((9, 9))
    for (i, j), value in zip(graph.edges, RNG.normal(size=12), strict=True):
        J[i, j] = J[j, i] = value
    x = RNG.choice([-1, 1], size=(6, 9))
    values = []
    for coupling in (J, J + 1e-300 * (1 - np.eye(9))):
        with pm.Model() as model:
            h = pm.Normal("h")
            pms.PseudoIsing("x", coupling, h, observed=x)
        values.append(model.compile_logp(mode=FAST)({"h": 0.3}))
    assert values[0] == pytest.approx(values[1], rel=1e-13)


def rows_of_spins(n, seed):
    rng = np.random.default_rng(seed)
    return STATES[rng.choice(16, size=n, p=probabilities(J_TRUE, H_TRUE))]


def pseudo_model(x):
    with pm.Model() as model:
        J, h = pm.Normal("J", 0, 10, shape=4), pm.Normal("h", 0, 10, shape=4)
        pms.PseudoIsing("x", J, h, graph=RING, observed=x)
    return model


def exact_sandwich():
    """Asymptotic covariance (8, 8), times N, of the pseudo-likelihood's estimates, and H^-1."""
    p = probabilities(J_TRUE, H_TRUE)
    scores, H = [], np.zeros((8, 8))
    for x, weight in zip(STATES, p, strict=True):
        score = np.zeros(8)
        for i in range(4):
            f, slopes = H_TRUE[i], np.zeros(8)
            slopes[4 + i] = 1.0
            for e, (u, v) in enumerate(PAIRS):
                if i in (u, v):
                    other = x[v] if u == i else x[u]
                    f, slopes[e] = f + J_TRUE[e] * other, other
            score += x[i] * (1 - np.tanh(x[i] * f)) * slopes
            H += weight * (1 - np.tanh(f) ** 2) * np.outer(slopes, slopes)
        scores.append(score)
    V = np.einsum("s,si,sj->ij", p, scores, scores)
    inverse = np.linalg.inv(H)
    return inverse @ V @ inverse, inverse


@pytest.mark.exhaustive
def test_sandwich_of_a_pseudo_likelihood_is_the_exact_one():
    n = 20_000
    model = pseudo_model(rows_of_spins(n, 3))
    draws = np.concatenate([J_TRUE, H_TRUE]) + RNG.normal(size=(2, 50, 8)) * 1e-3
    dt = DataTree.from_dict({"/posterior": pm_dataset(draws)})
    table = pms.calibration.sandwich(dt, model)["adjustment"]
    covariance, naive = exact_sandwich()
    np.testing.assert_allclose(
        table["sandwich_sd"] * np.sqrt(n), np.sqrt(np.diag(covariance)), rtol=0.03
    )
    np.testing.assert_allclose(table["sd"] * np.sqrt(n), np.sqrt(np.diag(naive)), rtol=0.03)
    # the control: the two differ by more than the tolerance
    assert np.max(np.abs(np.diag(covariance) / np.diag(naive) - 1)) > 0.2


def pm_dataset(draws):
    from pymc.backends.arviz import dict_to_dataset

    return dict_to_dataset(
        {"J": draws[..., :4], "h": draws[..., 4:]}, inference_library=pm
    )  # fmt: skip


def test_nothing_changes_where_the_loss_is_the_likelihood():
    H = np.array([[2.0, 0.3], [0.3, 1.0]])
    prior = np.diag([0.5, 0.1])
    np.testing.assert_allclose(stretch(0.7 * H + prior, H, H / 0.7, 0.7), np.eye(2), atol=1e-12)
    # twice the spread of the gradients, without a prior: sds grow by sqrt 2
    np.testing.assert_allclose(stretch(H, H, 2 * H, 1.0), np.sqrt(2) * np.eye(2), atol=1e-12)


def test_draws_move_on_the_unconstrained_scale_and_deterministics_follow():
    y = RNG.normal(2.0, 3.0, size=300)
    with pm.Model() as model:
        mu = pm.Lognormal("mu", 0, 2)
        pm.Deterministic("double", 2 * mu)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared(), observed=y, beta=0.5)
        dt = pms.sample_tempered(
            200, tune=100, chains=2, random_seed=1, progressbar=False, quiet=True
        )
    found = pms.calibration.sandwich(dt, model)
    before, after = np.log(dt["posterior"]["mu"].values), np.log(found["posterior"]["mu"].values)
    ratio = float(found["adjustment"]["ratio"][0])
    np.testing.assert_allclose(after - before.mean(), ratio * (before - before.mean()), atol=1e-12)
    np.testing.assert_allclose(found["posterior"]["double"], 2 * found["posterior"]["mu"])
    # the error of a mean is sd / sqrt(n), whatever beta is; on the log scale that over the mean
    assert float(found["adjustment"]["sandwich_sd"][0]) == pytest.approx(
        y.std() / np.sqrt(300) / np.exp(before.mean()), rel=0.02
    )
    assert "observed_data" in found.children


def test_kinks_take_a_kernel():
    """Engel's median: the standard errors of quantile regression, from draws at any beta."""
    data = sm.datasets.engel.load_pandas().data
    for beta in (0.02,):
        with pm.Model():
            b = pm.Normal("b", 0.0, [5000.0, 100.0], shape=2)
            pms.GibbsLoss(
                "y", b[0] + b[1] * data["income"].to_numpy(), loss=pms.losses.pinball(0.5),
                observed=data["foodexp"], beta=beta,
            )  # fmt: skip
            dt = pms.sample_tempered(1000, random_seed=1, quiet=True)
            wide = pms.calibration.sandwich(dt)
        table = wide["adjustment"]
        # of the bandwidth at the minimiser; here it is that of the posterior mean
        np.testing.assert_allclose(table["sandwich_sd"], [30.2153, 0.037317], rtol=0.05)
        assert 60 < table.attrs["bandwidth"] < 70
        moved = wide["posterior"]["b"].std(("chain", "draw")) / dt["posterior"]["b"].std(
            ("chain", "draw")
        )
        np.testing.assert_allclose(moved, table["ratio"], rtol=0.25)


class TestWhatIsRefused:
    def test_jumps(self):
        with pm.Model() as model:
            mu = pm.Normal("mu")
            pms.GibbsLoss("y", mu, loss=pms.losses.zero_one, observed=np.arange(5.0))
        with pytest.raises(CalibrationError, match="zero_one has jumps"):
            pms.calibration.sandwich(
                DataTree.from_dict({"/posterior": pm_dataset(np.zeros((1, 2, 8)))}), model
            )

    def test_draws_of_another_temperature(self):
        with pm.Model() as model:
            mu = pm.Normal("mu")
            pms.GibbsLoss("y", mu, loss=pms.losses.squared(), observed=np.arange(9.0), dims="obs")
            dt = pms.sample_tempered(
                20, tune=20, chains=2, target_beta=0.1, random_seed=1, progressbar=False, quiet=True
            )
        # a string is one dimension, and not its letters
        assert dt["loss"]["y"].dims[-1] == "obs"
        with pytest.raises(CalibrationError, match=r"at beta = 0\.1"):
            pms.calibration.sandwich(dt, model)

    def test_several_terms(self):
        with pm.Model() as model:
            mu = pm.Normal("mu")
            pm.Normal("y", mu, observed=np.arange(5.0))
            pm.Normal("z", mu, observed=np.arange(5.0))
        with pytest.raises(CalibrationError, match="one tempered term"):
            pms.calibration.sandwich(
                DataTree.from_dict({"/posterior": pm_dataset(np.zeros((1, 2, 8)))}), model
            )

    def test_more_parameters_than_rows(self):
        model = pseudo_model(rows_of_spins(8, 1))
        dt = DataTree.from_dict({"/posterior": pm_dataset(np.zeros((1, 2, 8)))})
        with pytest.raises(CalibrationError, match="8 observations for 8 parameters"):
            pms.calibration.sandwich(dt, model)

    def test_parameters_of_a_hierarchy(self):
        with pm.Model() as model:
            tau = pm.HalfNormal("tau")
            J, h = pm.Normal("J", 0, tau, shape=4), pm.Normal("h", 0, 10, shape=4)
            pms.PseudoIsing("x", J, h, graph=RING, observed=rows_of_spins(30, 2))
        data = pm_dataset(np.full((1, 2, 8), 1e-3))
        data["tau"] = (("chain", "draw"), np.full((1, 2), 1e-3))
        with pytest.raises(CalibrationError, match="not positive definite"):
            pms.calibration.sandwich(DataTree.from_dict({"/posterior": data}), model)

    def test_batches_and_other_states(self):
        with pm.Model():
            with pytest.raises(NetworkError, match="not a batch"):
                pms.PseudoIsing("x", np.zeros((2, 4)), graph=RING, observed=np.ones((2, 4)))
            with pytest.raises(NetworkError, match="not a batch"):
                pms.PseudoIsing("x", 0.3, graph=RING, beta=np.ones(4), observed=np.ones((2, 4)))
            with pytest.raises(NetworkError, match="BoltzmannMachine"):
                pms.PseudoIsing("x", 0.3, graph=RING, observed=np.zeros((2, 4)))


def test_predictions_are_spins_of_the_network():
    with pm.Model():
        J = pm.Normal("J", 0.8, 0.01)
        pms.PseudoIsing("x", J, graph=nx.path_graph(3), observed=np.ones((200, 3), dtype=int))
        drawn = pm.sample_prior_predictive(20, random_seed=1, compile_kwargs={"mode": FAST})
    x = drawn["prior_predictive"]["x"].values.reshape(-1, 3)
    assert set(np.unique(x)) == {-1, 1}
    product = np.mean(x[:, 0] * x[:, 1])
    assert abs(product - np.tanh(0.8)) < 5.5 * np.sqrt((1 - np.tanh(0.8) ** 2) / len(x))
