"""sample_tempered as a user meets it."""

import _thread
import threading

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy import integrate, stats

import pm_statmech as pms
from pm_statmech.samplers import pilot, progress

from ..conftest import POINTWISE_OFF, within

SCHOOLS = np.array([28, 8, -3, 7, -1, 1, 18, 12.0])
ERRORS = np.array([15, 10, 16, 11, 9, 11, 10, 18.0])


@pytest.fixture(scope="module")
def regression():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(25, 2))
    with pm.Model(coords={"term": ["intercept", "slope"], "obs": np.arange(25)}) as model:
        data = pm.Data("x", x, dims=("obs", "term"))
        beta = pm.Normal("beta", 0, 3, dims="term")
        sigma = pm.HalfNormal("sigma", 2)
        mu = pm.Deterministic("mu", pt.dot(data, beta), dims="obs")
        pm.Normal("y", mu, sigma, observed=x @ [1.0, -1.0] + rng.normal(size=25), dims="obs")
    return model


@pytest.fixture(scope="module")
def tree(regression):
    return pms.sample_tempered(300, tune=300, chains=2, model=regression, random_seed=3, quiet=True)


def test_groups_names_dims_and_coords(tree):
    assert set(tree.children) == {
        "posterior", "sample_stats", "tempered_posterior", "tempering", "ladder", "annealing",
        "reference", "loss", "log_likelihood", "log_prior", "observed_data", "constant_data",
    }  # fmt: skip
    posterior = tree["posterior"]
    assert posterior["beta"].dims == ("chain", "draw", "term")
    assert list(posterior["term"].values) == ["intercept", "slope"]
    assert posterior["mu"].dims == ("chain", "draw", "obs")
    tempered = tree["tempered_posterior"]["beta"]
    assert tempered.dims == ("chain", "draw", "inverse_temperature", "term")
    at_target = tempered.sel(inverse_temperature=1.0)
    np.testing.assert_array_equal(at_target, posterior["beta"])
    assert tree["tempering"].inverse_temperature[0] == 0.0
    for name in ("energy", "log_prior_unconstrained", "replica"):
        assert tree["tempering"][name].dims == ("chain", "draw", "inverse_temperature")
    assert "energy" not in tree["sample_stats"].dataset
    assert tree["loss"]["y"].dims == ("chain", "draw", "obs")


def test_recorded_numbers_agree_with_each_other(tree, regression):
    """Energies are minus the log-likelihood of the very draws they stand beside."""
    energy = tree["tempering"]["energy"].sel(inverse_temperature=1.0)
    np.testing.assert_allclose(-tree["log_likelihood"]["y"].sum("obs"), energy, rtol=1e-10)
    np.testing.assert_array_equal(tree["loss"]["y"], -tree["log_likelihood"]["y"])
    lp = tree["tempering"]["log_prior_unconstrained"].sel(inverse_temperature=1.0) - energy
    np.testing.assert_allclose(tree["sample_stats"]["lp"], lp, rtol=1e-12)
    logp = regression.compile_logp()
    for chain, draw in ((0, 0), (1, 299)):
        point = tree["posterior"].sel(chain=chain, draw=draw)
        value = {"beta": point["beta"].values, "sigma_log__": np.log(point["sigma"].values)}
        np.testing.assert_allclose(lp.sel(chain=chain, draw=draw), logp(value), rtol=1e-10)
    replica = np.sort(tree["tempering"]["replica"].values, axis=-1)
    assert np.all(replica == np.arange(replica.shape[-1]))


def test_a_busy_moment_does_not_change_the_pilot(regression, monkeypatch):
    """The size of the pilot is counted; its timing only catches graphs that do not tell."""
    energy_function = pms.tempered_model(regression).compile()
    points = np.random.default_rng(1).normal(size=(256, energy_function.size))
    quiet = pilot.population_size(energy_function, points)
    clock = iter([0.0, 10.0, 20.0, 20.0, 30.0, 30.0])
    monkeypatch.setattr(pilot, "thread_time", lambda: next(clock))
    assert pilot.population_size(energy_function, points) == quiet
    # control: a graph that is slow every time has fewer particles
    steps = iter(np.arange(6) * 10.0)
    monkeypatch.setattr(pilot, "thread_time", lambda: next(steps))
    assert pilot.population_size(energy_function, points) < quiet


def test_results_do_not_depend_on_cores(regression):
    """Code that was compiled just now may round differently from the cached one: warm up first."""

    def run(cores, seed):
        return pms.sample_tempered(
            300, tune=300, chains=2, cores=cores, model=regression, random_seed=seed, quiet=True,
            idata_kwargs=POINTWISE_OFF,
        )  # fmt: skip

    run(2, 3)
    one, three = run(1, 3), run(3, 3)
    for group in ("posterior", "tempering", "ladder", "tempered_posterior"):
        assert one[group].dataset.equals(three[group].dataset)
    assert not np.array_equal(run(2, 4)["posterior"]["sigma"], one["posterior"]["sigma"])


