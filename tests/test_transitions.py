"""Signs of a transition: silent on one phase, loud on two, and named in verdicts."""

import re
import warnings

import numpy as np
import pytest

import pm_statmech as pms
from pm_statmech.errors import PhaseTransitionWarning
from pm_statmech.transitions import VALLEY, expected_restarts, find_transitions, valley

from .conftest import POINTWISE_OFF

BETAS = np.array([0.0, 0.3, 1.0])
NONE = np.empty(0)
LOG_2PI = np.log(2 * np.pi)


def energies(rng, gap=0.0):
    """Energies of a chi-square body at three rungs; `gap` parts the coldest in two phases."""
    e = rng.chisquare(5, size=(4, 500, 3)) / 2
    e[..., 2] += gap * rng.integers(2, size=(4, 500))
    return e


def signs(e, *, rejections=(0.3, 0.3), restarts=(150,) * 4, r_hat=(1.0,) * 3, searched=NONE):
    return find_transitions(
        e, BETAS, 2, np.array(rejections), np.array(restarts), np.array(r_hat), np.array(searched)
    )


def test_one_phase_has_no_valley_and_two_have():
    rng = np.random.default_rng(0)
    depths = [valley(rng.chisquare(k, size=2000)) for k in (1, 2, 5, 50) for _ in range(25)]
    assert min(depths) > 0.5
    heavy = [valley(np.abs(rng.standard_cauchy(2000))) for _ in range(25)]
    assert min(heavy) > VALLEY
    apart = np.concatenate([rng.normal(0, 1, 1000), rng.normal(7, 1, 300)])
    assert valley(apart) < 0.2
    levels = rng.integers(5, size=2000).astype(float)
    assert valley(levels) == 1.0
    assert valley(np.full(100, 3.0)) == valley(apart[:20]) == 1.0


def test_a_healthy_run_gives_no_sign():
    for seed in range(20):
        assert signs(energies(np.random.default_rng(seed))) == []


@pytest.mark.parametrize(
    ("changes", "beta", "words"),
    [
        ({"restarts": (1, 0, 0, 2)}, 0.3, "3 prior draws reached the target"),
        ({"r_hat": (np.nan, 1.0, 1.4)}, 1.0, "independent ladders disagree"),
        (
            {"searched": (0.4, 1e-6)},
            1.0,
            "modes with weights 0.4 at beta = 1 were found by a search only",
        ),
    ],
)
def test_each_sign_names_its_beta(changes, beta, words):
    [found] = signs(energies(np.random.default_rng(1)), **changes)
    assert found.beta == beta
    assert re.search(words, found.sentence)


def test_two_phases_are_named_at_their_rung():
    [found] = signs(energies(np.random.default_rng(2), gap=30.0))
    assert found.beta == 1.0
    assert "two phases coexist" in found.sentence


def test_restarts_without_rejections_come_every_other_scan():
    assert expected_restarts(np.zeros(5), 1000) == pytest.approx(500.0, abs=4)
    # beyond the simulated scans at the rate of the theory
    few, many = (expected_restarts(np.array([0.5, 0.5]), n) for n in (2000, 8000))
    assert few == pytest.approx(2000 / 6, rel=0.05)
    assert many - few == pytest.approx(6000 / 6)


def test_a_long_ladder_takes_time_before_the_first_replica_has_come_through():
    rejections = np.full(55, 0.5)
    rate = 1 / (2 + 2 * 55)
    assert expected_restarts(rejections, 300) < 0.2 * 300 * rate
    assert expected_restarts(rejections, 1000) < 0.5 * 1000 * rate
    gained = expected_restarts(rejections, 40_000) - expected_restarts(rejections, 20_000)
    assert gained == pytest.approx(20_000 * rate)


def unequal_modes(d=10, sds=(1.0, 0.25)):
    """Two modes whose hot end holds a millionth of the narrow one; exact weights."""
    import pymc as pm
    import pytensor.tensor as pt
    from scipy import stats
    from scipy.special import logsumexp

    centres = [np.full(d, sign * 7.5 / np.sqrt(d)) for sign in (-1, 1)]
    with pm.Model() as model:
        x = pm.Normal("x", 0, 10, shape=d)
        terms = [
            np.log(0.5) - pt.sum((x - c) ** 2) / (2 * s**2) - d * np.log(s) - 0.5 * d * LOG_2PI
            for c, s in zip(centres, sds, strict=True)
        ]
        pms.GibbsPotential("target", -pt.logaddexp(*terms))
    parts = [np.log(0.5) + np.sum(stats.norm.logpdf(c, 0, np.sqrt(100 + s**2)))
             for c, s in zip(centres, sds, strict=True)]  # fmt: skip
    return model, float(logsumexp(parts)), float(np.exp(parts[1] - logsumexp(parts)))


def test_a_mode_no_particle_saw_is_found_weighed_and_reported():
    model, log_z, share = unequal_modes()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dt = pms.sample_tempered(
            500, tune=64, model=model, random_seed=1, quiet=True, idata_kwargs=POINTWISE_OFF
        )
    assert {w.category for w in caught} == {PhaseTransitionWarning}
    assert any("found by a search only" in str(w.message) for w in caught)
    assert dt["reference"].attrs["n_modes_found_by_search"] == 1
    with warnings.catch_warnings():
        # the pilot's own ladder is right to disagree: it never saw the mode
        warnings.simplefilter("ignore", pms.errors.EvidenceWarning)
        found = pms.log_evidence(dt)
        verdict = pms.verdict(dt)
    assert abs(float(found["log_evidence"]) - log_z) < 5.5 * float(found["mcse"]) + 1e-6
    assert float((dt["posterior"]["x"].sum("x_dim_0") > 0).mean()) == pytest.approx(share, abs=0.06)
    assert any(f.question == "Is there a phase transition?" for f in verdict.findings)


def test_no_valley_in_the_noise_of_a_short_run_with_a_heavy_tail():
    """Powers of normals have one peak; 200 draws of them have dips, of which none is a sign."""
    rng = np.random.default_rng(5)
    depths = [valley(rng.standard_normal(200) ** 4) for _ in range(100)]
    assert min(depths) == 1.0
    # control: two peaks are seen in as few draws
    both = np.concatenate([rng.normal(0, 1, 150), rng.normal(8, 0.5, 50)])
    assert valley(both) < VALLEY
