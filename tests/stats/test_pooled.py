"""MBAR: the laws at rungs and between them, its equations, and its errors."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import pm_statmech as pms
from pm_statmech import errors
from pm_statmech.stats.averages import mcse_of_mean
from pm_statmech.stats.interpolation import at_betas, pooled_thermodynamics
from pm_statmech.stats.mbar import at_beta, mean_at, solve_mbar
from pm_statmech.stats.pooled import means_at, overlaps, thinning
from pm_statmech.stats.pooled_moments import central_moments, influences

from ..conftest import Z_LIMIT, within
from .runs import BETAS, RUNG, SYSTEMS, run_of, springs, tree_of

LADDER = np.array([0.0, 0.1, 0.3, 1.0, 2.5])
QUANTITIES = ("mean_energy", "heat_capacity", "relative_entropy", "log_partition")


@pytest.mark.parametrize("name", SYSTEMS)
class TestLaws:
    @pytest.mark.parametrize("beta", BETAS)
    def test_at_betas_against_closed_form(self, name, beta):
        row = at_betas(run_of(name), beta).isel({RUNG: 0})
        system = SYSTEMS[name]
        within(row.mean_energy, system.mean_energy(beta), row.mean_energy_mcse)
        for quantity in QUANTITIES[1:]:
            if beta == 0:
                assert row[quantity] == row[f"{quantity}_mcse"] == 0
            else:
                within(row[quantity], getattr(system, quantity)(beta), row[f"{quantity}_mcse"])

    def test_mbar_at_every_rung(self, name):
        found, system = pms.mbar(run_of(name)), SYSTEMS[name]
        within(found.log_evidence, system.log_partition(1.0), found.mcse)
        assert found.log_partition[0] == found.log_partition_mcse[0] == 0
        for beta in found[RUNG].values[1:]:
            row = found.sel({RUNG: beta})
            within(row.log_partition, system.log_partition(beta), row.log_partition_mcse)

    def test_another_beta_is_noticed(self, name):
        """Control: the mean energy of 0.37 is not that of 0.74."""
        row = at_betas(run_of(name), 0.37).isel({RUNG: 0})
        for quantity in ("mean_energy", "log_partition"):
            wrong = getattr(SYSTEMS[name], quantity)(0.74)
            assert abs(float((row[quantity] - wrong) / row[f"{quantity}_mcse"])) > Z_LIMIT


def energies(seed, **options):
    return 0.5 * np.sum(springs(seed, LADDER, **options) ** 2, axis=-1)


def test_errors_know_of_autocorrelation():
    """Over 40 data sets worth a draw in 19 scans, scores of log Z, U and C have sd 1."""
    scores, naive = [], []
    for seed in range(40):
        solved = solve_mbar(energies(seed, memory=0.9), LADDER)
        found, error = pooled_thermodynamics(solved, np.array([0.5]))
        truth = {"log_partition": -3 * np.log(1.5), "mean_energy": 2.0, "heat_capacity": 1 / 3}
        scores.append([(found[q][0] - t) / error[q][0] for q, t in truth.items()])
        influence = at_beta(solved, 0.5).influence
        naive.append((found["log_partition"][0] + 3 * np.log(1.5)) / np.std(influence)
                     * np.sqrt(influence.size))  # fmt: skip
    spread = np.std(scores, axis=0)
    np.testing.assert_allclose(spread, 1.0, atol=5.5 / np.sqrt(2 * 40))
    assert np.max(np.abs(scores)) < Z_LIMIT
    assert np.std(naive) > 2  # control: errors for independent draws


def test_the_equations_of_mbar_hold():
    energy = energies(1)
    solved = solve_mbar(energy, LADDER)
    # the published form, with N_j the draws of a rung, by direct sums
    n = energy[..., 0].size
    bottom = sum(n * np.exp(-b * energy - z) for b, z in zip(LADDER, solved.log_z, strict=True))
    for beta, log_z in zip(LADDER, solved.log_z, strict=True):
        assert np.log(np.sum(np.exp(-beta * energy) / bottom)) == pytest.approx(log_z, abs=1e-9)
        assert at_beta(solved, beta).log_z == pytest.approx(log_z, abs=1e-9)
        assert np.sum(at_beta(solved, beta).weights) == pytest.approx(1.0, abs=1e-12)


def test_a_constant_in_the_energy():
    """E + c moves log Z by -beta c and U by c, and leaves C and the errors alone."""
    plain, moved = (
        pooled_thermodynamics(solve_mbar(energies(2) + c, LADDER), np.array([0.2, 1.0]))
        for c in (0.0, 1e4)
    )
    shifts = {"log_partition": np.array([-2e3, -1e4]), "mean_energy": 1e4, "heat_capacity": 0.0,
              "relative_entropy": 0.0}  # fmt: skip
    for quantity, shift in shifts.items():
        np.testing.assert_allclose(moved[0][quantity] - plain[0][quantity], shift, atol=1e-6)
        np.testing.assert_allclose(moved[1][quantity], plain[1][quantity], rtol=1e-5)


def test_many_means_are_means_one_by_one():
    solved = solve_mbar(energies(3), LADDER)
    values = (
        np.random.default_rng(0).normal(size=(*solved.energy.shape, 3)) * solved.energy[..., None]
    )
    found = at_beta(solved, 0.2)
    means, influence = means_at(solved, found, values)
    for m in range(3):
        mean, each = mean_at(solved, found, values[..., m])
        assert means[m] == pytest.approx(mean, abs=1e-13)
        np.testing.assert_allclose(influence[..., m], each, atol=1e-6)
    np.testing.assert_allclose(np.mean(influence, axis=(0, 1)), 0.0, atol=1e-12)


def excluded(seed, share=0.2):
    """Springs of which a fifth of the prior is excluded by infinite energy."""
    energy = energies(seed)
    out = np.random.default_rng(seed).random(energy.shape[:2]) < share
    energy[..., 0] = np.where(out, np.inf, energy[..., 0])
    return energy


def test_infinite_energies_have_their_weight_at_the_prior_alone():
    energy = excluded(4)
    solved = solve_mbar(energy, LADDER)
    infinite = np.isinf(energy).astype(float)[..., None]
    for beta in (0.05, 0.37, 2.5):
        found = at_beta(solved, beta)
        assert np.all(found.weights[np.isinf(energy)] == 0)
        error = mcse_of_mean(found.influence[..., None])[0]
        within(found.log_z, np.log(0.8) - 3 * np.log1p(beta), error)
    share, influence = means_at(solved, at_beta(solved, 0.0), infinite)
    within(share[0], 0.2, mcse_of_mean(influence)[0])
    assert abs(share[0] - 0.3) > Z_LIMIT * mcse_of_mean(influence)[0]  # control


def test_the_prior_without_a_mean_energy():
    found = at_betas(tree_of(excluded(5), LADDER), [0.0, 0.37])
    assert np.isnan(found.mean_energy[0])
    assert np.isnan(found.mean_energy_mcse[0])
    assert "infinite" in found.attrs["note"]
    row = found.isel({RUNG: 1})
    within(row.mean_energy, 3 / 1.37, row.mean_energy_mcse)
    assert at_betas(tree_of(excluded(5), LADDER), 0.37).attrs["note"] == ""


@pytest.mark.parametrize(
    ("beta", "message"),
    [
        (3.0, r"beta = 3 lies outside the ladder.*0 to 2\.5.*betas=\[3\]"),
        (-0.1, "beta = -0.1"),
        (np.nan, "finite"),
        ([[0.5]], r"shape \(1, 1\)"),
        ([], r"shape \(0,\)"),
    ],
)
def test_betas_that_are_no_betas(beta, message):
    with pytest.raises(errors.InverseTemperatureError, match=f"(?s){message}"):
        at_betas(tree_of(energies(6), LADDER), beta)


def test_rungs_that_do_not_overlap():
    energy = np.random.default_rng(0).normal(size=(4, 100, 3))
    energy[..., 0] += 30.0
    message = r"(?s)beta = 0 and 1 have \d.* draws in common.*betas="
    with pytest.raises(errors.EvidenceError, match=message):
        pms.mbar(tree_of(energy, [0.0, 1.0, 1.1]))


def test_overlaps_count_draws():
    """Rungs of one distribution share a quarter of all draws; cold springs leave hot ones."""
    solved = solve_mbar(np.zeros((4, 100, 2)), np.array([0.0, 1.0]))
    np.testing.assert_allclose(overlaps(solved), 200.0)
    gaps = overlaps(solve_mbar(energies(7), LADDER))
    assert np.all((gaps > 100) & (gaps < 2500))


@pytest.mark.parametrize("statistic", [pms.mbar, lambda dt: at_betas(dt, 1.0)])
def test_a_tree_of_something_else(statistic):
    with pytest.raises(errors.TreeError, match="tempering"):
        statistic(run_of("Beta-Bernoulli")["posterior"])


def test_log_z_and_errors_of_independent_draws_are_those_of_pymbar():
    """80 independent draws from each of two chains, six rungs; solved by pymbar 4.0.3."""
    text = (Path(__file__).parents[1] / "reference" / "pymbar.json").read_text()
    reference = json.loads(text)
    solved = solve_mbar(np.array(reference["energy"]), np.array(reference["betas"]))
    np.testing.assert_allclose(solved.log_z, reference["log_z"], rtol=0, atol=1e-9)
    # its errors hold for independent draws, where the effective sample size is the draws' number
    # to within its own noise
    ratio = mcse_of_mean(solved.influence)[1:] / np.array(reference["error"])[1:]
    assert np.all(np.abs(ratio - 1) < 0.2)


def test_moments_at_many_betas_are_those_at_each():
    solved = solve_mbar(energies(3), LADDER)
    betas = np.array([0.0, 0.2, 0.7, LADDER[-1]])
    found = central_moments(solved, betas, order=4)
    on = influences(solved, betas, found)
    for i, beta in enumerate(betas):
        here = at_beta(solved, beta)
        gap = solved.energy - np.sum(here.weights * solved.energy)
        powers = np.stack([solved.energy, gap**2, gap**3, gap**4], axis=-1)
        means, influence = means_at(solved, here, powers)
        np.testing.assert_allclose([found.mean[i], *found.central[i]], means, rtol=1e-10)
        np.testing.assert_allclose(found.log_z[i], here.log_z, atol=1e-12)
        # error bars, in single precision
        scale = np.std(influence, axis=(0, 1))
        np.testing.assert_allclose(on.moments[:, :, i] / scale, influence / scale, atol=1e-4)
        np.testing.assert_allclose(on.log_z[:, :, i], here.influence, atol=1e-5)


def test_blocks_and_shifts_of_the_energy_change_nothing(monkeypatch):
    solved, moved = (solve_mbar(energies(3) + c, LADDER) for c in (0.0, 1e4))
    betas = np.array([0.1, 0.7])
    found, shifted = central_moments(solved, betas, order=3), central_moments(moved, betas, order=3)
    np.testing.assert_allclose(shifted.mean - 1e4, found.mean, rtol=1e-7)
    np.testing.assert_allclose(shifted.central, found.central, rtol=1e-6)
    on = influences(solved, betas, found)
    monkeypatch.setattr("pm_statmech.stats.pooled_moments.BLOCK", 7)
    again = central_moments(solved, betas, order=3)
    np.testing.assert_allclose(again.central, found.central, rtol=1e-12)
    np.testing.assert_allclose(influences(solved, betas, found).moments, on.moments, rtol=1e-4)


def test_large_curves_read_effective_scans(monkeypatch):
    rng = np.random.default_rng(1)
    # an autoregression of coefficient 0.8 has (1 + 0.8) / (1 - 0.8) = 9 draws for an effective one
    x = rng.normal(size=(4, 4000, 3))
    for t in range(1, x.shape[1]):
        x[:, t] = 0.8 * x[:, t - 1] + 0.6 * x[:, t]
    assert thinning(x, 100) == 1
    monkeypatch.setattr("pm_statmech.stats.pooled.LARGE", 1000)
    assert 7 <= thinning(x, 100) <= 11
    assert thinning(rng.normal(size=(4, 4000, 3)), 100) == 1
    assert thinning(np.ones((2, 100, 3)), 100) == 1


def test_shares_that_are_too_many_to_keep_are_made_in_blocks(monkeypatch):
    whole = solve_mbar(energies(3), LADDER)
    # the package has a function of the module's name
    monkeypatch.setattr(sys.modules["pm_statmech.stats.mbar"], "KEPT_SHARES", 10)
    in_blocks = solve_mbar(energies(3), LADDER)
    assert "shares" not in in_blocks.__dict__
    np.testing.assert_allclose(in_blocks.log_z, whole.log_z, atol=1e-12)
    np.testing.assert_allclose(in_blocks.influence, whole.influence, atol=1e-6)
    values = whole.energy[..., None]
    np.testing.assert_allclose(in_blocks.lean(values), whole.lean(values), rtol=1e-4)
