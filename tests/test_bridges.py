"""Bridges on exact draws: values, errors, and modes whose shares are wrong."""

import numpy as np
import pytest
from scipy import stats

from pm_statmech import errors
from pm_statmech.bridges import bennett_ratio, bridge_modes, in_half, join_halves, pilot_evidence

from .conftest import within

LOG_Z = 1.7


def log_target(x):
    """A Student-t, times e^1.7: heavier than its Gaussian reference."""
    return LOG_Z + stats.t(5).logpdf(x)


Q = stats.norm(0.1, 1.2)


def test_bennett_finds_the_constant_of_two_densities():
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(200):
        x, y = stats.t(5).rvs(2000, random_state=rng), Q.rvs(2000, random_state=rng)
        r, hot, cold = bennett_ratio(log_target(y) - Q.logpdf(y), log_target(x) - Q.logpdf(x))
        scores.append((r - LOG_Z) / np.sqrt(np.mean(hot**2) / 2000 + np.mean(cold**2) / 2000))
    within(np.mean(scores), 0.0, 1 / np.sqrt(200))
    assert np.std(scores) == pytest.approx(1.0, abs=5.5 / np.sqrt(400))


def two_modes(n_wide, n_narrow, rng):
    """Modes of masses 3 and 1 at -10 and 10, with a share of draws that may be anything."""
    x = np.concatenate([rng.normal(-10, 1.0, n_wide), rng.normal(10, 0.5, n_narrow)])
    mode = (x > 0).astype(int)
    log_pi = np.log(3 * stats.norm.pdf(x, -10, 1.0) + stats.norm.pdf(x, 10, 0.5))
    references = [stats.norm(-10.1, 1.1), stats.norm(10.0, 0.6)]
    log_q = np.where(mode == 0, references[0].logpdf(x), references[1].logpdf(x))
    drawn = []
    for m, q in enumerate(references):
        y = q.rvs(4000, random_state=rng)
        inside = (y > 0) == bool(m)
        value = np.log(3 * stats.norm.pdf(y, -10, 1.0) + stats.norm.pdf(y, 10, 0.5))
        drawn.append(np.where(inside, value - q.logpdf(y), -np.inf))
    return log_pi - log_q, mode, np.array(drawn)


@pytest.mark.parametrize("shares", [(3000, 1000), (1000, 3000), (3900, 100)])
def test_mode_weights_do_not_follow_the_counts(shares):
    rng = np.random.default_rng(1)
    found = bridge_modes(*two_modes(*shares, rng))
    errors = np.sqrt(np.mean(found.on_target**2, axis=1) / sum(shares) + found.reference_variance)
    within(found.log_z[0], np.log(3.0), errors[0])
    within(found.log_z[1], 0.0, errors[1])
    both = join_halves(found, bridge_modes(*two_modes(*shares, rng)))
    np.testing.assert_allclose(both.weights, [0.75, 0.25], atol=0.01)
    np.testing.assert_allclose(both.part, 0.5, atol=0.01)
    np.testing.assert_allclose(found.share, np.array(shares) / sum(shares))


def test_a_mode_without_draws_has_no_mass():
    log_ratio, mode, drawn = two_modes(2000, 0, np.random.default_rng(2))
    found = bridge_modes(log_ratio, mode, drawn)
    assert found.log_z[1] == -np.inf
    both = join_halves(found, found)
    np.testing.assert_array_equal(both.weights, [1.0, 0.0])
    np.testing.assert_allclose(both.log_z, found.log_z[0])


def test_a_mode_that_one_half_missed_is_weighed_by_the_other_alone():
    seen, missed = (two_modes(2000, n, np.random.default_rng(3)) for n in (500, 0))
    both = join_halves(bridge_modes(*seen), bridge_modes(*missed))
    np.testing.assert_allclose(both.weights, [0.75, 0.25], atol=0.02)
    np.testing.assert_allclose(both.log_z, join_halves(*[bridge_modes(*seen)] * 2).log_z, atol=0.02)
    np.testing.assert_array_equal(both.part[:, 1], [1.0, 0.0])


def test_unequal_numbers_of_draws_are_bridged_at_the_right_constant():
    rng = np.random.default_rng(4)
    for n_hot, n_cold in ((20_000, 500), (500, 20_000)):
        y, x = Q.rvs(n_hot, random_state=rng), stats.t(5).rvs(n_cold, random_state=rng)
        r, hot, cold = bennett_ratio(log_target(y) - Q.logpdf(y), log_target(x) - Q.logpdf(x))
        within(r, LOG_Z, np.sqrt(np.mean(hot**2) / n_hot + np.mean(cold**2) / n_cold))


def test_halves_are_of_every_chain():
    values = np.arange(28).reshape(4, 7)
    np.testing.assert_array_equal(in_half(values, 0), values[:, :3])
    np.testing.assert_array_equal(in_half(values, 1), values[:, 3:])


def test_a_density_without_a_finite_draw_is_named():
    with pytest.raises(errors.EvidenceError, match="none of the draws"):
        bennett_ratio(np.full(5, -np.inf), np.zeros(5))


def pilot(seed, n=400, sweeps=5, clones=1):
    """Particles of exact draws; `clones` of them share an ancestor and a value."""
    rng = np.random.default_rng(seed)
    log_ratio, mode, drawn, family = [], [], [], []
    for _half in range(2):
        x = stats.t(5).rvs((n // clones, sweeps), random_state=rng)
        x = np.repeat(x, clones, axis=0)
        q = stats.norm(0.1, 1.2)
        y = q.rvs(4000, random_state=rng)
        log_ratio.append(log_target(x) - q.logpdf(x))
        mode.append(np.zeros_like(x, dtype=int))
        drawn.append((log_target(y) - q.logpdf(y))[None])
        family.append(np.repeat(np.arange(n // clones), clones))
    half = np.repeat([0, 1], n)
    return pilot_evidence(np.concatenate(log_ratio), np.concatenate(mode), half,
                          np.concatenate(family), np.array(drawn))  # fmt: skip


@pytest.mark.parametrize("clones", [1, 8])
def test_errors_of_the_pilot_know_of_families(clones):
    found = [pilot(seed, clones=clones) for seed in range(150)]
    scores = np.array([(f.log_z - LOG_Z) / f.mcse for f in found])
    # errors of the halves are added, as if they were one: wide by up to sqrt(2), never narrow
    assert 0.55 < np.std(scores) < 1.15
    assert np.mean([f.clustering for f in found]) == pytest.approx(clones, rel=0.2)
    assert found[0].families[0] == pytest.approx(400 / clones)
    plain = np.array([(f.log_z - LOG_Z) / f.mcse * np.sqrt(max(f.clustering, 1)) for f in found])
    if clones > 1:
        assert np.std(plain) > 1.3  # control: without the families the error is too small


def test_densities_without_overlap_have_no_error_to_speak_of():
    _, hot, cold = bennett_ratio(np.full(50, -900.0), np.array([900.0, 901.0]))
    assert np.sqrt(np.mean(hot**2) / 50) > 1e50
    assert np.all(np.isfinite(cold))
