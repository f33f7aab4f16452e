"""The local learning coefficient against quadrature of the distribution that it samples."""

import numpy as np
import pymc as pm
import pytest

import pm_statmech as pms
from pm_statmech.errors import EnergyError, TreeError, UnsupportedVariableError

from .conftest import within

N = 10**8
GAMMA = 100.0


def singular():
    """n a^2 b^4: flat along both axes, across them a parabola and a quartic."""
    with pm.Model() as model:
        w = pm.Normal("w", 0.0, 3.0, shape=2)
        pms.GibbsPotential("e", N * w[0] ** 2 * w[1] ** 4)
    return model


def exact(centre, beta, gamma=GAMMA):
    """beta E[E] of exp(-beta N a^2 b^4 - gamma |w - centre|^2 / 2), on a grid.

    The integral over a is normal: with precision gamma + 2 beta N b^4.
    """
    b = centre[1] + np.linspace(-8, 8, 400_001) / np.sqrt(gamma)
    stiff = 2 * beta * N * b**4
    precision = gamma + stiff
    mean = gamma * centre[0] / precision
    log_weight = (
        -0.5 * np.log(precision)
        - 0.5 * gamma * (b - centre[1]) ** 2
        - 0.5 * gamma * stiff / precision * centre[0] ** 2
    )
    weight = np.exp(log_weight - log_weight.max())
    energy = 0.5 * stiff * (mean**2 + 1 / precision)
    return np.sum(weight * energy) / np.sum(weight)


@pytest.mark.parametrize(("centre", "near"), [((1.0, 0.0), 0.25), ((0.0, 1.0), 0.5)])
def test_flat_directions_count_by_their_order(centre, near):
    truth = exact(centre, 1 / np.log(N))
    assert abs(truth - near) < 0.02
    found = pms.local_learning_coefficient(
        {"w": list(centre)}, singular(), n=N, localisation=GAMMA, random_seed=1, quiet=True,
    )  # fmt: skip
    within(found.value, truth, found.mcse)
    assert found.mcse < 0.02
    assert "gamma = 100" in found.method
    # control: that of the other axis
    assert abs(found.value - exact(centre[::-1], 1 / np.log(N))) > 5.5 * found.mcse


@pytest.mark.exhaustive
def test_regular_models_have_half_their_parameters():
    rng = np.random.default_rng(1)
    system = pms.solvable.gaussian_linear_model(
        rng.normal(size=(300, 4)), rng.normal(size=300), noise_sd=1.0, prior_sd=5.0
    )
    model = system.model()
    found = pms.local_learning_coefficient(
        pms.minimise(model).point, model, random_seed=1, quiet=True, draws=600, tune=300
    )
    assert abs(found.value - 2.0) < 5.5 * found.mcse + 0.05


def test_what_is_refused():
    model = singular()
    with pytest.raises(TreeError, match="give n="):
        pms.local_learning_coefficient({"w": [0.0, 0.0]}, model)
    with pytest.raises(EnergyError, match="localisation = 0"):
        pms.local_learning_coefficient({"w": [0.0, 0.0]}, model, n=100, localisation=0.0)
    with pytest.raises(EnergyError, match="no minimum"):
        pms.local_learning_coefficient({"w": [np.inf, 1.0]}, model, n=100)
    with pytest.raises(UnsupportedVariableError, match="not free variables"):
        pms.local_learning_coefficient({"v": 1.0}, model, n=100)
    with pm.Model() as discrete:
        k = pm.Binomial("k", 5, 0.5)
        pm.Normal("y", k, observed=np.zeros(5))
    with pytest.raises(UnsupportedVariableError, match="discrete"):
        pms.local_learning_coefficient({"k": 1}, discrete)
