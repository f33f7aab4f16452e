"""Bayes factors and model probabilities, and what does not compare."""

from functools import cache

import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms
from pm_statmech import errors
from pm_statmech.stats.comparison import bayes_factors, model_probabilities

from ..conftest import POINTWISE_OFF, Z_LIMIT, within

Y = np.array([0.3, 1.1, 2.0, 0.4])
NAMES = {"narrow": 1.0, "wide": 30.0}


def sample(model, seed=3, **options):
    options = {"tune": 250, "random_seed": seed, "quiet": True, "idata_kwargs": POINTWISE_OFF,
               **options}  # fmt: skip
    return pms.sample_tempered(250, model=model, **options)


def system(name):
    return pms.solvable.conjugate_normal(Y, sigma=1.0, prior_sd=NAMES[name])


@cache
def tree(name):
    return sample(system(name).model())


def models():
    return {"wide": tree("wide"), "narrow": tree("narrow")}


def test_against_closed_form():
    table = pms.evidence_compare(models(), prior={"wide": 3.0, "narrow": 1.0})
    assert list(table.index) == ["narrow", "wide"]
    truth = {name: system(name).log_partition(1.0) for name in NAMES}
    for name in NAMES:
        within(table.log_evidence[name], truth[name], table.mcse[name])
    assert table.log_bayes_factor["narrow"] == table.log_bayes_factor_mcse["narrow"] == 0
    factor = truth["wide"] - truth["narrow"]
    within(table.log_bayes_factor["wide"], factor, table.log_bayes_factor_mcse["wide"])
    odds = 3 * np.exp(factor)
    within(table.probability["wide"], odds / (1 + odds), table.probability_mcse["wide"])
    assert table.probability.sum() == pytest.approx(1.0)
    assert table.prior["wide"] == 0.75
    assert table.attrs["target_beta"] == 1.0
    # control: without the prior weights the probability is another
    equal = pms.evidence_compare(models())
    gap = equal.probability["wide"] - odds / (1 + odds)
    assert abs(gap) > Z_LIMIT * equal.probability_mcse["wide"]


def test_errors_of_probabilities():
    """Errors by the delta method against the spread over simulated evidences."""
    truth, mcse = np.array([-3.0, -2.5, -6.0]), np.array([0.04, 0.02, 0.09])
    prior = np.array([0.2, 0.3, 0.5])
    noisy = truth + mcse * np.random.default_rng(0).normal(size=(2000, 3))
    found = np.array([model_probabilities(each, mcse, prior)[0] for each in noisy])
    exact, error = model_probabilities(truth, mcse, prior)
    np.testing.assert_allclose(exact, prior * np.exp(truth) / (prior @ np.exp(truth)))
    np.testing.assert_allclose(np.std(found, axis=0), error, rtol=0.08)
    factors = np.array([bayes_factors(each, mcse)[0] for each in noisy])
    np.testing.assert_allclose(np.std(factors, axis=0), bayes_factors(truth, mcse)[1], rtol=0.08)
    # control: the errors of the log evidences, taken for those of probabilities
    assert not np.allclose(np.std(found, axis=0), mcse * exact, rtol=0.08)


def test_evidences_far_apart_and_weights_of_zero():
    probability, error = model_probabilities(
        np.array([-5000.0, -4000.0, -10.0]), np.full(3, 0.1), np.array([0.5, 0.5, 0.0])
    )
    np.testing.assert_array_equal(probability, [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(error, 0.0)


def test_a_truncated_prior_written_in_two_ways():
    """N(0, 1) cut at 0 by a distribution or by a Potential is one model: Bayes factor 1."""
    with pm.Model() as by_distribution:
        mu = pm.HalfNormal("mu", 1)
        pm.Normal("y", mu, 1, observed=Y)
    with pm.Model() as by_potential:
        mu = pm.Normal("mu", 0, 1)
        pm.Potential("positive", pm.math.switch(mu > 0, 0.0, -np.inf))
        pm.Normal("outcome", mu, 1, observed=Y)
    table = pms.evidence_compare(
        {"distribution": sample(by_distribution, seed=4), "potential": sample(by_potential, seed=5)}
    )
    [factor] = set(table.log_bayes_factor) - {0.0}
    within(factor, 0.0, max(table.log_bayes_factor_mcse))
    error = 1 / np.sqrt(10_000)
    within(table.log_partition_zero["potential"], np.log(0.5), error)
    # control: as written the integrals differ by log 2
    assert np.log(2) > Z_LIMIT * max(table.log_bayes_factor_mcse)


def altered(name, **attrs):
    """A copy of a tree with other attributes of its run."""
    dt = tree(name).copy(deep=True)
    dt["tempering"].attrs.update(attrs)
    return dt


def other_data():
    dt = tree("wide").copy(deep=True)
    dt["observed_data"]["y"][0] += 0.1
    return dt


def terms(kind, unit, ratio=1.0):
    return (f'[{{"name": "y", "kind": "{kind}", "ratio": {ratio}, "unit": "{unit}", '
            '"n_observations": 4}]')  # fmt: skip


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (other_data, r"different observed data \(y and y\)"),
        (lambda: altered("wide", n_observations=5), "explain 4 and 5 observations"),
        (
            lambda: altered("wide", tempered_terms=terms("loss", "y^2")),
            r"\(likelihood in nats x 1\).*\(loss in y\^2 x 1\)",
        ),
        (lambda: altered("wide", tempered_terms=terms("likelihood", "nats", 0.5)), "x 0.5"),
        (lambda: altered("wide", target_beta=0.5), "targets beta = 1 and 0.5"),
        (
            lambda: altered("wide", reference="Z(0)", log_partition_zero_mcse=0.7,
                            prior_reason="the Potential 'c' stays with the prior"),
            r"'wide' is not normalised \(the Potential 'c' .*0\.7 nats",
        ),
    ],
)  # fmt: skip
def test_what_does_not_compare(second, message):
    with pytest.raises(errors.EvidenceError, match=f"(?s){message}"):
        pms.evidence_compare({"narrow": tree("narrow"), "wide": second()})


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({"wide": 1.0}, r"\['wide'\] must give one weight to each of .*'narrow', 'wide'"),
        ({"wide": 1.0, "narrow": -1.0}, "not negative"),
        ({"wide": 0.0, "narrow": 0.0}, "not all 0"),
        ([0.5, 0.5], r"\[0\.5, 0\.5\] must"),
    ],
)
def test_prior_weights_that_are_none(prior, message):
    with pytest.raises(errors.EvidenceError, match=message):
        pms.evidence_compare(models(), prior=prior)


def test_things_that_are_not_models():
    with pytest.raises(errors.EvidenceError, match=r"two or more models.*\['wide'\]"):
        pms.evidence_compare({"wide": tree("wide")})
    with pytest.raises(errors.EvidenceError, match="got list"):
        pms.evidence_compare([tree("wide"), tree("narrow")])
    with pytest.raises(errors.TreeError, match="'narrow': this needs the DataTree"):
        pms.evidence_compare({"wide": tree("wide"), "narrow": tree("narrow")["posterior"]})
