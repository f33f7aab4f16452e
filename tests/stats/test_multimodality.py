"""Modes of the target: weights, entries, positions, and what is said where they are not known."""

import numpy as np
import pytest
import xarray as xr
from xarray import DataTree

import pm_statmech as pms
from pm_statmech import errors
from pm_statmech.stats.multimodality import entries, independent_entries, positions

from ..conftest import Z_LIMIT, within
from .runs import run_of, without

MIXTURE = "two Gaussian modes"


def test_weights_and_positions_of_a_mixture():
    """Weights .7 and .3; the centres, at +-4 on the diagonal, shrink by 25/26."""
    found = pms.modes(run_of(MIXTURE))
    assert found.attrs["method"] == "bridges"
    centre = 4 / np.sqrt(2) * 25 / 26
    for mode, weight, sign in ((0, 0.7, 1), (1, 0.3, -1)):
        at = found.sel(mode=mode)
        within(at.weight, weight, at.weight_mcse)
        within(at.share, weight, at.share_mcse)
        for i in range(2):
            within(at.x_mean[i], sign * centre, at.x_mean_mcse[i])
            assert abs(float(at.x_mean[i])) > Z_LIMIT * at.x_mean_mcse[i]  # control: the whole's 0
    # control: the weights of modes of one size
    assert abs(float(found.weight[0]) - 0.5) > Z_LIMIT * float(found.share_mcse[0])
    assert np.all(found.independent_entries > 20)
    assert np.all(found.independent_entries <= found.entries)


def test_one_mode():
    found = pms.modes(run_of("conjugate normal"))
    assert found.attrs["method"] == "one mode"
    assert found.sizes["mode"] == 1
    assert found.weight.item() == found.share.item() == 1
    assert found.weight_mcse.item() == found.entries.item() == 0
    assert np.isnan(found.independent_entries.item())
    posterior = run_of("conjugate normal")["posterior"]["mu"]
    assert found.mu_mean.item() == pytest.approx(float(posterior.mean()))
    assert found.mu_mean_mcse.item() == pytest.approx(float(posterior.azstats.mcse(method="mean")))


def two_states(seed, leave, enter, draws=4000):
    """Chains in mode 1 that leave it with one probability a scan, and enter it with another."""
    rng = np.random.default_rng(seed)
    state = np.empty((4, draws), dtype=bool)
    state[:, 0] = rng.random(4) < enter / (enter + leave)
    for t in range(1, draws):
        stay = np.where(state[:, t - 1], rng.random(4) >= leave, rng.random(4) < enter)
        state[:, t] = stay
    return np.stack([~state, state], axis=-1)


def test_entries_of_a_markov_chain():
    inside = two_states(0, leave=0.06, enter=0.02)
    expected = 16_000 * 0.75 * 0.02
    np.testing.assert_allclose(entries(inside), expected, rtol=0.2)
    # ESS = n (1 - rho) / (1 + rho), rho = 0.92: of mode 1 a quarter, and fewer than its entries
    independent = independent_entries(inside)
    assert independent[1] == pytest.approx(0.25 * 16_000 * 0.08 / 1.92, rel=0.35)
    assert independent[1] < entries(inside)[1]


def test_flicker_is_not_independent():
    """A chain that goes back and forth within visits enters often, and seldom anew."""
    slow = two_states(1, leave=0.003, enter=0.003)
    flicker = np.random.default_rng(1).random(slow.shape[:2]) < 0.1
    inside = slow.copy()
    inside[flicker] = ~inside[flicker]
    assert np.all(entries(inside) > 800)
    assert np.all(independent_entries(inside) < 60)


def test_stuck_chains_have_no_entries():
    inside = np.zeros((4, 100, 2), dtype=bool)
    inside[:2, :, 0] = inside[2:, :, 1] = True
    np.testing.assert_array_equal(independent_entries(inside), 0.0)


def test_errors_of_positions():
    """Over 100 data sets the scores of a mode's mean have sd 1, shares random and correlated."""
    scores = []
    for seed in range(100):
        inside = two_states(seed, leave=0.1, enter=0.05, draws=200)
        values = np.random.default_rng(seed).normal(2.0 * inside[..., 1], 1.0)
        mean, error = positions(values, inside)
        scores.append((mean - [0.0, 2.0]) / error)
    np.testing.assert_allclose(np.std(scores, axis=0), 1.0, atol=5.5 / np.sqrt(2 * 100))


@pytest.fixture
def untrusted(monkeypatch):
    """An evidence in which no bridge is trusted."""
    monkeypatch.setattr("pm_statmech.stats.multimodality.log_evidence", lambda dt: xr.Dataset())


@pytest.mark.usefixtures("untrusted")
def test_counts_where_no_bridge_is_trusted():
    found = pms.modes(run_of(MIXTURE))
    assert found.attrs["method"] == "counts"
    for mode, weight in ((0, 0.7), (1, 0.3)):
        at = found.sel(mode=mode)
        assert at.weight == at.share
        within(at.weight, weight, at.weight_mcse)


@pytest.mark.usefixtures("untrusted")
def test_a_mode_that_the_run_never_visited():
    dt = run_of(MIXTURE).copy(deep=True)
    dt["reference"]["mode"].values[:] = 0
    with pytest.warns(errors.ConvergenceWarning, match=r"found 2 modes, .* no draw in \[1\]"):
        found = pms.modes(dt)
    np.testing.assert_array_equal(found.weight, [1.0, 0.0])
    assert np.all(np.isnan(found.weight_mcse))
    assert np.all(np.isnan(found.x_mean.sel(mode=1)))


def test_names_and_dims_of_the_users_own():
    dt = without(run_of("conjugate normal"), "posterior")
    mu = run_of("conjugate normal")["posterior"]["mu"]
    dt["posterior"] = DataTree(
        xr.Dataset(
            {"weight": mu, "entries": mu.expand_dims(mode=["a", "b"], axis=-1)},
            attrs=run_of("conjugate normal")["posterior"].attrs,
        )
    )
    found = pms.modes(dt)
    assert found.weight.item() == 1
    assert found.weight_mean.dims == ("mode",)
    assert found.entries_mean.dims == ("mode", "mode_")


def test_trees_without_references():
    with pytest.raises(errors.TreeError, match="more than 200 dimensions"):
        pms.modes(without(run_of(MIXTURE), "reference"))
    with pytest.raises(errors.TreeError, match="tempering"):
        pms.modes(run_of(MIXTURE)["posterior"])
