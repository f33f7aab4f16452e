"""Laws of thermodynamics that the sampler's estimates obey on every solvable system."""

import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms

from .conftest import POINTWISE_OFF, Z_LIMIT, within
from .test_solvable import BETAS, systems

CONTINUOUS = [s for s in systems() if s.name != "two-level system"]
_RUNS = {}


def run(system):
    """One tempered run of each system with all betas on its ladder."""
    if system.name not in _RUNS:
        _RUNS[system.name] = pms.sample_tempered(
            model=system.model(), betas=BETAS, random_seed=11, quiet=True,
            idata_kwargs=POINTWISE_OFF,
        )  # fmt: skip
    return _RUNS[system.name]


@pytest.mark.parametrize("system", CONTINUOUS, ids=lambda s: s.name)
class TestThermodynamics:
    @pytest.mark.parametrize("beta", BETAS)
    def test_against_closed_form(self, system, beta):
        row = pms.thermodynamics(run(system)).sel(inverse_temperature=beta)
        within(row.mean_energy, system.mean_energy(beta), row.mean_energy_mcse)
        if beta == 0:
            assert row.heat_capacity == row.relative_entropy == row.log_partition == 0
            return
        within(row.heat_capacity, system.heat_capacity(beta), row.heat_capacity_mcse)
        within(row.log_partition, system.log_partition(beta), row.log_partition_mcse)
        within(row.relative_entropy, system.relative_entropy(beta), row.relative_entropy_mcse)

    def test_stepping_stone_at_the_target(self, system):
        found = pms.stepping_stone(run(system))
        within(found.log_evidence, system.log_partition(1.0), found.mcse)

    @pytest.mark.parametrize("beta", BETAS)
    def test_posterior_moments_at_every_rung(self, system, beta):
        if system.posterior is None:
            pytest.skip("no closed posterior")
        draws = run(system)["tempered_posterior"].dataset.sel(inverse_temperature=beta)
        for name, (mean, sd) in system.posterior(beta).items():
            error = draws[name].azstats.mcse(method="mean").values
            z = (draws[name].mean(("chain", "draw")).values - mean) / error
            assert np.all(np.abs(z) <= Z_LIMIT)
            error = draws[name].azstats.mcse(method="sd").values
            z = (draws[name].std(("chain", "draw")).values - sd) / error
            assert np.all(np.abs(z) <= Z_LIMIT)

    def test_a_doubled_beta_is_noticed(self, system):
        """Control: the same run, read as if its betas were twice what they are, must fail."""
        row = pms.thermodynamics(run(system)).sel(inverse_temperature=1.0)
        for name in ("mean_energy", "log_partition"):
            truth = getattr(system, name)(2.0)
            z = float((row[name] - truth) / row[f"{name}_mcse"])
            assert abs(z) > Z_LIMIT


def test_adding_a_constant_to_the_energy():
    """E + c moves U by c and log Z by -beta c, and changes no draw, swap or heat capacity.

    Rounding grows along unstable trajectories of the step-size search, so the run is short.
    """
    shift = 7.0
    runs = []
    for c in (0.0, shift):
        with pm.Model() as model:
            x = pm.Normal("x", 0, 1, shape=2)
            pms.GibbsPotential("well", 3.0 * (x**2).sum() + c)
        runs.append(
            pms.sample_tempered(
                40, tune=0, model=model, random_seed=5, quiet=True, idata_kwargs=POINTWISE_OFF
            )
        )
    plain, moved = runs
    a, b = pms.thermodynamics(plain), pms.thermodynamics(moved)
    betas = a.inverse_temperature.values
    np.testing.assert_allclose(b.inverse_temperature, betas, atol=1e-6)
    b = b.assign_coords(inverse_temperature=betas)
    np.testing.assert_allclose(moved["posterior"]["x"], plain["posterior"]["x"], atol=1e-5)
    np.testing.assert_allclose(
        moved["ladder"]["swap_rejection"], plain["ladder"]["swap_rejection"], atol=1e-5
    )
    np.testing.assert_allclose(b.mean_energy - a.mean_energy, shift, atol=1e-4)
    np.testing.assert_allclose(b.log_partition - a.log_partition, -betas * shift, atol=1e-4)
    np.testing.assert_allclose(b.heat_capacity, a.heat_capacity, atol=1e-4)
    np.testing.assert_allclose(b.relative_entropy, a.relative_entropy, atol=1e-4)


def test_beta_zero_is_the_prior():
    system = CONTINUOUS[0]
    draws = run(system)["tempered_posterior"]["mu"].sel(inverse_temperature=0.0).values.ravel()
    assert abs((draws.mean() + 1.0) / (2.0 / np.sqrt(draws.size))) <= Z_LIMIT
    lag_one = np.corrcoef(draws[:-1], draws[1:])[0, 1]
    assert abs(lag_one) * np.sqrt(draws.size) <= Z_LIMIT


def test_beta_one_agrees_with_pymc():
    system = next(s for s in CONTINUOUS if s.name == "Beta-Bernoulli")
    with system.model():
        other = pm.sample(
            nuts_sampler="pymc", random_seed=4, progressbar=False, cores=1, quiet=True
        )
    own = run(system)["posterior"]["p"]
    theirs = other["posterior"]["p"]
    error = np.hypot(own.azstats.mcse(method="mean"), theirs.azstats.mcse(method="mean"))
    within(own.mean(), theirs.mean(), error)


@pytest.mark.parametrize("beta", BETAS)
def test_two_level_under_pymc(beta):
    """The discrete system goes through temper() and PyMC's own Gibbs step."""
    system = pms.solvable.two_level(1.7)
    with pms.temper(system.model(), beta):
        trace = pm.sample(1000, tune=200, random_seed=7, progressbar=False, cores=1, quiet=True,
                          nuts_sampler="pymc", compute_convergence_checks=False)  # fmt: skip
    s = trace["posterior"]["s"].astype(float)
    within(s.mean(), system.posterior(beta)["s"][0], s.azstats.mcse(method="mean"))
