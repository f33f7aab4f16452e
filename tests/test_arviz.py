"""ArviZ works unchanged on the result, from memory and from a file."""

import arviz as az
import numpy as np
import pytest

import pm_statmech as pms


def test_summaries_and_plots(newcomb):
    assert list(az.summary(newcomb).index) == ["mu"]
    tempering = az.summary(newcomb, group="tempering")
    n_rungs = newcomb["tempering"].sizes["inverse_temperature"]
    assert len(tempering) == 3 * n_rungs
    sizes = az.ess(newcomb, group="tempering")
    assert sizes["energy"].dims == ("inverse_temperature",)
    sensitivity = az.psense_summary(newcomb)
    assert sensitivity.loc["mu", "likelihood"] > sensitivity.loc["mu", "prior"]
    az.plot_forest(newcomb, backend="none")
    az.plot_trace(newcomb, backend="none")


def test_netcdf_round_trip(newcomb, tmp_path):
    path = tmp_path / "run.nc"
    newcomb.to_netcdf(path)
    with az.from_netcdf(path) as again:
        again.load()
    assert set(again.children) == set(newcomb.children)
    for name in newcomb.children:
        assert again[name].dataset.equals(newcomb[name].dataset)
    assert pms.thermodynamics(again).identical(pms.thermodynamics(newcomb))
    assert pms.stepping_stone(again).identical(pms.stepping_stone(newcomb))
    assert str(pms.verdict(again)) == str(pms.verdict(newcomb))
    assert pms.ladder_summary(again).equals(pms.ladder_summary(newcomb))
    assert pms.loo(again).elpd == pms.loo(newcomb).elpd
    pms.report(again, tmp_path / "run.html")


def test_loo_at_beta_one_is_arvizs_own(newcomb):
    assert pms.loo(newcomb).elpd == pytest.approx(az.loo(newcomb).elpd, abs=1e-9)
    assert np.all(pms.loo(newcomb).pareto_k < 0.7)
