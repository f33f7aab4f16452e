"""Thermodynamic integration: its formula, its bias, its errors and what it does at beta = 0."""

import numpy as np
import pytest
from scipy import integrate

import pm_statmech as pms
from pm_statmech import errors
from pm_statmech.stats.integration import corrected_trapezoid

from ..conftest import Z_LIMIT, within
from .runs import RUNG, SYSTEMS, run_of, springs, tree_of

UNIFORM = np.linspace(0, 1, 41)


@pytest.mark.parametrize(
    ("betas", "plain", "corrected"),
    [(UNIFORM, -543.97, -35.41), (UNIFORM**5, -496.842, -496.596)],
    ids=["uniform", "fifth power"],
)
def test_published_rule_on_the_exact_curve(diabetes_system, betas, plain, corrected):
    """The bias of the ladder, without Monte Carlo: log Z is -496.599."""
    mean = np.array([diabetes_system.mean_energy(b) for b in betas])
    variance = np.array([diabetes_system.energy_variance(b) for b in betas])
    steps = corrected_trapezoid(betas, mean, variance)
    assert np.sum(steps.trapezoid) == pytest.approx(plain, abs=0.01 if plain < -500 else 5e-4)
    assert np.sum(steps) == pytest.approx(corrected, abs=0.01 if plain < -500 else 5e-4)


def test_a_cubic_is_integrated_exactly():
    """U = 1 - b + b^2 - b^3 with V = -dU/db, over uneven rungs, has the integral 7/12."""
    betas = np.array([0.0, 0.05, 0.4, 1.0])
    mean = 1 - betas + betas**2 - betas**3
    variance = 1 - 2 * betas + 3 * betas**2
    assert np.sum(corrected_trapezoid(betas, mean, variance)) == pytest.approx(-7 / 12, abs=1e-14)
    wrong = corrected_trapezoid(betas, mean, variance).trapezoid
    assert abs(np.sum(wrong) + 7 / 12) > 1e-3  # control: the correction is needed


FINE = np.linspace(0, 1, 12) ** 2


def test_scores_on_correlated_draws():
    """Over 50 data sets the scores have sd 1; without the correction they are far off."""
    betas, truth = np.linspace(0, 1, 4), -12 * np.log(2)
    scores, plain = [], []
    for seed in range(50):
        energy = 0.5 * np.sum(springs(seed, betas, d=24, memory=0.6) ** 2, axis=-1)
        found = pms.thermodynamic_integration(tree_of(energy, betas))
        scores.append(float((found.log_evidence - truth) / found.mcse))
        plain.append(float((found.log_evidence - found.correction - truth) / found.mcse))
    assert np.max(np.abs(scores)) < Z_LIMIT
    assert np.std(scores) == pytest.approx(1.0, abs=5.5 / np.sqrt(2 * 50))
    within(np.mean(scores), 0.0, 1 / np.sqrt(50))
    assert abs(np.mean(plain)) > Z_LIMIT / np.sqrt(50)  # control


@pytest.mark.parametrize("name", SYSTEMS)
def test_runs(name):
    """A short ladder: the bias may be as large as the correction that was made."""
    found, system = pms.thermodynamic_integration(run_of(name)), SYSTEMS[name]
    gap = abs(float(found.log_evidence) - system.log_partition(1.0))
    assert gap <= Z_LIMIT * float(found.mcse) + abs(float(found.correction))
    assert float(found.log_partition.sel({RUNG: 1.0})) == float(found.log_evidence)
    at = pms.thermodynamics(run_of(name))
    np.testing.assert_allclose(found.integrand, -at.mean_energy)
    np.testing.assert_allclose(found.integrand_mcse, at.mean_energy_mcse)


def test_infinite_energies_of_the_prior():
    """A fifth of the prior is excluded: log Z = log 0.8 - 3 log(1 + beta)."""
    energy = 0.5 * np.sum(springs(1, FINE) ** 2, axis=-1)
    out = np.random.default_rng(1).random(energy.shape[:2]) < 0.2
    energy[..., 0] = np.where(out, np.inf, energy[..., 0])
    found = pms.thermodynamic_integration(tree_of(energy, FINE))
    within(found.log_evidence, np.log(0.8) - 3 * np.log(2), found.mcse)
    assert abs(float(found.log_evidence) + 3 * np.log(2)) > Z_LIMIT * found.mcse  # control
    assert np.isnan(found.integrand[0])
    assert np.all(np.isfinite(found.integrand[1:]))
    assert "infinite energies" in found.attrs["note"]


def test_a_prior_without_a_mean_energy():
    """Energies of density 1/(1 + E)^2 at the prior, drawn at each rung by its own distribution."""
    betas = np.linspace(0, 1, 14) ** 2
    grid = np.expm1(np.linspace(0, 16, 40_001))
    rng = np.random.default_rng(2)
    energy = np.empty((4, 500, len(betas)))
    for k, beta in enumerate(betas):
        density = np.exp(-beta * grid) / (1 + grid) ** 2
        cumulative = integrate.cumulative_simpson(density, x=grid, initial=0)
        if beta == 0:
            energy[..., k] = 1 / (1 - rng.random((4, 500))) - 1
        else:
            energy[..., k] = np.interp(rng.random((4, 500)), cumulative / cumulative[-1], grid)
    truth = np.log(integrate.quad(lambda e: np.exp(-e) / (1 + e) ** 2, 0, np.inf)[0])
    found = pms.thermodynamic_integration(tree_of(energy, betas))
    within(found.log_evidence, truth, found.mcse)
    assert "heavy tail" in found.attrs["note"]
    # control: the trapezoid over the first pair, from the draws' own mean, is far off
    naive = corrected_trapezoid(betas, energy.mean((0, 1)), energy.var((0, 1)))
    assert abs(np.sum(naive) - truth) > Z_LIMIT * found.mcse


def test_a_tree_of_something_else():
    with pytest.raises(errors.TreeError, match="tempering"):
        pms.thermodynamic_integration(run_of("Beta-Bernoulli")["posterior"])
