"""Betas by matching information, against closed forms and figures of other programmes."""

import numpy as np
import pymc as pm
import pytest
import statsmodels.api as sm
from scipy.stats import norm

import pm_statmech as pms
from pm_statmech.calibration.information import hall_sheather
from pm_statmech.calibration.matching import determinant_form, trace_form
from pm_statmech.errors import CalibrationError, UnsupportedVariableError
from pm_statmech.losses.loss import constant, convolved_part
from pm_statmech.regression import LinearLoss, linear_programme

ENGEL = sm.datasets.engel.load_pandas().data
MATCHING = (pms.calibration.information_matching, pms.calibration.information_matching_trace)


def engel(unit=1.0):
    with pm.Model() as model:
        b = pm.Normal("b", 0.0, [5000.0, 100.0 * unit], shape=2)
        median = b[0] + b[1] * ENGEL["income"].to_numpy() / unit
        pms.GibbsLoss("foodexp", median, loss=pms.losses.pinball(0.5), observed=ENGEL["foodexp"])
    return model


def location(y, loss):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 100.0)
        pms.GibbsLoss("y", mu, loss=loss, observed=y)
    return model


def test_engel_in_francs_and_in_thousands():
    by_determinant = [MATCHING[0](engel(unit)) for unit in (1.0, 1000.0)]
    by_trace = [MATCHING[1](engel(unit)).beta for unit in (1.0, 1000.0)]
    # the determinant does not see the unit, the trace does
    np.testing.assert_allclose([c.beta for c in by_determinant], 0.010326, atol=5e-7)
    np.testing.assert_allclose(by_trace, [0.012967, 0.014838], atol=5e-7)
    path = by_determinant[0].path
    np.testing.assert_allclose(path["sandwich_sd"], [30.2153, 0.037317], rtol=2e-6)
    assert path["coordinate"].values.tolist() == ["b[0]", "b[1]"]
    assert path["direction_beta"][0] < by_determinant[0].beta < path["direction_beta"][1]
    # equal volumes: the determinants of posterior and sandwich covariances
    J, I = path["curvature"].values, path["score_covariance"].values
    n, beta = 235, by_determinant[0].beta
    inverse = np.linalg.inv(J)
    assert np.linalg.det(inverse / (n * beta)) == pytest.approx(
        np.linalg.det(inverse @ I @ inverse / n), rel=1e-9
    )
    assert by_determinant[0].unit == "per y"
    assert "a normal kernel of width" in by_determinant[0].cost


@pytest.mark.parametrize(
    ("draw", "loss", "exact"),
    [
        ("normal", pms.losses.absolute, 0.79788),
        ("normal", pms.losses.pinball(0.1), 1.94998),
        ("normal", pms.losses.huber(), 1.15660),
        ("t", pms.losses.absolute, 0.73511),
        ("t", pms.losses.huber(), 0.88164),
    ],
)
def test_locations(draw, loss, exact):
    rng = np.random.default_rng(2)
    n = 100_000
    y = rng.normal(size=n) if draw == "normal" else rng.standard_t(3, size=n)
    found = pms.calibration.information_matching(location(y, loss))
    assert found.beta == pytest.approx(exact, rel=0.02)
    assert abs(found.beta - exact) < 5.5 * found.standard_error
    # with one parameter the forms are one
    assert MATCHING[1](location(y, loss)).beta == pytest.approx(found.beta, rel=1e-12)


def test_squares_give_one_over_the_variance():
    y = np.random.default_rng(3).normal(2.0, 3.0, size=50)
    for matching in MATCHING:
        assert matching(location(y, pms.losses.squared)).beta * y.var() == pytest.approx(1.0)
    # (c E, beta / c) is the same posterior
    with pm.Model() as scaled:
        mu = pm.Normal("mu", 0.0, 100.0)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=y, weights=np.full(50, 4.0))
    assert MATCHING[0](scaled).beta * 4 * y.var() == pytest.approx(1.0)


def test_a_true_likelihood_has_beta_one():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3000, 2))
    y = rng.poisson(np.exp(0.3 + x @ [0.2, -0.1]))
    with pm.Model() as model:
        b = pm.Normal("b", 0.0, 5.0, shape=3)
        pm.Poisson("y", pm.math.exp(b[0] + b[1] * x[:, 0] + b[2] * x[:, 1]), observed=y)
    found = pms.calibration.information_matching(model)
    assert abs(found.beta - 1.0) < 5.5 * found.standard_error
    assert found.standard_error < 0.05
    # counts twice as spread as Poisson's: half of it
    with pm.Model() as wrong:
        b = pm.Normal("b", 0.0, 5.0)
        pm.Poisson("y", pm.math.exp(b), observed=2 * rng.poisson(3.0, size=3000))
    assert pms.calibration.information_matching(wrong).beta == pytest.approx(0.5, rel=0.1)


@pytest.mark.exhaustive
def test_errors_are_those_of_other_data_sets():
    z = []
    for seed in range(16):
        y = np.random.default_rng(seed).standard_t(5, size=400)
        found = pms.calibration.information_matching(location(y, pms.losses.huber(1.0)))
        z.append((found.beta, found.standard_error))
    betas, errors = np.array(z).T
    assert 0.55 < np.std(betas) / np.mean(errors) < 1.6


