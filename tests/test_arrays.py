"""Trees made of energies by hand: what reads them, and what says that it cannot."""

import numpy as np
import pytest
import xarray as xr

import pm_statmech as pms
from pm_statmech.errors import EnergyError, LadderError, TreeError

from .conftest import within

BETAS = np.array([0.0, 0.1, 0.3, 0.6, 1.0, 2.0])
RNG = np.random.default_rng(4)
X = RNG.normal(size=(4, 1000, 6, 3)) / np.sqrt(1 + BETAS)[:, None]
ENERGY = 0.5 * np.sum(X**2, axis=-1)


def log_z(beta):
    return -1.5 * np.log1p(beta)


def test_statistics_of_a_tree_made_by_hand(tmp_path):
    dt = pms.from_energies(ENERGY, BETAS, target_beta=1.0, draws={"x": X}, n_observations=100)
    for found in (pms.mbar(dt), pms.stepping_stone(dt), pms.thermodynamic_integration(dt)):
        within(found["log_evidence"], log_z(1.0), found["mcse"])
        assert abs(found["log_evidence"] - log_z(2.0)) > 5.5 * found["mcse"]
    between = pms.thermodynamics(dt, betas=[0.2, 1.5])
    for k, beta in enumerate((0.2, 1.5)):
        within(between["mean_energy"][k], 1.5 / (1 + beta), between["mean_energy_mcse"][k])
    assert dt["posterior"]["x"].shape == (4, 1000, 3)
    warm = pms.reweight(dt, 0.5)
    error = np.sqrt(2 / 1.5**2 / warm["posterior"].attrs["ess"])
    within((warm["posterior"]["x"] ** 2).mean(), 1 / 1.5, error)
    found = pms.wbic(dt)
    within(found.value, 1.5 / (1 + 1 / np.log(100)), found.mcse)
    # the same from the disk
    dt.to_netcdf(tmp_path / "by_hand.nc", engine="h5netcdf")
    again = xr.open_datatree(tmp_path / "by_hand.nc", engine="h5netcdf")
    assert float(pms.mbar(again)["log_evidence"]) == float(pms.mbar(dt)["log_evidence"])


def test_evidence_of_energies_alone():
    found = pms.log_evidence(pms.from_energies(ENERGY, BETAS))
    within(found["log_evidence"], log_z(2.0), found["mcse"])


def test_a_ladder_that_does_not_begin_at_the_prior():
    dt = pms.from_energies(ENERGY[..., 1:], BETAS[1:])
    found = pms.mbar(dt)
    within(found["log_evidence"], log_z(2.0) - log_z(0.1), found["mcse"])
    assert found.attrs["reference"] == "Z(0.1)"


def test_what_needs_a_run_says_so():
    dt = pms.from_energies(ENERGY, BETAS)
    for ask in (pms.ladder_summary, pms.plot_exchange):
        with pytest.raises(TreeError, match="how rungs moved and swapped"):
            ask(dt)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((ENERGY, BETAS[::-1]), LadderError, "must increase"),
        ((ENERGY[..., :2], BETAS), EnergyError, r"\(chain, draw, 6\)"),
        ((np.where(ENERGY > 5, np.nan, ENERGY), BETAS), EnergyError, "NaN or infinite"),
        ((np.where(np.arange(6) == 3, np.inf, ENERGY), BETAS), EnergyError, r"beta = 0\.6"),
    ],
)
def test_arrays_that_are_no_ladder(arguments, error, match):
    with pytest.raises(error, match=match):
        pms.from_energies(*arguments)


def test_targets_and_draws_that_do_not_fit():
    with pytest.raises(LadderError, match=r"target_beta = 0\.5 is none"):
        pms.from_energies(ENERGY, BETAS, target_beta=0.5)
    with pytest.raises(EnergyError, match="draws of 'x'"):
        pms.from_energies(ENERGY, BETAS, draws={"x": X[:, :10]})


def test_infinite_energies_of_the_prior():
    energy = ENERGY.copy()
    energy[:, ::7, 0] = np.inf
    found = pms.thermodynamics(pms.from_energies(energy, BETAS))
    assert np.isnan(found["mean_energy"][0])
    assert np.isfinite(found["log_partition"][-1])
