"""Learning coefficients against closed forms, of regular and of singular energies."""

import numpy as np
import pytest

import pm_statmech as pms
from pm_statmech.errors import InverseTemperatureError, TreeError

from ..conftest import within
from .runs import springs, tree_of

N = 1000
HERE = 1 / np.log(N)


def test_wbic_is_the_energy_there(diabetes_system):
    dt = pms.sample_tempered(
        500, tune=300, model=diabetes_system.model(), random_seed=5, progressbar=False, quiet=True
    )
    found = pms.wbic(dt)
    within(found.value, diabetes_system.mean_energy(1 / np.log(442)), found.mcse)
    assert "beta = 0.1642" in str(found)
    # the control: at the target
    assert abs(found.value - diabetes_system.mean_energy(1.0)) > 5.5 * found.mcse
    coefficient = pms.learning_coefficient(dt)
    beta = 1 / np.log(442)
    low, high = beta / 1.5, beta * 1.5
    fall = diabetes_system.mean_energy(low) - diabetes_system.mean_energy(high)
    exact = [fall / (1 / low - 1 / high), diabetes_system.heat_capacity(beta)]
    for k in range(2):
        within(coefficient["learning_coefficient"][k], exact[k], coefficient["mcse"][k])
    # ten parameters
    assert abs(float(coefficient["learning_coefficient"][0]) - 5) < 0.6


def singular_tree(power, seed, betas, *, chains=4, draws=1000, scale=N):
    """Energies n x^power of x uniform on (0, 1): lambda = 1 / power, drawn exactly by rejection."""
    rng = np.random.default_rng(seed)
    columns = []
    for beta in betas:
        # beta E is a gamma variable of shape 1 / power, cut at beta n
        found = np.empty(0)
        while found.size < chains * draws:
            e = rng.gamma(1 / power, size=4 * chains * draws)
            x = rng.random(4 * chains * draws) ** power * scale
            found = np.append(found, e[e < beta * scale] / beta if beta > 0 else x)
        columns.append(found[: chains * draws].reshape(chains, draws))
    return tree_of(np.stack(columns, axis=-1), betas, target=1.0, n_observations=N)


@pytest.mark.parametrize("power", [2, 4])
def test_learning_coefficient_of_powers(power):
    betas = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 20)])
    z = []
    for seed in range(12):
        found = pms.learning_coefficient(singular_tree(power, seed, betas))
        for k in range(2):
            z.append((found["learning_coefficient"][k] - 1 / power) / found["mcse"][k])
    assert np.max(np.abs(z)) < 5.5
    assert 0.5 < np.sqrt(np.mean(np.square(z))) < 1.6
    # the control: that of the other power
    assert float(found["mcse"][0]) < 0.25 / 5.5


def test_errors_know_of_autocorrelation():
    betas = np.concatenate([[0.0], np.geomspace(0.02, 1.0, 10)])
    plain, sticky = (
        pms.wbic(
            tree_of(0.5 * np.sum(springs(2, betas, memory=m) ** 2, -1), betas, n_observations=N)
        )
        for m in (0.0, 0.9)
    )
    assert sticky.mcse > 1.8 * plain.mcse


def test_singular_fluctuation_of_a_mean():
    y = np.random.default_rng(1).normal(size=300)
    system = pms.solvable.conjugate_normal(y, sigma=1.0, prior_sd=10.0)
    dt = pms.sample_tempered(
        1000, tune=200, model=system.model(), random_seed=1, progressbar=False, quiet=True
    )
    found = pms.singular_fluctuation(dt)
    # losses (y - mu)^2 / 2: the variance of one is v ((y - m)^2 + v / 2), with the posterior's m, v
    [(mean, sd)] = system.posterior(1.0).values()
    exact = 0.5 * np.sum(sd**2 * ((y - mean) ** 2 + 0.5 * sd**2))
    within(found.value, exact, found.mcse)
    assert abs(found.value - 1.0) > 5.5 * found.mcse


class TestWhatIsRefused:
    def test_few_observations_and_short_ladders(self):
        betas = np.array([0.5, 1.0])
        tree = tree_of(np.random.default_rng(0).gamma(2.0, size=(2, 50, 2)), betas)
        with pytest.raises(TreeError, match="0 observations"):
            pms.wbic(tree)
        with pytest.raises(InverseTemperatureError, match="outside the ladder"):
            pms.wbic(tree, n=1000)
        with pytest.raises(InverseTemperatureError, match="outside the ladder"):
            pms.learning_coefficient(tree, n=5)
        with pytest.raises(TreeError, match="group 'loss'"):
            pms.singular_fluctuation(tree)
