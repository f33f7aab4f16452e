"""Coarsening, WBIC's beta and Fisher matching against what can be written down."""

import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms
from pm_statmech.errors import CalibrationError, ConvergenceWarning, InverseTemperatureError
from tests.conftest import within

cal = pms.calibration
LARGE = 10**7


@pytest.mark.parametrize(
    ("theta_0", "probability"),
    [(0.5, 0.965784), (0.51, 0.956497), (0.52, 0.912199), (0.56, 0.003422)],
)
def test_coarsened_coin(theta_0, probability):
    """P(H0: theta = 1/2) at alpha = 1250 and n to infinity, Miller and Dunson's toy example."""
    heads = round(theta_0 * LARGE)
    with pm.Model() as model:
        theta = pm.Beta("theta", 1, 1)
        pm.Binomial("y", LARGE, theta, observed=heads)
        beta = cal.coarsened(alpha=1250, n_observations=LARGE).beta
        dt = pms.sample_tempered(2000, target_beta=beta, random_seed=1, quiet=True)
    assert beta == 1250 / (1250 + LARGE)
    found = pms.log_evidence(dt)
    split = pms.tempered_model(model)
    energy_of_half = float(split.compile()(np.zeros((1, 1)))[0, 1])
    log_odds = -beta * energy_of_half - float(found["log_evidence"])
    exact = np.log(probability / (1 - probability))
    # the odds carry the error of log Z; the figures are known to their last digit
    rounding = 1e-6 / (probability * (1 - probability)) + 2e-3
    assert abs(log_odds - exact) < 5.5 * float(found["mcse"]) + rounding
    assert float(found["mcse"]) < 0.05


def test_coarsening_curve_of_a_conjugate_model():
    y = np.random.default_rng(1).normal(size=20)
    system = pms.solvable.conjugate_normal(y, sigma=1.0, prior_sd=2.0)
    dt = pms.sample_tempered(2000, model=system.model(), random_seed=1, quiet=True)
    curve = cal.coarsening_curve(dt, alphas=[5.0, 20.0, 200.0])
    for k, alpha in enumerate((5.0, 20.0, 200.0)):
        beta = alpha / (alpha + 20)
        row = curve.isel(alpha=k)
        assert float(row["beta"]) == beta
        within(row["fit"], -system.mean_energy(beta) / 20, row["fit_mcse"])
        within(row["complexity"], system.relative_entropy(beta), row["complexity_mcse"])
        within(row["n_parameters"], 2 * system.heat_capacity(beta), row["n_parameters_mcse"])
    # by default all that the ladder holds
    assert cal.coarsening_curve(dt).sizes["alpha"] == 25
    short = pms.from_energies(np.random.default_rng(1).gamma(2.0, size=(2, 50, 2)), [0.0, 0.5],
                              n_observations=20)  # fmt: skip
    with pytest.raises(InverseTemperatureError, match=r"outside the ladder from 0 to 0\.5"):
        cal.coarsening_curve(short, alphas=[100.0])
    loss = pms.from_energies(np.ones((2, 50, 2)), [0.0, 0.5], n_observations=20)
    loss["tempering"].attrs["tempered_terms"] = (
        loss["tempering"].attrs["tempered_terms"].replace("potential", "loss")
    )
    with pytest.raises(CalibrationError, match="of the losses"):
        cal.coarsening_curve(loss)
    with pytest.raises(CalibrationError, match="n_observations"):
        cal.coarsening_curve(pms.from_energies(np.ones((2, 50, 2)), [0.0, 0.5]))


