"""Evidence of ordinary traces: against closed forms, with transforms, two modes, and refusals."""

import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms

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
