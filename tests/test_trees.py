"""Trees that no tempered run made are read as far as they go, and files as what was saved."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from pymc.stats import compute_log_prior

import pm_statmech as pms
from pm_statmech.errors import LadderError, TreeError
from pm_statmech.stats.smc_traces import last_finite, smc_evidence

from .conftest import within

Y = np.array([1.2, 0.3, 2.1, 0.8, 1.9])
SYSTEM = pms.solvable.conjugate_normal(Y, sigma=1.0, prior_sd=2.0)


@pytest.fixture(scope="module")
def trace():
    with SYSTEM.model():
        dt = pm.sample(1500, tune=500, chains=4, nuts_sampler="pymc", progressbar=False,
                       random_seed=1, quiet=True, compute_convergence_checks=False)  # fmt: skip
        compute_log_prior(dt, progressbar=False)
        return pms.compute_loss(dt)


@pytest.fixture(scope="module")
def populations():
    with SYSTEM.model():
        return pms.sample_annealed(500, random_seed=1, progressbar=False, quiet=True)


@pytest.fixture(scope="module")
def smc():
    with SYSTEM.model():
        return pm.sample_smc(500, chains=4, random_seed=1, progressbar=False,
                             compute_convergence_checks=False)  # fmt: skip


def test_energies_of_losses_are_those_of_the_run(newcomb):
    """The group loss alone gives back what the run recorded at its target."""
    alone = xr.DataTree.from_dict(
        {"/loss": newcomb["loss"].dataset, "/posterior": newcomb["posterior"].dataset}
    )
    found, whole = (
        pms.thermodynamics(alone),
        pms.thermodynamics(newcomb).sel(inverse_temperature=1.0),
    )
    for name in ("mean_energy", "heat_capacity"):
        np.testing.assert_allclose(found[name].item(), whole[name].item(), rtol=1e-9)
    assert np.isnan(found["relative_entropy"].item())
    assert "no rung is at beta = 0" in found.attrs["note"]


def test_several_terms_keep_their_ratios():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 2.0)
        pms.GibbsLoss("a", mu, loss=pms.losses.squared, observed=Y, beta=0.5)
        pms.GibbsLoss("b", mu, loss=pms.losses.absolute, observed=Y + 1, beta=1.5)
    dt = pms.sample_tempered(200, tune=200, chains=2, model=model, random_seed=1, quiet=True,
                             progressbar=False)  # fmt: skip
    target = dt["tempering"].attrs["target_beta"]
    alone = xr.DataTree.from_dict(
        {"/loss": dt["loss"].dataset, "/posterior": dt["posterior"].dataset}
    )
    assert pms.thermodynamics(alone)["mean_energy"].item() == pytest.approx(
        pms.thermodynamics(dt)["mean_energy"].sel(inverse_temperature=target).item(), rel=1e-9
    )


def test_a_trace_of_one_temperature(trace, tmp_path):
    found = pms.thermodynamics(trace)
    for name in ("mean_energy", "heat_capacity"):
        within(found[name].item(), getattr(SYSTEM, name)(1.0), found[f"{name}_mcse"].item())
    entropy = pms.posterior_entropy(trace)
    assert np.isnan(entropy["entropy"][0])
    assert "one temperature" in entropy.attrs["note"]
    _, sd = SYSTEM.posterior(1.0)["mu"]
    exact = 0.5 * np.log(2 * np.pi * np.e * sd**2)
    for k in (1, 2):
        within(entropy["entropy"][k].item(), exact, entropy["mcse"][k].item())
    for statistic in (pms.log_evidence, pms.mbar, pms.stepping_stone, pms.exchange_statistics,
                      pms.thermodynamic_integration, pms.heat_capacity_peaks):  # fmt: skip
        with pytest.raises(LadderError, match="one temperature, beta = 1"):
            statistic(trace)
    with pytest.raises(TreeError, match="no group 'ladder'"):
        pms.ladder_summary(trace)
    said = pms.verdict(trace)
    questions = {f.question: f for f in said.findings}
    assert said.level == "good"
    assert questions["How sure is log Z?"].level == "note"
    assert "bridge(dt, model)" in questions["How sure is log Z?"].sentence
    assert questions["Do the chains agree?"].level == "good"
    assert "Did the rungs swap?" not in questions
    assert "one temperature" in questions["What does this tree not say?"].sentence
    page = pms.report(trace, tmp_path / "trace.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert "4 chains of 1500 draws" in page


def test_annealed_populations(populations, tmp_path):
    questions = {f.question: f for f in pms.verdict(populations).findings}
    assert "annealed sequential Monte Carlo" in questions["How sure is log Z?"].sentence
    gained = questions["How far is the posterior from the prior?"].value
    assert abs(gained - SYSTEM.relative_entropy(1.0)) < 0.3
    entropy = pms.posterior_entropy(populations)
    assert abs(entropy.attrs["agreement"]) < 5.5
    page = pms.report(populations, tmp_path / "p.html").read_text(encoding="utf-8")
    assert "Graph of the model" in page


def test_traces_of_sequential_monte_carlo(smc):
    found = pms.log_evidence(smc)
    assert abs(found["log_evidence"].item() - SYSTEM.log_partition(1.0)) < 0.3
    assert 0.001 < found["mcse"].item() < 0.2
    assert "pm.sample_smc" in found.attrs["method"]
    with pytest.raises(TreeError, match="compute_loss"):
        pms.verdict(smc)
    with SYSTEM.model():
        whole = pms.compute_loss(smc)
    questions = {f.question: f for f in pms.verdict(whole).findings}
    assert "the scatter of 4 chains" in questions["How sure is log Z?"].sentence
    gained = questions["How far is the posterior from the prior?"].value
    assert abs(gained - SYSTEM.relative_entropy(1.0)) < 0.4
    with pytest.raises(TreeError, match="one chain"):
        smc_evidence(smc.isel(chain=[0]))


def test_ragged_statistics_of_sequential_monte_carlo():
    rows = np.empty((2, 3), dtype=object)
    rows[:] = [[np.nan, np.nan, -3.0], [np.nan, -4.0, np.nan]]
    np.testing.assert_array_equal(last_finite(rows), [-3.0, -4.0])


def test_scatter_of_chains():
    """Three chains whose Z are 1, 2 and 3: their mean is 2, its error 1 / sqrt 3 of 2."""
    values = np.log([1.0, 2.0, 3.0])[:, None]
    stats = xr.Dataset({"log_marginal_likelihood": (("chain", "stage"), values)})
    posterior = xr.Dataset(coords={"chain": [0, 1, 2]})
    found = smc_evidence(xr.DataTree.from_dict({"/sample_stats": stats, "/posterior": posterior}))
    assert found["log_evidence"].item() == pytest.approx(np.log(2.0))
    assert found["mcse"].item() == pytest.approx(1 / np.sqrt(3) / 2)


def test_energies_by_hand_have_a_verdict(tmp_path):
    rng = np.random.default_rng(1)
    betas = np.array([0.0, 0.3, 1.0, 3.0])
    energy = rng.gamma(3.0, 1 / (1 + betas), size=(4, 1000, 4))
    dt = pms.from_energies(energy, betas)
    questions = {f.question: f for f in pms.verdict(dt).findings}
    assert pms.verdict(dt).level == "good"
    assert "would swap" in questions["Did the rungs swap?"].sentence
    assert "came without a run" in questions["What does this tree not say?"].sentence
    page = pms.report(dt, tmp_path / "hand.html").read_text(encoding="utf-8")
    assert page.count("<img") >= 2


def test_far_rungs_by_hand_are_bad():
    rng = np.random.default_rng(1)
    betas = np.array([0.0, 300.0])
    dt = pms.from_energies(rng.gamma(10.0, 1 / (1 + betas), size=(4, 1000, 2)), betas)
    said = pms.verdict(dt)
    questions = {f.question: f for f in said.findings}
    assert said.level == "bad"
    assert "would hardly swap" in questions["Did the rungs swap?"].sentence
    assert questions["How sure is log Z?"].level == "bad"
    assert "have" in questions["How sure is log Z?"].sentence


STATISTICS = {
    "thermodynamics": pms.thermodynamics,
    "between": lambda dt: pms.thermodynamics(dt, betas=[0.2, 0.7]),
    "log evidence": pms.log_evidence,
    "stepping stones": pms.stepping_stone,
    "exchange": pms.exchange_statistics,
    "length": pms.thermodynamic_length,
    "entropy": pms.posterior_entropy,
    "sensitivity": pms.beta_sensitivity,
    "modes": pms.modes,
}


@pytest.mark.parametrize("form", ["netcdf", "zarr"])
def test_files_hold_the_same_tree(newcomb, tmp_path, form):
    path = tmp_path / "run"
    if form == "netcdf":
        newcomb.to_netcdf(path, engine="h5netcdf")
    else:
        newcomb.to_zarr(path, consolidated=False)
    engine = (
        {"engine": "h5netcdf"} if form == "netcdf" else {"engine": "zarr", "consolidated": False}
    )
    with xr.open_datatree(path, **engine) as again:
        assert set(again.children) == set(newcomb.children)
        for name, node in newcomb.children.items():
            kept = again[name].attrs
            assert set(node.attrs) <= set(kept), name
            for key, value in node.attrs.items():
                np.testing.assert_array_equal(kept[key], value, err_msg=f"{name}: {key}")
        for name, statistic in STATISTICS.items():
            assert statistic(again).equals(statistic(newcomb)), name
        assert str(pms.verdict(again)) == str(pms.verdict(newcomb))
        assert pms.ladder_summary(again).equals(pms.ladder_summary(newcomb))
        assert pms.loo(again).elpd == pms.loo(newcomb).elpd
