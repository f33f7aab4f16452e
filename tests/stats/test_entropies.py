"""Entropy of the posterior by two routes, against closed forms."""

import numpy as np
import pymc as pm
import pytest
from scipy import stats

import pm_statmech as pms
from pm_statmech.errors import TreeError
from pm_statmech.stats.entropies import nearest_neighbour_entropy, nearest_neighbour_log_density

from ..conftest import within


def test_diabetes_both_routes(diabetes_system):
    dt = pms.sample_tempered(
        2000, tune=500, chains=4, model=diabetes_system.model(), random_seed=8, progressbar=False,
        quiet=True,
    )  # fmt: skip
    found = pms.posterior_entropy(dt)
    exact = -15.93302
    identity, neighbours, gaussian = found["entropy"].values
    errors = found["mcse"].values
    within(identity, exact, errors[0])
    within(neighbours, exact, errors[1])
    within(gaussian, exact, errors[2])
    assert errors[0] <= 0.05
    assert errors[1] <= 0.03
    assert abs(found.attrs["agreement"]) < 5.5
    # the control: the identity with half of the energy
    U = float(pms.thermodynamics(dt)["mean_energy"][-1])
    assert abs(identity - 0.5 * U - exact) / errors[0] > 5.5


@pytest.mark.parametrize("d", [1, 3, 8, 20])
def test_neighbours_of_normal_draws(d):
    rng = np.random.default_rng(d)
    scale = np.tril(rng.normal(size=(d, d))) + 2 * np.eye(d)
    exact = 0.5 * d * np.log(2 * np.pi * np.e) + np.sum(np.log(np.abs(np.diag(scale))))
    z = []
    for _ in range(10):
        found, error = nearest_neighbour_entropy(rng.normal(size=(4, 800, d)) @ scale.T)
        z.append((found - exact) / error)
    assert np.max(np.abs(z)) < 5.5
    assert np.sqrt(np.mean(np.square(z))) < 1.7
    # the control: the entropy of draws that are twice as wide
    assert d * np.log(2) / error > 5.5


@pytest.mark.parametrize(
    ("law", "d"), [(stats.gamma(3), 6), (stats.t(5), 5), (stats.lognorm(0.7), 4)],
    ids=["gamma", "t", "lognormal"],
)  # fmt: skip
def test_neighbours_of_draws_that_are_not_normal(law, d):
    x = law.rvs(size=(4, 1500, d), random_state=np.random.default_rng(d))
    found, error = nearest_neighbour_entropy(x)
    within(found, d * law.entropy(), error)
    assert error < 0.15
    # the control: the normal distribution with that covariance
    gaussian = 0.5 * d * np.log(2 * np.pi * np.e * law.var())
    assert (gaussian - found) / error > 5.5


def test_autocorrelation_does_not_make_neighbours():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(4, 2000, 2))
    x = noise.copy()
    for t in range(1, 2000):
        x[:, t] = 0.95 * x[:, t - 1] + np.sqrt(1 - 0.95**2) * noise[:, t]
    entropy = -nearest_neighbour_log_density(x, (3,)).mean()
    exact = np.log(2 * np.pi * np.e)
    assert entropy == pytest.approx(exact, abs=0.15)
    # the control: within one chain every draw has the last one beside it
    one = -nearest_neighbour_log_density(np.stack([x[0, ::2], x[0, 1::2]]), (3,)).mean()
    assert exact - one > 0.15


def test_skewed_and_several_variables():
    with pm.Model():
        a = pm.Gamma("a", 3.0, 0.5)
        b = pm.Normal("b", 0, 2, shape=2)
        pm.Deterministic("c", a * b)
        pms.GibbsPotential("nothing", 0.0 * a)
        dt = pms.sample_tempered(
            1500, tune=100, chains=4, random_seed=3, progressbar=False, quiet=True
        )
    found = pms.posterior_entropy(dt)
    exact = stats.gamma(3, scale=2).entropy() + 2 * stats.norm(0, 2).entropy()
    within(found["entropy"][0], exact, found["mcse"][0])
    within(found["entropy"][1], exact, found["mcse"][1])
    assert found["entropy"][2] > exact + 5.5 * found["mcse"][2] * 0.5


class TestWhatIsRefused:
    def test_coordinates_of_a_simplex(self):
        with pm.Model():
            p = pm.Dirichlet("p", np.ones(3))
            pm.Multinomial("y", 10, p, observed=[5, 3, 2])
            dt = pms.sample_tempered(
                50, tune=50, chains=2, random_seed=3, progressbar=False, quiet=True
            )
        with pytest.raises(TreeError, match="as those of a simplex"):
            pms.posterior_entropy(dt)

    def test_constraints_discrete_and_no_prior(self):
        with pm.Model():
            a = pm.Normal("a")
            pm.Potential("positive", pm.math.switch(a > 0, 0.0, -np.inf))
            pm.Normal("y", a, observed=1.0)
            dt = pms.sample_tempered(
                20, tune=20, chains=2, random_seed=3, progressbar=False, quiet=True
            )
        found = pms.posterior_entropy(dt)
        assert "may not be normalised" in found.attrs["note"]
        assert np.isnan(found["entropy"][0])
        assert np.all(np.isfinite(found["entropy"][1:]))
        with pm.Model():
            k = pm.Binomial("k", 5, 0.5)
            pm.Normal("y", k, observed=1.0)
            dt = pms.sample_tempered(
                20, tune=20, chains=2, random_seed=3, progressbar=False, quiet=True
            )
        with pytest.raises(TreeError, match="discrete"):
            pms.posterior_entropy(dt)
        del dt["log_prior"]
        with pytest.raises(TreeError, match="log_prior"):
            pms.posterior_entropy(dt)
