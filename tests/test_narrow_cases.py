"""Narrow cases of statistics, verdicts and plots, each of which once went wrong."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from pymc.stats import compute_log_prior

import pm_statmech as pms
from pm_statmech.__main__ import main
from pm_statmech.errors import (
    ConvergenceWarning,
    EnergyError,
    InverseTemperatureError,
    LadderError,
    TreeError,
)

RNG = np.random.default_rng(1)
BETAS = [0.0, 0.5, 1.0]
ENERGY = RNG.gamma(2.0, 1 / (1 + np.array(BETAS)), size=(4, 500, 3))
QUIET = {"chains": 2, "random_seed": 1, "quiet": True, "progressbar": False}
Y = RNG.normal(1.0, 1.0, size=20)


def tree(**variables):
    data = {name: (("chain", "draw"), values) for name, values in variables.items()}
    return xr.DataTree.from_dict({"/posterior": xr.Dataset(data)})


@pytest.mark.parametrize("n_levels", [2, 11, 12, 14, 16, 20, 40])
def test_discrete_energies_have_no_tail_to_fit(n_levels):
    levels = RNG.integers(0, n_levels, size=(4, 1000, 3)).astype(float)
    found = pms.thermodynamics(pms.from_energies(levels, [0.0, 1e-4, 1e-3]))
    assert found.attrs["note"] == ""
    assert np.all(np.isfinite(found["mean_energy"]))


def test_names_that_stand_for_two_things():
    draws = {"m": RNG.normal(0, 5, ENERGY.shape), "m_sd": RNG.normal(1, 0.1, ENERGY.shape)}
    dt = pms.from_energies(ENERGY, BETAS, draws=draws)
    with pytest.raises(TreeError, match="m_sd"):
        pms.beta_sensitivity(dt, betas=[1.0])
    found = pms.beta_sensitivity(dt, var_names=["m"], betas=[1.0])
    assert abs(found["m_sd"][0] - 5.0) < 0.5


def test_potentials_that_smc_tempers_are_not_in_the_energy():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 2.0)
        pm.Potential("c", -0.5 * (mu / 0.5) ** 2)
        pm.Normal("y", mu, 1.0, observed=Y)
        dt = pm.sample_smc(300, chains=2, cores=1, random_seed=1, progressbar=False,
                           compute_convergence_checks=False)  # fmt: skip
        compute_log_prior(dt, progressbar=False)
        dt = pms.compute_loss(dt)
    found = pms.posterior_entropy(dt)
    assert np.isnan(found["entropy"][0])
    assert "Potential 'c'" in found.attrs["note"]
    sentences = str(pms.verdict(dt))
    assert "relative entropy" not in sentences
    assert model is not None


def test_more_capacity_than_parameters_is_a_conflict():
    with pm.Model() as model:
        a = pm.Normal("a", 0.0, 1.0)
        pm.Normal("y", a, 1.0, observed=np.array([10.0]))
    said = str(pms.verdict(pms.sample_tempered(300, tune=300, model=model, **QUIET)))
    assert "more than the 0.5 of a normal posterior in 1 dimension: prior and data" in said
    assert "the data determine" not in said


def test_unseen_values_are_in_the_error():
    for values, exact in (
        (RNG.integers(0, 1000, (4, 250)), np.log(1000)),
        (RNG.geometric(0.001, (4, 250)), 1 + np.log(1000) - 0.0005),
    ):
        found = pms.discrete_entropy(tree(k=values))
        assert abs(found["k"] - exact) < 3 * found["k_mcse"]
    halves = pms.discrete_entropy(tree(k=np.tile([0, 1], (4, 500))))
    assert 0 < halves["k_mcse"] < 1e-3
    assert pms.discrete_entropy(tree(k=np.zeros((4, 250), int)))["k_mcse"] > 0


def test_integers_of_many_values_share_nothing_by_themselves():
    pairs = (
        (RNG.poisson(1000, (4, 1000)), RNG.poisson(1000, (4, 1000))),
        (RNG.poisson(100, (4, 1000)), RNG.normal(size=(4, 1000))),
        (RNG.integers(0, 51, (4, 1000)), RNG.integers(0, 51, (4, 1000))),
    )
    for a, b in pairs:
        found = pms.mutual_information(tree(a=a, b=b))
        assert abs(found["mutual_information"][0, 1]) < 4 * found["mcse"][0, 1]
        assert found["mcse"][0, 1] < 0.05
    same = RNG.poisson(1000, (4, 1000))
    told = pms.mutual_information(tree(a=same, b=same + RNG.integers(0, 3, (4, 1000))))
    assert told["mutual_information"][0, 1] > 1.5
    with pytest.raises(TreeError, match="a has draws that are not finite"):
        pms.mutual_information(tree(a=np.full((2, 50), np.nan), b=RNG.normal(size=(2, 50))))


def test_each_term_fluctuates_at_its_own_beta():
    found = []
    for extra in (False, True):
        with pm.Model() as model:
            a = pm.Normal("a", 0.0, 5.0)
            if extra:  # it says nothing, and makes 1 the target
                pm.Normal("other", a, 1e4, observed=np.zeros(1))
            pms.GibbsLoss("l", a, loss=pms.losses.squared, observed=Y, beta=2.0)
        dt = pms.sample_tempered(500, tune=300, model=model, **QUIET)
        found.append(pms.singular_fluctuation(dt, var_name="l"))
    assert abs(found[0].value - found[1].value) < 5.5 * np.hypot(found[0].mcse, found[1].mcse)


def test_draws_that_are_all_the_same_agree():
    energy = ENERGY.copy()
    energy[..., -1] = 0.0
    answers = {f.question: f for f in pms.verdict(pms.from_energies(energy, BETAS)).findings}
    assert answers["Do the chains agree?"].level == "good"
    assert "is the same" in answers["Do the chains agree?"].sentence
    few = {f.question: f for f in pms.verdict(pms.from_energies(ENERGY[:, :1], BETAS)).findings}
    assert "too few" in few["Do the chains agree?"].sentence


def test_a_run_is_kept_without_what_it_lacks():
    with pm.Model() as model:
        a = pm.Normal("a")
        b = pm.Normal("b", a)
        pm.Normal("y", a + b, observed=Y)
    dt = pms.sample_tempered(50, tune=50, model=model, var_names=["b"], **QUIET)
    assert list(dt["posterior"].data_vars) == ["b"]
    assert "loss" not in dt.children


def test_a_dimension_with_the_ladders_name_is_refused_at_once():
    with pm.Model(coords={"inverse_temperature": [1, 2]}) as model:
        a = pm.Normal("a", dims="inverse_temperature")
        pm.Normal("y", a.sum(), observed=Y)
    with pytest.raises(TreeError, match="another name"):
        pms.sample_tempered(50, tune=50, model=model, **QUIET)


def test_a_transition_between_rungs_is_in_the_error_of_the_length():
    gap, tilt, betas = 60.0, 30.0, np.array([0.0, 0.42, 0.58, 1.0])
    p = 1 / (1 + np.exp(-(tilt - gap * betas)))
    energy = (RNG.random((4, 5000, 4)) < p) * gap
    found = pms.thermodynamic_length(pms.from_energies(energy, betas))
    assert abs(found["length"][-1] - np.pi) < found["length_mcse"][-1]
    still = pms.thermodynamic_length(pms.from_energies(np.full((2, 50, 3), 3.0), BETAS))
    assert np.all(still["length"] == 0)
    with pytest.raises(LadderError, match="3 rungs at least"):
        pms.thermodynamic_length(pms.from_energies(ENERGY, BETAS, target_beta=0.5), n_rungs=2)


def test_ladders_above_zero_say_what_their_area_is():
    betas = np.array([0.5, 0.7, 1.0])
    dt = pms.from_energies(RNG.gamma(2, 1 / (1 + betas), size=(4, 1000, 3)), betas)
    pc = pms.plot_evidence(dt, backend="matplotlib")
    titles = [ax.get_title() for ax in pc.viz["figure"].item().axes]
    assert titles[0].endswith("-log Z - (beta* - beta_0) U*")
    line = pc.viz["line"]["integrand"].item()
    U = pms.thermodynamics(dt)["mean_energy"].values
    log_z = float(pms.stepping_stone(dt)["log_evidence"])
    area = np.trapezoid(line.get_ydata(), line.get_xdata())
    assert area == pytest.approx(-log_z - 0.5 * U[-1], rel=0.1)


def test_gaps_are_told_beside_log_z():
    betas = np.array([0.0, 1000.0])
    dt = pms.from_energies(RNG.gamma(20, 1 / (1 + betas), size=(2, 200, 2)), betas)
    assert "hardly overlap" in pms.thermodynamics(dt).attrs["note"]
    assert pms.thermodynamics(pms.from_energies(ENERGY, BETAS)).attrs["note"] == ""


def test_variables_that_are_not_finite_everywhere():
    draws = RNG.normal(size=ENERGY.shape)
    broken = draws.copy()
    broken[0, 0, 0] = np.nan
    dt = pms.from_energies(ENERGY, BETAS, draws={"a": draws, "b": broken})
    found = pms.beta_sensitivity(dt, betas=[1.0])
    assert np.isfinite(found["a_sd"][0])
    for kind in ("", "_sd", "_shift"):
        assert np.isnan(found[f"b{kind}"][0])
    pms.plot_ladder_trace(dt, backend="none")


def test_vectors_by_hand_are_drawn():
    dt = pms.from_energies(ENERGY, BETAS, draws={"v": RNG.normal(size=(*ENERGY.shape, 2))})
    for plot in (pms.plot_beta_sensitivity, pms.plot_ladder_trace):
        assert plot(dt, backend="none").viz["line"]["v"].sizes["v_dim_0"] == 2


def test_a_target_at_the_prior(tmp_path):
    dt = pms.from_energies(ENERGY, BETAS, target_beta=0.0)
    assert "Thermodynamics" in pms.report(dt, tmp_path / "p.html").read_text(encoding="utf-8")
    with pytest.raises(LadderError, match="hottest rung"):
        pms.plot_evidence(dt, backend="none")
    whole = pms.from_energies(ENERGY, BETAS, target_beta=0.0, draws={"a": ENERGY})
    with pytest.raises(InverseTemperatureError, match="give betas="):
        pms.beta_sensitivity(whole)
    pms.plot_thermodynamics(pms.from_energies(ENERGY[..., :1], [0.0]), backend="none")


def test_a_prior_without_a_finite_energy():
    energy = ENERGY.copy()
    energy[..., 0] = np.inf
    with pytest.raises(EnergyError, match="every energy at beta = 0"):
        pms.from_energies(energy, BETAS)


def test_pages_that_cannot_be_written_are_errors(newcomb, tmp_path, capsys):
    newcomb.to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    assert main(["report", str(tmp_path / "run.nc"), "-o", str(tmp_path)]) == 2
    assert "error:" in capsys.readouterr().err


def test_digits_follow_the_error():
    assert str(pms.Estimate(12347.327, 0.0068, "x")).startswith("12347.3270 +- 0.0068")
    assert str(pms.Estimate(1.5, 0.0, "x")).startswith("1.5000 +- 0")


def test_a_point_that_is_no_minimum_is_said_to_be_none():
    with pm.Model() as model:
        w = pm.Normal("w", 0.0, 10.0)
        pm.Normal("y", w, 1.0, observed=np.zeros(100))
    with pytest.warns(ConvergenceWarning, match="no minimum"):
        pms.local_learning_coefficient({"w": 3.0}, model, random_seed=1, quiet=True, draws=100,
                                       tune=100)  # fmt: skip
