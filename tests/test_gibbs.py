import arviz as az
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pm_statmech as pms

from .conftest import NEWCOMB, POINTWISE_OFF, within


def test_logp_is_minus_beta_w_loss(line):
    x, y = line
    weights = np.linspace(0.5, 2.0, y.size)
    with pm.Model() as model:
        b = pm.Normal("b", shape=2)
        pms.GibbsLoss(
            "y", b[0] + b[1] * x, loss=pms.losses.huber(1.0), observed=y, beta=0.37,
            weights=weights,
        )  # fmt: skip
    point = {"b": np.array([0.4, 1.1])}
    r = y - 0.4 - 1.1 * x
    huber = np.where(np.abs(r) <= 1, r**2 / 2, np.abs(r) - 0.5)
    logp = model.compile_logp(vars=[model["y"]], sum=False)(point)[0]
    np.testing.assert_allclose(logp, -0.37 * weights * huber, rtol=1e-13)


def test_beta_is_data(line):
    with pm.Model() as model:
        m = pm.Normal("m")
        pms.GibbsLoss("y", m, loss=pms.losses.squared, observed=line[1], beta=0.5)
    logp = model.compile_logp(vars=[model["y"]])
    before = logp({"m": 0.3})
    with model:
        pm.set_data({"y_beta": 1.5})
    assert logp({"m": 0.3}) == pytest.approx(3 * before, rel=1e-14)
    assert pms.tempered_model(model).target_beta == 1.5


def test_own_data_node_and_tensor_as_beta(line):
    with pm.Model() as model:
        omega = pm.Data("omega", 2.0)
        m = pm.Normal("m")
        pms.GibbsLoss("y", m, loss=pms.losses.absolute, observed=line[1], beta=omega / 8)
    assert "y_beta" not in model.named_vars
    assert pms.tempered_model(model).target_beta == 0.25


def test_infinite_loss_is_weightless_at_beta_zero():
    def loss(y, m):
        return pt.switch(pt.abs(y - m) < 1, 0.0, np.inf)

    for beta, expected in ((0.0, 0.0), (0.5, -np.inf)):
        with pm.Model() as model:
            m = pm.Normal("m")
            pms.GibbsLoss("y", m, loss=loss, observed=np.array([5.0]), beta=beta)
        assert model.compile_logp(vars=[model["y"]])({"m": 0.0}) == expected


def test_vector_prediction_a_row():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, size=12)
    x = rng.normal(size=(12, 2))
    with pm.Model(coords={"row": np.arange(12), "k": list("abc")}) as model:
        W = pm.Normal("W", shape=(2, 3))
        pms.GibbsLoss(
            "label", pt.dot(x, W), loss=pms.losses.cross_entropy, observed=labels, dims="row"
        )
    w = rng.normal(size=(2, 3))
    f = x @ w
    expected = -np.sum(np.log(np.exp(f).sum(axis=1)) - f[np.arange(12), labels])
    assert model.compile_logp(vars=[model["label"]])({"W": w}) == pytest.approx(expected)
    dt = pms.sample_tempered(60, tune=60, chains=2, model=model, random_seed=1, quiet=True)
    assert dt["loss"]["label"].dims == ("chain", "draw", "row")


def test_observed_vectors_by_signature():
    """A loss of one vector an observation: squared distance, with its signature."""

    def distance(y, m):
        return ((y - m) ** 2).sum(axis=-1) / 2

    distance.signature = "(d),(d)->()"
    y = np.arange(6.0).reshape(3, 2)
    with pm.Model() as model:
        m = pm.Normal("m", shape=2)
        pms.GibbsLoss("y", m, loss=distance, observed=y)
    logp = model.compile_logp(vars=[model["y"]], sum=False)({"m": np.zeros(2)})[0]
    np.testing.assert_allclose(logp, -(y**2).sum(axis=1) / 2)


def test_quantile_band_by_interval_score(line):
    with pm.Model() as model:
        low = pm.Normal("low", 0, 5)
        width = pm.HalfNormal("width", 5)
        pms.GibbsLoss(
            "y", (low, low + width), loss=pms.losses.interval_score(0.2), observed=line[1]
        )
    assert pms.minimise(model).point["width"] > 0


