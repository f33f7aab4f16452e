import numpy as np
import pytest

from pm_statmech.samplers.annealing import next_beta, systematic_resample, uneven
from pm_statmech.samplers.rounds import round_lengths


def test_next_beta_keeps_half_the_ess():
    energies = np.random.default_rng(0).gamma(2.0, 1000.0, size=1000)
    beta = next_beta(energies, 0.0, 1.0)
    weights = np.exp(-beta * (energies - energies.min()))
    assert weights.sum() ** 2 / (weights**2).sum() == pytest.approx(500, rel=1e-6)


def test_next_beta_stops_at_the_ceiling_and_ignores_infinities():
    assert next_beta(np.zeros(10), 0.3, 0.7) == 0.7
    energies = np.array([1.0, 2.0, 3.0, 4.0])
    mixed = np.append(energies, [np.inf] * 20)
    assert next_beta(mixed, 0.0, 50.0) == pytest.approx(next_beta(energies, 0.0, 50.0))


def test_systematic_resampling_is_unbiased_and_tight():
    weights = np.array([0.5, 0.25, 0.15, 0.1])
    counts = np.mean(
        [np.bincount(systematic_resample(weights, u), minlength=4)
         for u in (np.arange(1000) + 0.5) / 1000], axis=0,
    )  # fmt: skip
    np.testing.assert_allclose(counts, 4 * weights, atol=2e-3)


def test_rounds_use_all_of_the_tuning():
    for n in (0, 10, 63, 64, 1000, 4321):
        assert sum(round_lengths(n)) == n
    assert round_lengths(1000) == [62, 125, 250, 563]


def test_particles_that_the_full_step_leaves_behind_are_seen():
    rng = np.random.default_rng(0)
    alike = rng.random((2, 2, 4000)) < 0.2
    assert not uneven(*alike)
    # one particle in ten is in a mode too narrow for the step
    stuck = rng.random((2, 4000)) < 0.1
    assert uneven(alike[0] | stuck, alike[1] | stuck)
