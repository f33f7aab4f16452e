"""Statistics of whole runs: Newcomb and the diabetes regression against their exact values."""

import numpy as np
import pytest

import pm_statmech as pms

from ..conftest import POINTWISE_OFF, within

LOO = {0.1: -250.875, 0.25: -251.036, 1.0: -251.226, 3.0: -251.280}
LADDER = [0.0, 0.1, 0.16416830195132148, 0.25, 0.5, 1.0, 2.0]


def test_newcomb(newcomb, newcomb_system):
    row = pms.thermodynamics(newcomb).sel(inverse_temperature=1.0)
    within(row.mean_energy, 250.64549, row.mean_energy_mcse)
    within(row.heat_capacity, 0.49956, row.heat_capacity_mcse)
    within(row.log_partition, -253.98761, row.log_partition_mcse)
    within(row.relative_entropy, 3.34212, row.relative_entropy_mcse)


@pytest.mark.parametrize("beta", sorted(LOO))
def test_newcomb_loo_at_power_one(newcomb_system, beta):
    """At beta = 0.1 the outlier of -44 needs many draws: the Monte Carlo sd is .17 at 4 x 1000."""
    dt = pms.sample_tempered(
        40_000 if beta < 0.25 else 10_000, model=newcomb_system.model(), target_beta=beta,
        random_seed=12, quiet=True, keep_tempered=False,
        idata_kwargs={"log_prior": False},
    )  # fmt: skip
    found = pms.loo(dt)
    assert found.elpd == pytest.approx(LOO[beta], abs=0.05)
    assert 0.002 < found.mcse < 0.03
    assert found.n_data_points == 66


def test_loo_of_tempered_values_would_rank_beta(newcomb_system):
    """Control: what az.loo says of log-likelihoods at power one under a hot posterior is wrong."""
    import arviz_stats

    dt = pms.sample_tempered(
        5000, model=newcomb_system.model(), target_beta=0.1, random_seed=2, quiet=True,
        keep_tempered=False, idata_kwargs={"log_prior": False},
    )  # fmt: skip
    with pytest.warns(UserWarning, match="Pareto"):
        naive = arviz_stats.loo(dt).elpd
    assert abs(naive - LOO[0.1]) > 5


def test_diabetes_seven_rows(diabetes_system, reference):
    dt = pms.sample_tempered(
        model=diabetes_system.model(), betas=LADDER, random_seed=1, quiet=True,
        idata_kwargs=POINTWISE_OFF,
    )  # fmt: skip
    found = pms.thermodynamics(dt)
    rows = reference["diabetes_posterior_thermodynamics"]["rows"]
    assert sorted(row["beta"] for row in rows) == LADDER
    for row in rows:
        at = found.sel(inverse_temperature=row["beta"])
        within(at.mean_energy, row["U"], at.mean_energy_mcse)
        if row["beta"] > 0:
            within(at.heat_capacity, row["C"], at.heat_capacity_mcse)
            within(at.log_partition, row["logZ"], at.log_partition_mcse)
            within(at.relative_entropy, row["KL_post_prior"], at.relative_entropy_mcse)
    at = found.sel(inverse_temperature=1.0)
    assert at.log_partition_mcse <= 0.3
    mean, sd = diabetes_system.posterior(1.0)["b"]
    draws = dt["posterior"]["b"]
    z = (draws.mean(("chain", "draw")) - mean) / draws.azstats.mcse(method="mean")
    assert np.max(np.abs(z)) <= 5.5
    z = (draws.std(("chain", "draw")) - sd) / draws.azstats.mcse(method="sd")
    assert np.max(np.abs(z)) <= 5.5


def test_expected_loss_by_brute_force():
    """Leave-one-out of a conjugate model with a squared loss has a closed form."""
    import pymc as pm

    y = np.random.default_rng(5).normal(1.0, 2.0, size=12)
    beta, prior_sd = 0.5, 3.0
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, prior_sd)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=y, beta=beta)
    dt = pms.sample_tempered(4000, model=model, random_seed=3, quiet=True, keep_tempered=False)
    found = pms.loo(dt)
    exact = 0.0
    for i in range(12):
        rest = np.delete(y, i)
        precision = prior_sd**-2 + beta * 11
        mean = beta * rest.sum() / precision
        exact += 0.5 * ((y[i] - mean) ** 2 + 1 / precision)
    within(found.loss, exact, found.mcse)
    assert found.mcse < 0.02 * exact
    assert found.unit == "y^2"
    assert found.optimism > 0
    assert "unit y^2" in str(found)


def test_compute_loss_on_a_trace_of_pymc(newcomb_system):
    import pymc as pm

    model = newcomb_system.model()
    with pms.temper(model, 0.25):
        trace = pm.sample(2000, nuts_sampler="pymc", random_seed=3, progressbar=False, cores=1,
                          quiet=True)  # fmt: skip
    dt = pms.compute_loss(trace, model, target_beta=0.25)
    assert "loss" not in trace.children
    assert pms.loo(dt).elpd == pytest.approx(LOO[0.25], abs=0.15)
    assert dt["loss"].attrs["target_beta"] == 0.25


def test_ladder_summary(newcomb):
    table = pms.ladder_summary(newcomb)
    betas = newcomb["tempering"].inverse_temperature.values
    assert list(table.index) == [f"{b:.3g}" for b in betas]
    assert table["mean_energy"].is_monotonic_decreasing
    assert table["barrier"].is_monotonic_increasing
    assert np.isnan(table["swap_rejection"].iloc[-1])
    assert (table["r_hat_energy"] < 1.05).all()
    np.testing.assert_allclose(
        np.diff(table["barrier"]), table["swap_rejection"].iloc[:-1], atol=1e-12
    )


def test_single_chain_and_several_terms():
    import pymc as pm

    y = np.arange(5.0)
    with pm.Model() as model:
        m = pm.Normal("m", 0, 5)
        pms.GibbsLoss("a", m, loss=pms.losses.squared, observed=y, beta=0.5)
        pms.GibbsLoss("b", m, loss=pms.losses.absolute, observed=y, beta=0.25)
    dt = pms.sample_tempered(200, tune=200, chains=1, model=model, random_seed=1, quiet=True)
    assert "single ladder" in str(pms.verdict(dt))
    with pytest.raises(pms.errors.TreeError, match=r"name one by var_name"):
        pms.loo(dt)
    with pytest.raises(pms.errors.TreeError, match=r"'c' is not"):
        pms.loo(dt, var_name="c")
    assert pms.loo(dt, var_name="b").unit == "y"
    energy = dt["loss"]["a"].sum("a_dim_0") + 0.5 * dt["loss"]["b"].sum("b_dim_0")
    at_target = dt["tempering"]["energy"].sel(inverse_temperature=0.5)
    np.testing.assert_allclose(energy, at_target, rtol=1e-12)


def test_thermodynamics_between_rungs_and_at_them(newcomb, newcomb_system):
    rungs = newcomb["tempering"]["inverse_temperature"].values
    between = float(np.sqrt(rungs[2] * rungs[3]))
    found = pms.thermodynamics(newcomb, betas=[between, 1.0])
    for beta in (between, 1.0):
        here = found.sel(inverse_temperature=beta)
        within(here.mean_energy, newcomb_system.mean_energy(beta), here.mean_energy_mcse)
        within(here.log_partition, newcomb_system.log_partition(beta), here.log_partition_mcse)