def test_powers_are_of_likelihoods():
    y = np.arange(50.0)
    with pm.Model() as loss:
        mu = pm.Normal("mu")
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=y)
    for method in (lambda m: cal.coarsened(m, alpha=10.0), cal.wbic_beta):
        with pytest.raises(CalibrationError, match="no likelihoods"):
            method(loss)
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mu"), 1.0, observed=y)
    assert cal.wbic_beta(model).beta == 1 / np.log(50)
    assert cal.wbic_beta(model, n_observations=1000).beta == 1 / np.log(1000)
    path = cal.wbic_beta(model).path
    np.testing.assert_allclose(path["beta"], 1 / np.log(path["n"]))
    with pytest.raises(CalibrationError, match="from 3 on"):
        cal.wbic_beta(model, n_observations=2)
    assert cal.coarsened(model, alpha=50).beta == 0.5
    assert "0.02 nats" in cal.coarsened(model, alpha=50).assumptions[0]
    with pytest.raises(CalibrationError, match="alpha = 0"):
        cal.coarsened(model, alpha=0)


@pytest.mark.parametrize("prior_sd", [0.3, 5.0])
def test_fisher_matching_of_a_normal_mean(prior_sd):
    """Delta(x) = (v + (x - mu_0)^2) / sigma^4, expectations of which are known."""
    y = np.random.default_rng(2).normal(1.0, 3.0, size=100)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.5, prior_sd, initval=0.4)
        pm.Normal("y", mu, 2.0, observed=y)
    found = cal.fisher_matching(model, draws=400, replications=40, random_seed=1)
    v = prior_sd**2
    expected, seen = 4 + v + (y.mean() - 0.5) ** 2, y.var() + v + (y.mean() - 0.5) ** 2
    exact = np.sqrt(expected / seen)
    # draws of the prior, and the 40 data sets of the model
    within(found.beta, exact, found.standard_error)
    assert found.standard_error < 0.05
    np.testing.assert_allclose(found.path["seen"].mean(), seen / 16, rtol=0.3)
    assert float(found.path["running_beta"][-1]) == pytest.approx(found.beta)
    # a wide prior brings it to one
    assert (found.beta > 0.85) == (prior_sd > 1)


def test_fisher_matching_of_a_true_model_is_one():
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    with pm.Model() as model:
        b = pm.Normal("b", 0.0, 0.2, shape=2)
        pm.Poisson("y", pm.math.exp(b[0] + b[1] * x), observed=rng.poisson(np.exp(0.3 + 0.2 * x)))
    found = cal.fisher_matching(model, random_seed=1)
    assert found.beta == pytest.approx(1.0, abs=0.1)
    # a few data sets of the model are part of the error
    few = cal.fisher_matching(model, replications=3, draws=400, random_seed=1)
    assert few.standard_error > 1.3 * found.standard_error


def test_rows_of_vectors_are_the_observations():
    with pm.Model() as model:
        m = pm.Normal("m", shape=3)
        pm.MvNormal("y", m, np.eye(3), observed=np.random.default_rng(1).normal(size=(40, 3)))
    assert pms.tempered_model(model).n_observations == 40
    assert cal.coarsened(model, alpha=40).beta == 0.5
    found = cal.information_matching(model)
    assert abs(found.beta - 1) < 5.5 * found.standard_error


def test_fisher_matching_says_where_it_has_no_meaning():
    with pm.Model() as held:
        mu = pm.Normal("mu", 0.0, 10.0, initval=1.0)
        pm.Potential("near", -0.5 * (mu / 0.1) ** 2)
        pm.Normal("y", mu, 1.0, observed=np.arange(9.0))
    with pytest.raises(CalibrationError, match="the Potential 'near'"):
        cal.fisher_matching(held)
    with pm.Model() as loss:
        mu = pm.Normal("mu")
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=np.arange(9.0))
    with pytest.raises(CalibrationError, match="is a loss"):
        cal.fisher_matching(loss)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 1.0)
        pm.Normal("y", mu, 1.0, observed=np.arange(9.0))
    with pytest.raises(CalibrationError, match="draws = 10"):
        cal.fisher_matching(model, draws=10)
    with pm.Model() as wild:
        b = pm.Normal("b", 0.0, 3.0)
        pm.Poisson("y", pm.math.exp(b), observed=np.arange(9))
    with pytest.warns(ConvergenceWarning, match="Pareto k"):
        cal.fisher_matching(wild, random_seed=1)
