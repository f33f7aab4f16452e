import numpy as np
import pytest
from scipy.special import erf, expit
from scipy.stats import norm

import pm_statmech as pms
from pm_statmech.errors import LadderError, TreeError
from pm_statmech.stats.exchange import evenness, overlap, rejections, replica_paths
from pm_statmech.stats.length import nodes_between

from ..conftest import within
from .runs import BETAS, run_of, springs


def all_within(estimates, truths, errors):
    for triple in zip(*np.broadcast_arrays(estimates, truths, errors), strict=True):
        within(*triple)


def normal_energies(seed, betas, sd=2.0, *, chains=4, draws=2000):
    """Energies of a system with the same variance at every beta: N(-sd^2 beta, sd^2)."""
    rng = np.random.default_rng(seed)
    return rng.normal(-(sd**2) * betas, sd, size=(chains, draws, len(betas)))


def test_rejections_of_a_two_level_system_are_enumerated():
    """Neighbours at beta and beta': a swap can only be rejected where the colder is lower."""
    betas, gap = np.array([0.2, 1.1]), 1.5
    high = expit(-betas * gap)
    exact = high[0] * (1 - high[1]) * (1 - np.exp(-(betas[1] - betas[0]) * gap))
    rng = np.random.default_rng(1)
    energy = gap * (rng.random((4, 20_000, 2)) < high)
    found = pms.exchange_statistics(pms.from_energies(energy, betas, prior_normalised=False))
    within(found["swap_rejection"][0], exact, found["swap_rejection_mcse"][0])
    # of two distributions on two states half of the total variation is the whole of it
    common = 1 - abs(high[0] - high[1])
    within(found["energy_overlap"][0], common, found["energy_overlap_mcse"][0])
    # control: the ratio upside down
    upside_down = np.mean(
        -np.expm1(np.minimum(np.diff(betas) * (energy[..., :1] - energy[..., 1:]), 0))
    )
    assert abs(upside_down - exact) > 5.5 * float(found["swap_rejection_mcse"][0])


def test_overlap_of_normal_energies():
    betas = np.array([0.0, 0.3, 0.9])
    found, error = overlap(normal_energies(2, betas), betas)
    exact = 2 * norm.cdf(-2.0 * np.diff(betas) / 2)
    all_within(found, exact, error)
    assert np.all(error < 0.01)


def test_errors_of_overlaps_know_of_log_z():
    """Far rungs: a quarter of the scatter comes through Bennett's ratio."""
    betas = np.array([0.0, 25.0])
    found = np.array([
        np.concatenate(
            overlap(np.random.default_rng(s).gamma(3.0, 1 / (1 + betas), (4, 250, 2)), betas)
        )
        for s in range(200)
    ])  # fmt: skip
    # standard deviation of 200 numbers is good to 5 per cent
    assert 0.85 < np.std(found[:, 0]) / np.mean(found[:, 1]) < 1.15


def test_errors_of_exchange_statistics_are_honest():
    """Over 200 seeds of correlated energies, each is off by as much as it says."""
    betas = np.array([0.0, 0.5, 2.0])
    z = []
    big = springs(999, betas, d=6, chains=4, draws=200_000)
    truth = np.mean(rejections(0.5 * np.sum(big**2, axis=-1), betas), axis=(0, 1))
    truth_overlap = overlap(0.5 * np.sum(big[:, :50_000] ** 2, axis=-1), betas)[0]
    for seed in range(200):
        energy = 0.5 * np.sum(springs(seed, betas, d=6, draws=300, memory=0.7) ** 2, axis=-1)
        found = pms.exchange_statistics(pms.from_energies(energy, betas))
        z.append(
            np.concatenate([
                (found["swap_rejection"] - truth) / found["swap_rejection_mcse"],
                (found["energy_overlap"] - truth_overlap) / found["energy_overlap_mcse"],
                (found["barrier"][1:] - np.cumsum(truth)) / found["barrier_mcse"][1:],
            ])
        )  # fmt: skip
    rms = np.sqrt(np.mean(np.square(z), axis=0))
    assert np.all((rms > 0.8) & (rms < 1.25)), rms


def test_a_run_agrees_with_its_own_counts():
    dt = run_of("conjugate normal")
    found = pms.exchange_statistics(dt)
    all_within(
        found["swap_rejection"], dt["ladder"]["swap_rejection"], found["swap_rejection_mcse"]
    )
    np.testing.assert_array_equal(found["round_trips"], dt["ladder"]["round_trips"])
    np.testing.assert_array_equal(found["restarts"], dt["ladder"]["restarts"])
    assert np.all(found["replica_mixing"] > 0.7)
    recommended = found["recommended_ladder"].values
    assert len(recommended) >= int(found["recommended_rungs"])
    assert recommended[0] == 0.0
    assert dt["tempering"].attrs["target_beta"] in recommended
    total = float(found["barrier"][-1])
    assert float(found["ideal_round_trip_rate"]) == pytest.approx(1 / (2 + 2 * total))