def test_options(regression):
    dt = pms.sample_tempered(
        20, tune=20, chains=1, model=regression, random_seed=np.random.default_rng(1), quiet=True,
        var_names=["beta"], keep_tempered=False, betas=[0.5, 2.0], target_beta=0.25,
        idata_kwargs=POINTWISE_OFF,
    )  # fmt: skip
    assert list(dt["posterior"].data_vars) == ["beta"]
    assert "tempered_posterior" not in dt.children
    betas = dt["tempering"].inverse_temperature.values
    assert {0.0, 0.25, 0.5, 2.0} <= set(betas)
    assert betas[-1] == 2.0
    assert dt["posterior"].attrs["target_beta"] == 0.25
    lp = dt["sample_stats"]["lp"]
    tempering = dt["tempering"].dataset.sel(inverse_temperature=0.25)
    np.testing.assert_allclose(lp, tempering.log_prior_unconstrained - 0.25 * tempering.energy)


def test_interrupt_keeps_what_is_finished(regression, monkeypatch):
    """Ctrl-C while drawing returns the finished draws, flagged; the verdict says so."""
    stage = progress.LadderProgress.stage

    def interrupting(self, name, **kwargs):
        stage(self, name, **kwargs)
        if name == "draw":
            threading.Timer(0.6, _thread.interrupt_main).start()

    monkeypatch.setattr(progress.LadderProgress, "stage", interrupting)
    dt = pms.sample_tempered(
        2_000_000, tune=100, chains=2, model=regression, random_seed=3, quiet=True,
        keep_tempered=False, idata_kwargs=POINTWISE_OFF,
    )  # fmt: skip
    assert dt["posterior"].attrs["complete"] == 0
    assert 4 <= dt["posterior"].sizes["draw"] < 2_000_000
    assert "interrupted after" in str(pms.verdict(dt))


def test_interrupt_while_tuning_stops(regression, monkeypatch):
    stage = progress.LadderProgress.stage

    def interrupting(self, name, **kwargs):
        stage(self, name, **kwargs)
        if name == "tune":
            threading.Timer(0.3, _thread.interrupt_main).start()

    monkeypatch.setattr(progress.LadderProgress, "stage", interrupting)
    with pytest.raises(KeyboardInterrupt):
        pms.sample_tempered(10, tune=1_000_000, chains=2, model=regression, quiet=True)


def test_prior_rung_is_independent_draws(tree):
    energy = tree["tempering"]["energy"].isel(inverse_temperature=0)
    ess = float(energy.azstats.ess(method="bulk"))
    assert ess > 0.5 * energy.size


def test_infinite_prior_energy_is_said(schools):
    dt, _ = schools
    found = pms.thermodynamics(dt)
    assert np.isnan(found.mean_energy[0])
    assert "infinite" in found.attrs["note"]
    assert np.all(np.isfinite(found.mean_energy[1:]))
    assert "U(0) has no value" in str(pms.verdict(dt))


@pytest.fixture(scope="module")
def schools():
    with pm.Model() as model:
        mu, tau = pm.Normal("mu", 0, 5), pm.HalfCauchy("tau", 5)
        theta = pm.Normal("theta", shape=8)
        pm.Normal("y", mu + tau * theta, ERRORS, observed=SCHOOLS)

    def marginal(tau):
        covariance = np.diag(ERRORS**2 + tau**2) + 25.0
        return stats.multivariate_normal(np.zeros(8), covariance).pdf(SCHOOLS) * stats.halfcauchy(
            scale=5
        ).pdf(tau)

    value, _ = integrate.quad(marginal, 0, np.inf, epsabs=0, epsrel=1e-10, limit=500)
    dt = pms.sample_tempered(model=model, random_seed=2, quiet=True, idata_kwargs=POINTWISE_OFF)
    return dt, np.log(value)


def test_eight_schools_evidence(schools):
    dt, truth = schools
    assert truth == pytest.approx(-31.311, abs=1e-3)
    found = pms.stepping_stone(dt)
    within(found.log_evidence, truth, found.mcse)
    assert found.mcse < 0.05


def test_ordered_prior_is_relative_to_its_own_constant():
    """1/k! of the forward draws obey the order; Z(0) is estimated from them and said."""
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.normal(-2, 1, 20), rng.normal(2, 1, 20)])
    kwargs = {"random_seed": 2, "quiet": True, "idata_kwargs": POINTWISE_OFF}

    def model(**prior):
        with pm.Model() as built:
            mu = pm.Normal("mu", 0, 4, shape=2, **prior)
            pm.NormalMixture("y", w=[0.5, 0.5], mu=mu, sigma=1.0, observed=y)
        return built

    ordered = pm.distributions.transforms.ordered
    dt = pms.sample_tempered(model=model(transform=ordered, initval=[-1.0, 1.0]), **kwargs)
    attrs = dt["tempering"].attrs
    assert attrs["reference"] == "Z(0)"
    within(attrs["log_partition_zero"], np.log(0.5), attrs["log_partition_zero_mcse"])
    assert "relative to Z(0)" in str(pms.verdict(dt))
    # by symmetry the unordered model has the same evidence, relative to its own Z(0) = 1
    free = pms.stepping_stone(pms.sample_tempered(model=model(), **kwargs))
    found = pms.stepping_stone(dt)
    within(found.log_evidence, free.log_evidence, np.hypot(found.mcse, free.mcse))
    assert bool(np.all(np.diff(dt["posterior"]["mu"], axis=-1) > 0))


