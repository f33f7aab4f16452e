"""Peaks of heat capacities: exactly drawn energies of systems with and without one."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, gammaln, logsumexp

import pm_statmech as pms
from pm_statmech.stats.mbar import solve_mbar
from pm_statmech.stats.peaks import energy_cumulants

from ..conftest import within
from .runs import springs, tree_of

N = 100
M = np.arange(-N, N + 1, 2)
LOG_COUNT = gammaln(N + 1) - gammaln((N + M) / 2 + 1) - gammaln((N - M) / 2 + 1)
MAGNET = -(M**2) / (2.0 * N)


def weights(beta):
    log_p = LOG_COUNT - beta * MAGNET
    return np.exp(log_p - logsumexp(log_p))


def capacity(beta):
    p = weights(beta)
    mean = p @ MAGNET
    return beta**2 * (p @ (MAGNET - mean) ** 2)


PEAK = minimize_scalar(lambda b: -capacity(b), bounds=(1.0, 1.5), method="bounded").x


def magnet_tree(seed, betas, draws=1500):
    rng = np.random.default_rng(seed)
    energy = np.stack(
        [rng.choice(MAGNET, size=(4, draws), p=weights(beta)) for beta in betas], axis=-1
    )
    return pms.from_energies(energy, betas)


def test_the_peak_is_the_known_one():
    # Curie and Weiss's magnet of 100 spins
    assert pytest.approx(1.2132, abs=5e-5) == PEAK
    assert capacity(PEAK) == pytest.approx(123.356, abs=5e-4)


def test_cumulants_against_the_sum_over_states():
    betas = np.linspace(0, 2, 21)
    solution = solve_mbar(magnet_tree(1, betas)["tempering"]["energy"].values, betas)
    for beta in (0.43, 1.1):
        found = energy_cumulants(solution, beta)
        p = weights(beta)
        mean = p @ MAGNET
        central = [p @ (MAGNET - mean) ** k for k in (2, 3, 4)]
        exact = [mean, central[0], central[1], central[2] - 3 * central[0] ** 2]
        errors = found.influence.std(axis=(0, 1)) / np.sqrt(found.influence[..., 0].size)
        for k in range(3):
            within(found.values[k], exact[k], errors[k])
        assert found.values[3] == pytest.approx(exact[3], rel=0.3)


@pytest.mark.exhaustive
def test_place_and_height_have_honest_errors():
    betas = np.linspace(0, 2, 21)
    z = []
    for seed in range(25):
        peaks = pms.heat_capacity_peaks(magnet_tree(seed, betas))
        assert peaks.sizes["peak"] == 1
        [row] = np.array([peaks[name].values for name in peaks.data_vars]).T
        z.append([(row[0] - PEAK) / row[1], (row[2] - capacity(PEAK)) / row[3]])
        assert abs(row[0] - PEAK) < 0.02 * PEAK
    z = np.array(z)
    assert np.max(np.abs(z)) < 5.5
    # the root mean square of 25 such numbers lies between these in all but 1e-4 of cases
    assert np.all(np.sqrt(np.mean(z**2, axis=0)) > 0.55)
    assert np.all(np.sqrt(np.mean(z**2, axis=0)) < 1.55)


def test_no_peaks_where_there_are_none():
    # springs: C grows to half their number
    betas = np.concatenate([[0.0], np.geomspace(0.05, 60, 14)])
    for seed in range(10):
        x = springs(seed, betas, memory=0.4)
        peaks = pms.heat_capacity_peaks(tree_of(0.5 * np.sum(x**2, axis=-1), betas, target=60.0))
        assert peaks.sizes["peak"] == 0


def test_two_peaks():
    # two levels far apart, twice: gaps 1 and 300 of independent switches, ten of each
    betas = np.concatenate([[0.0], np.geomspace(1e-3, 12, 40)])
    rng = np.random.default_rng(7)

    def switches(gap, beta):
        return gap * rng.binomial(10, expit(-beta * gap), size=(4, 800))

    energy = np.stack([switches(1.0, b) + switches(300.0, b) for b in betas], axis=-1)
    peaks = pms.heat_capacity_peaks(tree_of(energy.astype(float), betas, target=12.0))
    assert peaks.sizes["peak"] == 2
    # Schottky's peak is where beta times the gap is 2.3994, and its height 0.4392 a switch
    for k, gap in enumerate((300.0, 1.0)):
        here = peaks.isel(peak=k)
        within(here["inverse_temperature"], 2.39936 / gap, here["inverse_temperature_mcse"])
        within(here["heat_capacity"], 10 * 0.439229, here["heat_capacity_mcse"])