def test_paths_are_those_of_the_replicas():
    dt = run_of("conjugate normal")
    paths, replica = replica_paths(dt), dt["tempering"]["replica"].values
    for rung in range(replica.shape[2]):
        at = np.take_along_axis(paths.values, replica[:, :, [rung]], axis=2)
        assert np.all(at == rung)
    with pytest.raises(TreeError, match="never swapped"):
        replica_paths(pms.from_energies(np.zeros((1, 9, 2)), [0.0, 1.0]))


def test_evenness_of_replicas():
    still = np.tile(np.arange(4), (100, 1))
    assert evenness(still) == pytest.approx(0.25)
    cyclic = (np.arange(100)[:, None] + np.arange(4)) % 4
    assert evenness(cyclic) == pytest.approx(1.0)


def test_a_single_rung_exchanges_nothing():
    one = pms.from_energies(np.zeros((1, 9, 1)), [1.0])
    for statistic in (pms.exchange_statistics, pms.thermodynamic_length):
        with pytest.raises(LadderError):
            statistic(one)


def test_nodes_integrate_what_a_regular_model_has():
    """Sqrt(Var) = sqrt(d/2) / beta between rungs, and a root of a sum next to 0."""
    betas = np.array([0.0, 0.01, 0.3, 5.0])
    nodes, weights = nodes_between(betas)
    np.testing.assert_allclose(np.sum(weights[1:] / nodes[1:], axis=1), np.diff(np.log(betas[1:])))
    assert np.sum(weights[0] / np.sqrt(nodes[0])) == pytest.approx(2 * np.sqrt(0.01))
    np.testing.assert_allclose(np.sum(weights, axis=1), np.diff(betas), rtol=1e-4)


def test_length_of_springs():
    """Var(E) = (d/2) / (1 + beta)^2, so that the length is sqrt(d/2) log(1 + beta)."""
    betas, d = np.array([0.0, 0.4, 1.2, 3.0, 8.0]), 6
    z = []
    for seed in range(60):
        energy = 0.5 * np.sum(springs(seed, betas, d=d, draws=400, memory=0.5) ** 2, axis=-1)
        found = pms.thermodynamic_length(pms.from_energies(energy, betas))
        exact = np.sqrt(d / 2) * np.log1p(betas)
        z.append(((found["length"] - exact) / found["length_mcse"]).values[1:])
    rms = np.sqrt(np.mean(np.square(z), axis=0))
    assert np.all((rms > 0.7) & (rms < 1.35)), rms
    assert np.all(np.abs(z) < 5.5)
    # equal lengths are equal steps of log(1 + beta)
    recommended = found["recommended_ladder"].values
    np.testing.assert_allclose(np.diff(np.log1p(recommended)), np.log(9) / 4, rtol=0.05)
    finer = pms.thermodynamic_length(pms.from_energies(energy, betas, target_beta=1.2), n_rungs=9)
    assert finer.sizes["rung"] == 9
    assert 1.2 in finer["recommended_ladder"]
    assert np.all(np.diff(finer["recommended_ladder"]) > 0)


def test_length_is_the_barrier_times_the_root_of_pi_for_normal_energies():
    betas = np.linspace(0.0, 2.0, 9)
    dt = pms.from_energies(normal_energies(3, betas), betas)
    length, barrier = pms.thermodynamic_length(dt), pms.exchange_statistics(dt)
    all_within(length["length"][1:], 2.0 * betas[1:], length["length_mcse"][1:])
    # a step of d standard deviations is rejected with probability erf(d / 2)
    exact = 8 * erf(0.25)
    within(float(barrier["barrier"][-1]), exact, float(barrier["barrier_mcse"][-1]))
    assert exact * np.sqrt(np.pi) == pytest.approx(4.0, rel=0.03)


def test_statistics_of_a_run_of_bad_energies():
    """Infinite energies of the prior are always rejected, and in no length."""
    energy = np.random.default_rng(4).gamma(3.0, 1 / (1 + np.array(BETAS)), size=(4, 500, 4))
    infinite = energy.copy()
    infinite[:, ::5, 0] = np.inf
    found = pms.exchange_statistics(pms.from_energies(infinite, BETAS))
    plain = pms.exchange_statistics(pms.from_energies(energy, BETAS))
    assert found["swap_rejection"][0] > plain["swap_rejection"][0]
    assert np.all(np.isfinite(found["energy_overlap"]))
    length = pms.thermodynamic_length(pms.from_energies(infinite, BETAS))
    assert np.all(np.isfinite(length["length"]))
