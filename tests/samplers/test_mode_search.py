"""The search for missed modes: what it finds, what it leaves, and what Laplace says it weighs."""

import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms
from pm_statmech.samplers.annealing import Stage
from pm_statmech.samplers.mixture import Mixture
from pm_statmech.samplers.mode_search import find_basins, starting_points
from pm_statmech.samplers.references import Partition, TargetDensity

PRECISION = np.array([[30.0, 5.0], [5.0, 4.0]])
CENTRE = np.array([1.0, -2.0])
OFFSET = 3.7


@pytest.fixture(scope="module")
def gaussian():
    """A Gaussian energy under a Gaussian prior: Laplace is exact."""
    with pm.Model() as model:
        x = pm.Normal("x", 0, 10, shape=2)
        pms.GibbsPotential("e", OFFSET + 0.5 * (x - CENTRE) @ PRECISION @ (x - CENTRE))
    return pms.tempered_model(model).compile()


def exact_log_z(beta):
    """Of a Gaussian prior times a Gaussian: convolution of both, times the missing constant."""
    covariance = np.linalg.inv(beta * PRECISION)
    joint = covariance + 100.0 * np.eye(2)
    log_z = -beta * OFFSET + 0.5 * np.linalg.slogdet(covariance)[1]
    log_z -= 0.5 * np.linalg.slogdet(joint)[1]
    return log_z - 0.5 * CENTRE @ np.linalg.solve(joint, CENTRE)


def density(function, beta, known):
    q = Mixture(np.ones(1), np.array([known], dtype=float), 0.3 * np.eye(2)[None])
    return TargetDensity(function, beta, Partition(q, np.zeros(1, dtype=int)))


@pytest.mark.parametrize("beta", [0.37, 1.0, 2.5])
def test_a_gaussian_mode_far_from_what_is_known_is_weighed_exactly(gaussian, beta):
    starts = np.array([[5.0, 5.0], [-3.0, 0.0]])
    truth = exact_log_z(beta)
    [basin] = find_basins(density(gaussian, beta, [40.0, 40.0]), starts, truth, np.ones(2))
    np.testing.assert_allclose(basin.log_z, truth, atol=1e-4)
    exact = np.linalg.inv(beta * PRECISION + 0.01 * np.eye(2))
    np.testing.assert_allclose(basin.factor @ basin.factor.T, exact, rtol=1e-4)


def test_what_is_known_or_weighs_nothing_is_left(gaussian):
    starts, truth = np.array([[5.0, 5.0]]), exact_log_z(1.0)
    assert find_basins(density(gaussian, 1.0, CENTRE), starts, truth, np.ones(2)) == []
    # a mode of one part in e^8 of what is known already changes nothing
    far = density(gaussian, 1.0, [40.0, 40.0])
    assert find_basins(far, starts, truth + 8.0, np.ones(2)) == []
    assert len(find_basins(far, starts, truth + 6.0, np.ones(2))) == 1


def test_starts_are_images_hot_particles_and_what_the_user_asks():
    rng = np.random.default_rng(0)
    stages = [
        Stage(beta, centre + rng.normal(size=(50, 3)), *[np.zeros(50)] * 3, np.eye(3), 1.0,
              np.zeros(2), 1.0, np.ones(2), np.ones(2), np.zeros(4))
        for beta, centre in ((0.0, 0.0), (0.5, 7.0), (1.0, 20.0))
    ]  # fmt: skip
    x = 20.0 + 0.1 * rng.normal(size=(200, 3))
    starts = starting_points(stages, x, [np.full(3, 99.0)], 40, rng)
    assert np.all(starts[0] == 99.0)
    mirrored = np.all(np.abs(starts + 20.0) < 2.0, axis=1)
    one_flipped = np.sum(np.abs(starts + 20.0) < 2.0, axis=1) == 1
    hot = np.all(np.abs(starts - 7.0) < 6.0, axis=1)
    assert (mirrored.sum(), one_flipped.sum(), hot.sum()) == (10, 3, 10)
