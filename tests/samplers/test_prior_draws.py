"""Draws of the prior in compiled code: the model's own, reproducible, and finite."""

import warnings

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy import stats
from scipy.special import betaln

import pm_statmech as pms
from pm_statmech import errors
from pm_statmech.samplers.annealing import in_halves
from pm_statmech.samplers.prior_draws import checked_prior_sample, compile_prior_draws

from ..conftest import POINTWISE_OFF, within


def draws_of(model, n, seed):
    split = pms.tempered_model(model)
    return compile_prior_draws(split, split.compile()).draw(n, seed)


def binomial(shape):
    with pm.Model() as model:
        p = pm.Beta("p", shape, shape)
        pm.Binomial("y", 10, p, observed=7)
    return model


def test_draws_are_the_priors_own_and_independent():
    with pm.Model() as model:
        scale = pm.HalfNormal("scale", 2.0)
        pm.Normal("x", 1.0, scale, shape=2)
        pm.Categorical("k", [0.2, 0.8])
        pm.Normal("y", 0.0, 1.0, observed=0.0)
    scale, first, second, k = draws_of(model, 5000, 1).T
    for z in ((first - 1) / np.exp(scale), (second - 1) / np.exp(scale)):
        assert stats.kstest(z, "norm").pvalue > 1e-7
    assert stats.kstest(np.exp(scale), stats.halfnorm(scale=2.0).cdf).pvalue > 1e-7
    assert stats.binomtest(int(np.sum(k)), 5000, 0.8).pvalue > 1e-7
    # each row reads the generators where the one before left them
    for values in (scale, first):
        assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 5.5 / np.sqrt(5000)
        assert len(np.unique(values)) == 5000
    # control: the wrong scale is noticed
    assert stats.kstest((first - 1) / 2.0, "norm").pvalue < 1e-7


def test_a_seed_says_which_draws_and_more_of_them_begin_alike():
    few, again, many = (draws_of(binomial(2.0), n, seed=4) for n in (10, 10, 30))
    np.testing.assert_array_equal(few, again)
    np.testing.assert_array_equal(few, many[:10])
    assert not np.array_equal(few, draws_of(binomial(2.0), 10, seed=5))


def test_the_few_draws_that_round_to_the_edge_of_the_support_are_drawn_again():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dt = pms.sample_tempered(
            200, tune=100, model=binomial(0.2), random_seed=1, quiet=True,
            idata_kwargs=POINTWISE_OFF,
        )  # fmt: skip
    assert any("prior draws of p" in str(w.message) and "drawn again" in str(w.message)
               for w in caught)  # fmt: skip
    assert np.all(np.isfinite(dt["tempering"]["log_prior_unconstrained"]))
    found = pms.log_evidence(dt)
    truth = np.log(120) + betaln(7.2, 3.2) - betaln(0.2, 0.2)
    within(found["log_evidence"], truth, found["mcse"])


def test_a_prior_with_mass_on_the_edge_is_named():
    with pytest.raises(errors.ImproperPriorError, match=r"0\.0\d+ of the prior draws of p.*edge"):
        pms.sample_tempered(50, model=binomial(0.05), random_seed=1, quiet=True)


def test_copies_of_a_draw_are_one_family():
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1, shape=2)
        pm.Potential("constraint", -3.0 * pt.sum(x**2))
        pm.Normal("y", x, 1.0, observed=[0.5, 0.5])
    split = pms.tempered_model(model)
    energy_function = split.compile()
    prior = compile_prior_draws(split, energy_function)
    sample = checked_prior_sample(split, energy_function, prior, 4000, np.random.default_rng(1))
    distinct = len(np.unique(sample.x, axis=0))
    assert distinct < 3900
    assert len(np.unique(sample.family)) == distinct
    same = np.all(sample.x[1:] == sample.x[:-1], axis=1)
    np.testing.assert_array_equal(same, sample.family[1:] == sample.family[:-1])
    # which the pilot's bookkeeping begins with
    halves = in_halves(sample.x, sample.values, sample.family)
    np.testing.assert_array_equal(halves.family.ravel(), sample.family)
