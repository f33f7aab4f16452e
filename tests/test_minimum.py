import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import statsmodels.api as sm

import pm_statmech as pms

ENGEL = {
    0.05: (124.88004, 0.34336),
    0.25: (95.48354, 0.47410),
    0.5: (81.48225, 0.56018),
    0.75: (62.39659, 0.64401),
    0.95: (64.10396, 0.70907),
}
STACK_LOSS = (-41.02650, 0.82938, 0.92607, -0.12785)
SCALE = 2.44054


@pytest.fixture(scope="module")
def engel():
    data = sm.datasets.engel.load_pandas().data
    return data["income"].to_numpy(), data["foodexp"].to_numpy()


@pytest.fixture(scope="module")
def stack_loss():
    data = sm.datasets.stackloss.load_pandas()
    return np.column_stack([np.ones(21), data.exog.to_numpy()]), data.endog.to_numpy()


@pytest.mark.parametrize("tau", sorted(ENGEL))
def test_engel_quantiles(engel, tau):
    income, food = engel
    with pm.Model():
        a, b = pm.Flat("a"), pm.Flat("b")
        pms.GibbsLoss("food", a + b * income, loss=pms.losses.pinball(tau), observed=food)
        found = pms.minimise()
    assert found.method == "linear programme"
    assert found.converged
    assert float(found.point["a"]) == pytest.approx(ENGEL[tau][0], rel=1e-3)
    assert float(found.point["b"]) == pytest.approx(ENGEL[tau][1], rel=1e-3)


def test_kinks_with_a_wide_prior_agree_with_the_programme(engel):
    income, food = engel
    with pm.Model():
        a, b = pm.Normal("a", 0, 1e5), pm.Normal("b", 0, 1e5)
        pms.GibbsLoss("food", a + b * income, loss=pms.losses.pinball(0.5), observed=food)
        found = pms.minimise()
    assert found.converged
    assert "smoothed kinks" in found.method
    assert float(found.point["a"]) == pytest.approx(ENGEL[0.5][0], rel=1e-3)
    assert float(found.point["b"]) == pytest.approx(ENGEL[0.5][1], rel=1e-3)


@pytest.mark.parametrize("prior", ["flat", "wide"])
def test_stack_loss_by_huber(stack_loss, prior):
    X, y = stack_loss
    with pm.Model():
        b = pm.Flat("b", shape=4) if prior == "flat" else pm.Normal("b", 0, 1e6, shape=4)
        pms.GibbsLoss("y", (pt.dot(X, b), SCALE), loss=pms.losses.huber(1.345), observed=y)
        found = pms.minimise()
    assert found.converged
    assert ("least squares" in found.method) == (prior == "flat")
    np.testing.assert_allclose(found.point["b"], STACK_LOSS, rtol=1e-3)


def test_redescending_loss_agrees_with_statsmodels(stack_loss):
    X, y = stack_loss
    with pm.Model():
        b = pm.Flat("b", shape=4)
        pms.GibbsLoss("y", (pt.dot(X, b), SCALE), loss=pms.losses.tukey_biweight(), observed=y)
        found = pms.minimise()
    weights = (1 - np.minimum(((y - X @ found.point["b"]) / SCALE / 4.685) ** 2, 1)) ** 2
    again = np.linalg.lstsq(X * np.sqrt(weights)[:, None], y * np.sqrt(weights), rcond=None)[0]
    np.testing.assert_allclose(found.point["b"], again, rtol=1e-6)


def test_weights_count_as_repeats():
    y = np.array([1.0, 2.0, 10.0])
    with pm.Model():
        m = pm.Flat("m")
        pms.GibbsLoss("y", m, loss=pms.losses.absolute, observed=y, weights=[1.0, 1.0, 3.0])
        assert float(pms.minimise().point["m"]) == pytest.approx(10.0)


def test_map_of_a_likelihood_without_jacobian():
    with pm.Model():
        rate = pm.Gamma("rate", 3.0, 2.0)
        pm.Poisson("n", rate, observed=[2, 4, 3])
        found = pms.minimise()
    assert float(found.point["rate"]) == pytest.approx((3 + 9 - 1) / (2 + 3), rel=1e-7)
    assert found.method == "Newton"


def test_minimum_of_an_energy(normal_model):
    with pm.Model():
        x = pm.Normal("x", 0, 1)
        pms.GibbsPotential("well", (x - 3) ** 2, beta=2.0)
        found = pms.minimise(start={"x": -4.0})
    # 2 (x - 3)^2 + x^2 / 2 is smallest at 12/5
    assert float(found.point["x"]) == pytest.approx(2.4, rel=1e-8)
    assert found.energy == pytest.approx(0.36, rel=1e-6)
    expected = 2 * 0.36 + 2.4**2 / 2 + 0.5 * np.log(2 * np.pi)
    assert found.objective == pytest.approx(expected, rel=1e-8)