def test_bootstrap_agrees_with_slopes_where_there_are_many_data():
    y = np.random.default_rng(5).normal(size=600)
    model = location(y, pms.losses.huber(1.0))
    plug_in = pms.calibration.information_matching(model)
    found = pms.calibration.loss_likelihood_bootstrap(
        model, draws=400, random_seed=1, progressbar=False
    )
    assert abs(found.beta - plug_in.beta) < 5.5 * found.standard_error
    assert found.path["minimiser"].shape == (400, 1)
    again = pms.calibration.loss_likelihood_bootstrap(
        model, draws=50, random_seed=1, progressbar=False
    )
    np.testing.assert_array_equal(again.path["minimiser"], found.path["minimiser"][:50])


def test_kernel_estimates_at_kinks():
    """The curvature of a convolved kink is a normal density, its value the mean over the kernel."""
    u, h = np.linspace(-2, 2, 9), 0.3
    value = convolved_part(constant(0.0) + u, constant(h)).eval()
    nodes = np.linspace(-8, 8, 20_001)
    weights = norm.pdf(nodes) / norm.pdf(nodes).sum()
    exact = [np.sum(weights * np.maximum(at + h * nodes, 0)) for at in u]
    np.testing.assert_allclose(value, exact, atol=1e-6)
    for loss, jump in ((pms.losses.pinball(0.2), 1.0), (pms.losses.absolute, 2.0)):
        law = loss.convolved(constant(h))
        step = 1e-4
        low, here, high = (law(constant(0.1 + k * step)).eval() for k in (-1, 0, 1))
        curvature = (low - 2 * here + high) / step**2
        assert curvature == pytest.approx(jump * norm.pdf(0.1 / h) / h, rel=1e-4)
        far = law(constant(5.0)).eval()
        assert far == pytest.approx(loss.law(constant(5.0)).eval(), abs=1e-9)


def test_bandwidth_is_that_of_statsmodels():
    fit = sm.QuantReg.from_formula("foodexp ~ income", ENGEL).fit(q=0.5, bandwidth="hsheather")
    assert hall_sheather(np.asarray(fit.resid), 0.5) == pytest.approx(fit.bandwidth, rel=0.01)


def test_hinges_need_a_bandwidth():
    rng = np.random.default_rng(6)
    x = rng.normal(size=500)
    y = (x + 0.7 * rng.normal(size=500) > 0).astype(int)
    with pm.Model() as model:
        b = pm.Normal("b", 0.0, 10.0, shape=2)
        pms.GibbsLoss("y", b[0] + b[1] * x, loss=pms.losses.hinge, observed=y)
    with pytest.raises(CalibrationError, match="bandwidth="):
        pms.calibration.information_matching(model)
    found = pms.calibration.information_matching(model, bandwidth=0.3)
    assert 0.1 < found.beta < 10
    with pytest.raises(CalibrationError, match="positive"):
        pms.calibration.information_matching(model, bandwidth=-1.0)


def test_what_is_refused():
    y = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    with pytest.raises(CalibrationError, match="zero_one has jumps"):
        pms.calibration.information_matching(location(y, pms.losses.zero_one))
    with pm.Model() as two:
        mu = pm.Normal("mu")
        pm.Normal("a", mu, 1.0, observed=y)
        pm.Normal("b", mu, 1.0, observed=y)
    with pytest.raises(CalibrationError, match="one tempered term"):
        pms.calibration.information_matching(two)
    with pm.Model() as idle:
        mu, _ = pm.Normal("mu"), pm.Normal("nothing")
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=y)
    with pytest.raises(CalibrationError, match="nothing"):
        pms.calibration.information_matching(idle)
    with pm.Model() as discrete:
        k = pm.Binomial("k", 5, 0.5)
        pm.Normal("y", k, 1.0, observed=y)
    with pytest.raises(UnsupportedVariableError, match="k"):
        pms.calibration.information_matching(discrete)
    with pytest.raises(CalibrationError, match="draws = 5"):
        pms.calibration.loss_likelihood_bootstrap(
            location(y, pms.losses.squared), draws=5, progressbar=False
        )
    with pytest.raises(CalibrationError, match="observations for"):
        pms.calibration.information_matching(location(y[:1], pms.losses.squared))


def test_forms():
    J, I = np.diag([2.0, 3.0]), np.diag([1.0, 6.0])
    assert determinant_form(J, I) == pytest.approx(1.0)
    assert trace_form(J, I) == pytest.approx((4.0 + 1.5) / 5.0)


def test_text_says_loss_and_unit():
    found = pms.calibration.information_matching(
        location(np.random.default_rng(7).normal(size=40), pms.losses.huber())
    )
    assert "per y^2 for y, huber(k=1.345), by information matching" in repr(found)
    assert "It assumes" in found._repr_html_()


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.97])
def test_programmes_of_many_observations_are_those_of_all(tau, monkeypatch):
    rng = np.random.default_rng(8)
    n = 2000
    design = np.column_stack([np.ones(n), rng.normal(size=n), rng.gamma(1.0, size=n)])
    target = design @ [1.0, 2.0, -1.0] + rng.standard_t(2, size=n) * (1 + design[:, 2])
    problem = LinearLoss(
        pms.losses.pinball(tau), design, target, rng.gamma(2.0, size=n), np.ones(n)
    )
    whole = linear_programme(problem).x
    monkeypatch.setattr("pm_statmech.regression.WHOLE_PROGRAMME", 100)
    in_parts = linear_programme(problem).x
    np.testing.assert_allclose(in_parts, whole, rtol=1e-8)

    def total(b):
        r = target - design @ b
        return np.sum(problem.weights * np.maximum(tau * r, (tau - 1) * r))

    for k in range(3):
        for step in (-1e-4, 1e-4):
            assert total(whole + step * np.eye(3)[k]) >= total(whole) - 1e-9
