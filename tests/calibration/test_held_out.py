"""Predictive scores against beta, against closed forms of a normal mean."""

import numpy as np
import pymc as pm
import pytest
from scipy.stats import norm

import pm_statmech as pms
from pm_statmech.errors import CalibrationError, ConvergenceWarning
from tests.conftest import NEWCOMB, within

cal = pms.calibration
BETAS = [0.1, 0.37, 1.0, 3.0]
Y = np.random.default_rng(1).normal(0.5, 1.0, size=25)


def likelihood(y=Y, sigma=1.0, prior_sd=2.0):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, prior_sd)
        pm.Normal("y", mu, sigma, observed=y)
    return model


def loss(y=Y):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 2.0)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=y)
    return model


def without(y, out, beta, sigma=1.0, prior_sd=2.0):
    """Mean and variance of the posterior without some observations."""
    kept = y[~out]
    precision = prior_sd**-2 + beta * len(kept) / sigma**2
    return beta * kept.sum() / sigma**2 / precision, 1 / precision


def exact(y, folds, beta, is_loss, sigma=1.0, prior_sd=2.0):
    total = 0.0
    for out in folds:
        mean, variance = without(y, out, beta, sigma, prior_sd)
        if is_loss:
            total += np.sum(0.5 * ((y[out] - mean) ** 2 + variance))
        else:
            total -= np.sum(norm.logpdf(y[out], mean, np.sqrt(variance + sigma**2)))
    return total


@pytest.mark.parametrize("is_loss", [False, True])
def test_leave_one_out(is_loss):
    model = loss() if is_loss else likelihood()
    found = cal.predictive(model, betas=BETAS, draws=4000, random_seed=1)
    folds = [np.arange(25) == i for i in range(25)]
    for k, beta in enumerate(BETAS):
        score, error = found.path["score"][k], found.path["score_mcse"][k]
        within(score, exact(Y, folds, beta, is_loss), error)
        assert error < 0.2
        # twice as cold would be another score
        if beta < 0.2:
            assert abs(score - exact(Y, folds, 2 * beta, is_loss)) > 5.5 * error
    assert np.all(found.path["largest_pareto_k"] < 0.7)
    # as leave-one-out of a run says
    if not is_loss:
        with model:
            dt = pms.sample_tempered(2000, random_seed=1, quiet=True)
        assert -float(pms.loo(dt).elpd) == pytest.approx(float(found.path["score"][2]), abs=0.1)


@pytest.mark.parametrize("is_loss", [False, True])
def test_folds(is_loss):
    model = loss() if is_loss else likelihood()
    found = cal.predictive_kfold(
        model, folds=5, betas=BETAS, draws=4000, random_seed=2, progressbar=False
    )
    fold = np.random.default_rng(np.random.SeedSequence(2).spawn(7)[0]).permutation(
        np.arange(25) % 5
    )
    folds = [fold == k for k in range(5)]
    for k, beta in enumerate(BETAS):
        score, error = found.path["score"][k], found.path["score_mcse"][k]
        within(score, exact(Y, folds, beta, is_loss), error)
        assert error < 0.2
        # twice as cold would be another score
        if beta < 0.2:
            assert abs(score - exact(Y, folds, 2 * beta, is_loss)) > 5.5 * error
    again = cal.predictive_kfold(
        model, folds=5, betas=BETAS, draws=4000, random_seed=2, progressbar=False, cores=1
    )
    np.testing.assert_array_equal(again.path["score"], found.path["score"])


def test_newcomb_is_flat_and_says_so():
    """0.4 nats between beta = .1 and 3: no selector."""
    model = likelihood(NEWCOMB, sigma=10.0, prior_sd=50.0)
    found = cal.predictive(model, betas=np.geomspace(0.1, 3.0, 6), draws=4000, random_seed=1)
    assert float(np.ptp(found.path["score"].values)) == pytest.approx(0.4, abs=0.25)
    attrs = found.path.attrs
    assert attrs["indistinguishable_from"] <= 0.2
    assert attrs["indistinguishable_to"] >= 1.5
    assert "a diagnostic" in str(found)


def test_posteriors_that_do_not_mix_are_told():
    # two hills far apart, and chains that begin between them
    y = np.concatenate([np.linspace(-0.1, 0.1, 6), 20 + np.linspace(-0.1, 0.1, 6)])
    with pm.Model() as model:
        mu = pm.Normal("mu", 10.0, 10.0, initval=10.0)
        pm.Cauchy("y", mu, 0.02, observed=y)
    with pytest.warns(ConvergenceWarning, match="posteriors have R-hat"):
        found = cal.predictive_kfold(
            model, folds=3, betas=[0.5, 1.0], draws=200, random_seed=3, progressbar=False
        )
    assert "did not mix" in found.cost


def test_what_is_refused():
    with pytest.raises(CalibrationError, match="1 observations"):
        cal.predictive(likelihood(Y[:1]))
    with pytest.raises(CalibrationError, match="draws = 4"):
        cal.predictive(likelihood(), draws=4)
    with pytest.raises(CalibrationError, match="folds = 1"):
        cal.predictive_kfold(likelihood(), folds=1)
    with pytest.raises(CalibrationError, match="at least two"):
        cal.predictive(likelihood(), betas=[1.0])
    with pm.Model() as two:
        mu = pm.Normal("mu")
        pm.Normal("a", mu, 1.0, observed=Y)
        pm.Normal("b", mu, 1.0, observed=Y)
    for method in (cal.predictive, cal.predictive_kfold):
        with pytest.raises(CalibrationError, match="one tempered term"):
            method(two)