def test_predictive_sampling():
    def draw(prediction, rng, size):
        return rng.normal(prediction, 10.0, size=size)

    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 50)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=NEWCOMB, beta=0.01, random=draw)
        dt = pms.sample_tempered(500, tune=300, random_seed=1, quiet=True,
                                 idata_kwargs=POINTWISE_OFF)  # fmt: skip
        with pytest.warns(UserWarning, match="object mode"):
            predictive = pm.sample_posterior_predictive(dt, random_seed=2, progressbar=False)
    draws = predictive["posterior_predictive"]["y"]
    assert draws.shape == (4, 500, 66)
    assert float(draws.std()) == pytest.approx(10.07, abs=0.2)
    assert model["y"].owner.op.loss == pms.losses.squared


@pytest.mark.parametrize("sampler", ["pymc", "nutpie"])
def test_ordinary_samplers_take_it(newcomb_system, sampler):
    """beta = 1/100 and half the square is the Normal likelihood with sd 10."""
    with pm.Model():
        mu = pm.Normal("mu", 0, 50)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=NEWCOMB, beta=0.01)
        trace = pm.sample(
            nuts_sampler=sampler, random_seed=3, progressbar=False, cores=1, quiet=True
        )
    mean, sd = newcomb_system.posterior(1.0)["mu"]
    within(trace["posterior"]["mu"].mean(), mean, az.mcse(trace, method="mean")["mu"])
    within(trace["posterior"]["mu"].std(), sd, az.mcse(trace, method="sd")["mu"])


def test_pymc_smc_takes_it():
    with pm.Model():
        mu = pm.Normal("mu", 0, 50)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=NEWCOMB, beta=0.01)
        trace = pm.sample_smc(500, chains=2, cores=1, random_seed=3, progressbar=False,
                              compute_convergence_checks=False)  # fmt: skip
    assert abs(float(trace["posterior"]["mu"].mean()) - 26.196) < 5 * 1.23 / np.sqrt(200)


def test_squared_loss_is_the_normal_likelihood(newcomb, newcomb_system):
    with pm.Model():
        mu = pm.Normal("mu", 0, 50)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=NEWCOMB, beta=0.01)
        dt = pms.sample_tempered(random_seed=2, quiet=True)
    row = pms.thermodynamics(dt).sel(inverse_temperature=0.01)
    within(row.heat_capacity, newcomb_system.heat_capacity(1.0), row.heat_capacity_mcse)
    # E / 100 differs from the negative log likelihood by its constant
    constant = 66 * (np.log(10.0) + 0.5 * np.log(2 * np.pi))
    truth = 100 * (newcomb_system.mean_energy(1.0) - constant)
    within(row.mean_energy, truth, row.mean_energy_mcse)
    within(row.log_partition, newcomb_system.log_partition(1.0) + constant, row.log_partition_mcse)
    mean, sd = newcomb_system.posterior(1.0)["mu"]
    draws = dt["posterior"]["mu"]
    within(draws.mean(), mean, draws.azstats.mcse(method="mean"))
    within(draws.std(), sd, draws.azstats.mcse(method="sd"))
    assert "log_likelihood" not in dt.children
    assert newcomb["log_likelihood"]["y"].shape == (4, 1000, 66)


def test_gibbs_potential_is_tempered_and_plain_potential_is_not():
    with pm.Model() as model:
        x = pm.Normal("x")
        pms.GibbsPotential("energy", x**2, beta=2.0)
        pm.Potential("constraint", pt.switch(x > 0, 0.0, -np.inf))
    split = pms.tempered_model(model)
    assert [t.name for t in split.terms] == ["energy"]
    assert split.target_beta == 2.0
    assert not split.prior_normalised
    assert "'constraint' stays with the prior" in split.prior_reason
    named = pms.tempered_model(model, tempered=["constraint"])
    assert [t.name for t in named.terms] == ["constraint"]


def test_several_terms_share_one_ladder():
    """Betas of two losses: the target is the larger, ratios are kept in E and attrs."""
    y = np.array([1.0, 2.0])
    with pm.Model() as model:
        m = pm.Normal("m")
        pms.GibbsLoss("a", m, loss=pms.losses.squared, observed=y, beta=0.5)
        pms.GibbsLoss("b", m, loss=pms.losses.absolute, observed=y, beta=0.2)
    split = pms.tempered_model(model)
    assert split.target_beta == 0.5
    value = split.compile()(np.array([0.3]))
    expected = np.sum((y - 0.3) ** 2) / 2 + 0.4 * np.sum(np.abs(y - 0.3))
    assert value[1] == pytest.approx(expected, rel=1e-14)
    with model:
        pm.Normal("c", m, 1.0, observed=y)
    assert pms.tempered_model(model).target_beta == 1.0
