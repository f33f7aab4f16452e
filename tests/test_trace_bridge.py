"""Evidence of ordinary traces: against closed forms, with transforms, two modes, and refusals."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from xarray import DataTree

import pm_statmech as pms
from pm_statmech import errors

from .conftest import within


def trace_of(model, draws=500, **options):
    with model:
        return pm.sample(draws, tune=500, chains=4, cores=1, random_seed=2, progressbar=False,
                         quiet=True, nuts_sampler="pymc", compute_convergence_checks=False,
                         **options)  # fmt: skip


def test_a_transformed_parameter_against_the_ladder_and_beta_binomial():
    system = pms.solvable.beta_bernoulli(7, 3)
    model = system.model()
    trace = trace_of(model)
    found = pms.bridge(trace, model, random_seed=0)
    within(found["log_evidence"], system.log_partition(1.0), found["mcse"])
    assert float(found["mcse"]) < 0.01
    # a control: the same trace under other data is another evidence, which is found as well
    other = pms.solvable.beta_bernoulli(6, 4)
    assert abs(float(found["log_evidence"]) - other.log_partition(1.0)) > 5.5 * float(found["mcse"])
    moved = pms.bridge(trace, other.model(), random_seed=0)
    within(moved["log_evidence"], other.log_partition(1.0), moved["mcse"])


def test_draws_of_a_tempered_posterior_at_their_own_beta():
    system = pms.solvable.conjugate_normal(np.arange(5.0), sigma=1.0, prior_sd=3.0)
    model = system.model()
    found = pms.bridge(trace_of(pms.temper(model, 0.37)), model, beta=0.37, random_seed=0)
    within(found["log_evidence"], system.log_partition(0.37), max(float(found["mcse"]), 1e-7))


def test_what_a_bridge_refuses():
    with pm.Model() as mixed:
        k = pm.Bernoulli("k", 0.5)
        pm.Normal("y", k, 1, observed=[0.3])
    trace = pm.sample_prior_predictive(50, model=mixed, random_seed=0)
    trace["posterior"] = trace["prior"]
    with pytest.raises(pms.errors.EvidenceError, match="1 integers seen"):
        pms.bridge(trace, mixed)
    with pm.Model() as many:
        x = pm.Normal("x", shape=9)
        pm.Normal("y", x.sum(), 1, observed=[0.3])
    trace = pm.sample_prior_predictive(50, model=many, random_seed=0)
    trace["posterior"] = trace["prior"]
    with pytest.raises(pms.errors.EvidenceError, match="20 draws for each"):
        pms.bridge(trace, many)
    trace["posterior"] = trace["prior"].dataset.drop_vars("x")
    with pytest.raises(pms.errors.EvidenceError, match="9 dimensions and 50 draws"):
        pms.bridge(trace, many)
    trace = pm.sample_prior_predictive(200, model=many, random_seed=0)
    trace["posterior"] = trace["prior"].dataset.drop_vars("x")
    with pytest.raises(pms.errors.TreeError, match=r"lacks \['x'\]"):
        pms.bridge(trace, many)


def two_apart():
    """Half N(-10, 1) and half N(10, .5^2) under a flat prior; log Z = -log 100."""
    with pm.Model() as model:
        x = pm.Uniform("x", -50, 50)
        left = pt.log(0.5) - 0.5 * (x + 10) ** 2 - 0.5 * np.log(2 * np.pi)
        right = pt.log(0.5) - 0.5 * ((x - 10) / 0.5) ** 2 - np.log(0.5) - 0.5 * np.log(2 * np.pi)
        pms.GibbsPotential("y", -pt.logaddexp(left, right))
    return model


def stuck(letters, n=1000):
    """A trace of exact draws whose chains each sit in a mode of their own."""
    rng = np.random.default_rng(7)
    x = [rng.normal(-10, 1, n) if letter == "A" else rng.normal(10, 0.5, n) for letter in letters]
    return DataTree.from_dict({"posterior": xr.Dataset({"x": (("chain", "draw"), x)})})


@pytest.mark.parametrize("letters", ["ABAB", "AABB", "AAAB"])
def test_chains_that_are_stuck_in_modes_count_as_the_modes_weigh(letters):
    found = pms.bridge(stuck(letters), two_apart(), random_seed=1)
    within(found["log_evidence"], -np.log(100), found["mcse"])
    within(found["mode_weight"][0], 0.5, found["mode_weight_mcse"][0])
    # control: what the counts say is far from it
    if letters == "AAAB":
        assert abs(0.75 - float(found["mode_weight"][0])) > 5.5 * float(
            found["mode_weight_mcse"][0]
        )


def test_a_mode_of_few_draws_is_said():
    trace = stuck("AAAA")
    trace["posterior"]["x"][0, -10:] = stuck("B")["posterior"]["x"][0, :10].values
    with pytest.warns(errors.EvidenceWarning, match="0 draws in one half"):
        pms.bridge(trace, two_apart(), random_seed=1)