def test_potential_kept_in_the_prior():
    with pm.Model() as model:
        a = pm.Normal("a", shape=2)
        pm.Potential("order", pt.switch(a[0] < a[1], 0.0, -np.inf))
        pm.Normal("y", a.sum(), 1.0, observed=np.zeros(4))
    dt = pms.sample_tempered(model=model, random_seed=2, quiet=True, idata_kwargs=POINTWISE_OFF)
    draws = dt["tempered_posterior"]["a"]
    assert bool((draws[..., 0] < draws[..., 1]).all())
    # the constraint is a symmetry of the likelihood, so that log Z relative to Z(0) is closed
    truth = stats.multivariate_normal(np.zeros(4), np.eye(4) + 2.0).logpdf(np.zeros(4))
    found = pms.stepping_stone(dt)
    within(found.log_evidence, truth, found.mcse)
    attrs = dt["tempering"].attrs
    within(attrs["log_partition_zero"], np.log(0.5), attrs["log_partition_zero_mcse"])


def test_untempered_likelihood_stays_with_the_prior():
    y = np.random.default_rng(1).normal(1.0, 1.0, size=20)
    with pm.Model() as model:
        a = pm.Normal("a")
        pm.Normal("first", a, 1.0, observed=y[:10])
        pm.Normal("second", a, 1.0, observed=y[10:])
    dt = pms.sample_tempered(
        model=model, tempered=["second"], random_seed=2, quiet=True, idata_kwargs=POINTWISE_OFF
    )
    whole = pms.solvable.conjugate_normal(y, sigma=1.0).log_partition(1.0)
    first = pms.solvable.conjugate_normal(y[:10], sigma=1.0).log_partition(1.0)
    found = pms.stepping_stone(dt)
    within(found.log_evidence, whole - first, found.mcse)


def test_two_separated_modes_keep_their_weights():
    system = pms.solvable.gaussian_mixture(dimension=4, separation=15.0)
    dt = pms.sample_tempered(
        2000, model=system.model(), random_seed=6, quiet=True, idata_kwargs=POINTWISE_OFF
    )
    wide = (dt["posterior"]["x"].mean("x_dim_0") > 0).astype(float)
    within(wide.mean(), 0.7, wide.azstats.mcse(method="mean"))
    found = pms.stepping_stone(dt)
    within(found.log_evidence, system.log_partition(1.0), found.mcse)


def test_progress_bar_is_drawn(regression, capsys):
    pms.sample_tempered(20, tune=70, chains=2, model=regression, random_seed=1,
                        idata_kwargs=POINTWISE_OFF)  # fmt: skip
    printed = capsys.readouterr().out
    for word in ("Rungs", "Barrier", "draw"):
        assert word in printed


def test_initvals_leave_log_z_alone_and_are_checked():
    system = pms.solvable.gaussian_mixture(dimension=2, separation=8.0, prior_sd=5.0)
    start = {"x": np.full(2, 8.0 / 2 / np.sqrt(2))}
    dt = pms.sample_tempered(
        model=system.model(), initvals=start, random_seed=3, quiet=True, idata_kwargs=POINTWISE_OFF
    )
    found = pms.stepping_stone(dt)
    within(found.log_evidence, system.log_partition(1.0), found.mcse)
    for bad, message in (
        ([start], "1 points for 4 chains"),
        ({"z": 0.0}, r"\['z'\] are not free variables"),
        ({"x": [np.inf, 0.0]}, "initvals: log prior"),
    ):
        with pytest.raises((ValueError, pms.errors.PmStatmechError), match=message):
            pms.sample_tempered(model=system.model(), initvals=bad, random_seed=3, quiet=True)


@pytest.mark.parametrize("wanted", [0.6, 0.95])
def test_tuning_brings_moves_to_the_wanted_acceptance(wanted):
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1, shape=10)
        pm.Normal("y", x, np.linspace(0.2, 2, 10), observed=np.arange(10.0) / 5)
    dt = pms.sample_tempered(
        300, tune=400, model=model, target_accept=wanted, random_seed=1, quiet=True,
        idata_kwargs=POINTWISE_OFF,
    )  # fmt: skip
    accepted = dt["ladder"]["acceptance_rate"].values[1:]
    assert np.all(np.abs(accepted - wanted) < 0.1)
    assert np.mean(accepted) == pytest.approx(wanted, abs=0.04)


def test_initial_values_of_the_model_are_kept_out_of_the_way():
    with pm.Model() as model:
        mu = pm.Normal("mu", initval=0.3)
        pm.Normal("y", mu, observed=[1.0, 2.0])
        dt = pms.sample_tempered(
            20, tune=20, chains=2, random_seed=1, progressbar=False, quiet=True
        )
    assert "log_prior" in dt.children
    assert model.rvs_to_initial_values[mu] == 0.3
