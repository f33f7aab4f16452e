"""Safe Bayes against posteriors in closed form, one observation after another."""

import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms
from pm_statmech.errors import (
    CalibrationError,
    ConvergenceWarning,
    EnergyError,
    ImproperPriorError,
    UnsupportedVariableError,
)
from pm_statmech.samplers.data_annealing import reachable_share

cal = pms.calibration
QUIET = {"progressbar": False}
BETAS = [0.1, 1.0]


def rows(seed, n=24, p=3):
    """Half of the rows are exactly zero; the others are noise of variance 4."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, p)), 2.0 * rng.normal(size=n)
    X[::2], y[::2] = 0.0, 0.0
    return X, y


def regression(X, y):
    with pm.Model() as model:
        b = pm.Normal("b", 0.0, 1.0, shape=X.shape[1])
        pm.Normal("y", X @ b, 1.0, observed=y)
    return model


def exact(X, y, beta, order):
    """Sums of E[loss_i] and of the loss at the mean, of conjugate normal posteriors."""
    mixed = plugged = 0.0
    for k, i in enumerate(order):
        seen = order[:k]
        precision = np.eye(X.shape[1]) + beta * X[seen].T @ X[seen]
        mean = np.linalg.solve(precision, beta * X[seen].T @ y[seen])
        variance = X[i] @ np.linalg.solve(precision, X[i])
        loss = 0.5 * np.log(2 * np.pi) + 0.5 * (y[i] - X[i] @ mean) ** 2
        mixed, plugged = mixed + loss + 0.5 * variance, plugged + loss
    return mixed, plugged


def test_forecasts_are_those_of_the_closed_form():
    X, y = rows(1)
    model = regression(X, y)
    gaps, errors = [], []
    for seed in range(8):
        found = cal.safe_bayes(model, betas=BETAS, particles=256, random_seed=seed, **QUIET)
        order = np.random.default_rng(np.random.SeedSequence(seed).spawn(4)[0]).permutation(24)
        truth = np.array([exact(X, y, beta, order) for beta in BETAS])
        seen = np.stack([found.path["mixed_loss"], found.path["plugged_loss"]], axis=1)
        gaps.append(seen - truth)
        errors.append(found.path["mixed_loss_mcse"].values)
    gaps = np.array(gaps)
    error = gaps.std(axis=0, ddof=1) / np.sqrt(8)
    assert np.all(np.abs(gaps.mean(axis=0)) < 5.5 * error + 1e-3)
    # and each run knew how far it was off
    rms = np.sqrt(np.mean((gaps[..., 0] / errors) ** 2, axis=0))
    assert np.all((rms > 0.4) & (rms < 1.7)), rms
    assert np.all(np.array(errors) < 1.5)
    doubled = np.array([exact(X, y, 2 * beta, order) for beta in BETAS]) - truth
    assert np.any(np.abs(doubled[:, 0]) > 5.5 * error[:, 0])


def test_beta_is_small_where_rows_without_noise_deceive():
    X, y = rows(2, n=40, p=16)
    found = cal.safe_bayes(regression(X, y), particles=512, random_seed=1, **QUIET)
    assert found.beta < 1
    path = found.path
    order = np.random.default_rng(np.random.SeedSequence(1).spawn(9)[0]).permutation(40)
    betas = path["inverse_temperature"].values
    truth = np.array([exact(X, y, beta, order)[0] for beta in betas])
    best = int(np.flatnonzero(betas == found.beta)[0])
    others = np.arange(7) != best
    gap = path["loss_difference"].values - (truth - truth[best])
    z = gap[others] / path["loss_difference_mcse"].values[others]
    assert np.all(np.abs(z) < 5.5), z
    assert truth[best] < truth[-1]
    assert float(path["loss_difference"].min()) == 0.0
    assert path["loss_difference_se"].sel(inverse_temperature=1.0) > 0
    assert path["moves"].values[-1] > path["moves"].values[0]
    in_model = cal.safe_bayes_in_model(regression(X, y), particles=512, random_seed=1, **QUIET)
    assert in_model.beta <= found.beta
    np.testing.assert_array_equal(in_model.path["mixed_loss"], path["mixed_loss"])
    again = cal.safe_bayes(regression(X, y), particles=512, random_seed=1, cores=1, **QUIET)
    np.testing.assert_array_equal(again.path["mixed_loss"], path["mixed_loss"])


def test_a_loss_is_tried_on_both_sides():
    y = np.random.default_rng(1).normal(size=12)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 1.0)
        pms.GibbsLoss("y", mu, loss=pms.losses.absolute, observed=y, beta=0.5)
    found = cal.safe_bayes(model, particles=64, random_seed=1, **QUIET)
    betas = found.path["inverse_temperature"].values
    assert betas[0] == 0.5 / 64
    assert betas[-1] == 0.5 * 64
    assert found.unit == "per y"
    if found.beta in (betas[0], betas[-1]):
        assert "edge of the grid" in found.method


def test_shares_of_an_observation_keep_half_of_the_particles():
    losses = np.random.default_rng(1).gamma(1.0, 20.0, size=500)
    flat = np.full(500, -np.log(500))
    share = reachable_share(losses, flat, 1.0, 1.0)
    w = np.exp(-share * losses)
    assert np.sum(w) ** 2 / np.sum(w**2) == pytest.approx(250, rel=1e-3)
    assert reachable_share(losses, flat, 1e-4, 1.0) == 1.0


def test_a_wide_prior_is_the_same_at_every_beta():
    """What the prior alone foretells cancels: the choice does not hang on its draws."""
    y = np.random.default_rng(5).normal(size=30)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 100.0)
        pm.Normal("y", mu, 1.0, observed=y)
    chosen = [
        cal.safe_bayes(model, betas=[1 / 64, 1.0], random_seed=seed, **QUIET) for seed in range(3)
    ]
    assert [c.beta for c in chosen] == [1.0] * 3
    for c in chosen:
        # the sums themselves are known badly, their difference is not
        assert c.path["mixed_loss_mcse"].max() > 10 * c.path["loss_difference_mcse"].max() > 0


def test_noise_is_told():
    """E[1 / s^2] is infinite under this prior: no forecast of the first observation exists."""
    with pm.Model() as model:
        mu, s = pm.Normal("mu", 0.0, 3.0), pm.HalfNormal("s", 5.0)
        pm.Normal("y", mu, s, observed=np.random.default_rng(1).normal(size=20))
    with pytest.warns(ConvergenceWarning, match="noise"):
        cal.safe_bayes(model, betas=[0.7, 1.0], particles=64, random_seed=1, **QUIET)


def test_integers_and_supports():
    y = np.array([0.4, 0.9, 0.2, 0.7, 1.5])
    with pm.Model() as integers:
        k = pm.Categorical("k", [0.5, 0.5])
        pm.Normal("y", k, 1.0, observed=y)
    assert cal.safe_bayes(integers, particles=64, random_seed=1, **QUIET).beta > 0
    with pytest.raises(UnsupportedVariableError, match="means are no parameters"):
        cal.safe_bayes_in_model(integers, **QUIET)
    with pm.Model() as support:
        th = pm.Pareto("th", 1.0, 0.1)
        pm.Uniform("y", 0.0, th, observed=y)
    with pytest.raises(EnergyError, match="no value"):
        cal.safe_bayes(support, particles=64, random_seed=1, **QUIET)


def test_what_is_refused():
    y = np.zeros(5)
    with pm.Model() as flat:
        pm.Normal("y", pm.Flat("mu"), 1.0, observed=y)
    with pytest.raises(ImproperPriorError):
        cal.safe_bayes(flat, **QUIET)
    with pm.Model() as cut:
        mu = pm.Normal("mu")
        pm.Potential("positive", pm.math.switch(mu > 0, 0.0, -np.inf))
        pm.Normal("y", mu, 1.0, observed=y)
    with pytest.raises(CalibrationError, match="draws of the prior"):
        cal.safe_bayes(cut, **QUIET)
    with pytest.raises(CalibrationError, match="at least two"):
        cal.safe_bayes(regression(np.zeros((5, 1)), y), betas=[0.5], **QUIET)
    with pytest.raises(CalibrationError, match="particles = 10"):
        cal.safe_bayes(regression(np.zeros((5, 1)), y), particles=10, **QUIET)
    with pm.Model() as two:
        mu = pm.Normal("mu")
        pm.Normal("a", mu, 1.0, observed=y)
        pm.Normal("b", mu, 1.0, observed=y)
    with pytest.raises(CalibrationError, match="one tempered term"):
        cal.safe_bayes(two, **QUIET)
