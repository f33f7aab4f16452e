"""Bootstrap coverage: against the bootstrap of a mean, which needs no posterior."""

import numpy as np
import pymc as pm
import pytest
from scipy.stats import norm

import pm_statmech as pms
from pm_statmech.calibration.bootstrap_coverage import _search, slope_of_coverage
from pm_statmech.errors import (
    CalibrationError,
    InverseTemperatureError,
    UnsupportedVariableError,
)
from tests.conftest import Z_LIMIT

cal = pms.calibration
Y = np.random.default_rng(1).gamma(2.0, 2.0, size=40)
QUIET = {"random_seed": 1, "progressbar": False}


def mean_of(y, sd=1000.0):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, sd)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=y)
    return model


@pytest.fixture(scope="module")
def found():
    return cal.general_posterior_calibration(mean_of(Y), replications=300, draws=400, **QUIET)


def test_beta_of_a_mean(found):
    """The interval is ybar_b -+ 1.96 / sqrt(n beta): beta is a quantile of bootstrap means."""
    rng = np.random.default_rng(2)
    means = rng.choice(Y, size=(100_000, 40)).mean(axis=1)
    reach = np.quantile(np.abs(means - Y.mean()), 0.95)
    exact = (norm.ppf(0.975) / reach) ** 2 / 40
    assert abs(found.beta - exact) < Z_LIMIT * found.standard_error
    assert found.standard_error < 0.25 * exact
    # what half as many would be covered at is another one
    assert abs(found.beta - 4 * exact) > Z_LIMIT * found.standard_error


def test_path_says_how_it_was_found(found):
    path = found.path
    middle = path.sel(inverse_temperature=found.beta, method="nearest")
    # its posteriors were drawn again in between
    assert float(middle["coverage"]) == pytest.approx(0.95, abs=0.03)
    assert path["step_coverage"].values[-1] == pytest.approx(0.95, abs=0.01)
    # colder is narrower
    assert float(path["coverage"][0]) > 0.97 > 0.9 > float(path["coverage"][-1])
    np.testing.assert_allclose(path["marginal_coverage"][:, 0], path["coverage"])
    # of one symmetric coordinate intervals and regions are nearly the same
    np.testing.assert_allclose(path["joint_coverage"], path["coverage"], atol=0.03)
    assert float(path["minimiser"][0]) == pytest.approx(Y.mean())
    assert path["step_beta"].values[-1] == found.beta
    assert path.attrs["n_failed"] == 0
    assert "posteriors of 300 resampled data sets" in found.cost
    # reweighting spares most of the posteriors that the steps and the curve would take
    assert int(found.cost.split()[0]) < 5 * 300


def test_threads_change_nothing():
    alone, together = (
        cal.general_posterior_calibration(
            mean_of(Y), replications=40, draws=200, cores=cores, **QUIET
        )
        for cores in (1, 2)
    )
    assert alone.beta == together.beta
    np.testing.assert_array_equal(alone.path["coverage"], together.path["coverage"])


def test_joint_region_of_two_coordinates():
    """Normal losses of two means with one variance: the joint region is chi-square's."""
    rng = np.random.default_rng(3)
    y = rng.normal(0.0, 2.0, size=(60, 2))
    group = np.repeat([0, 1], 60)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 1000.0, shape=2)
        pms.GibbsLoss("y", mu[group], loss=pms.losses.squared, observed=y.T.ravel())
    joint = cal.general_posterior_calibration_joint(model, replications=80, draws=200, **QUIET)
    assert abs(joint.beta * 4.0 - 1) < 0.5
    assert "joint region" in str(joint)
    one = cal.general_posterior_calibration(
        model, var_names=["mu"], level=0.8, replications=60, draws=200, **QUIET
    )
    assert one.path.attrs["wanted"] == 0.8
    assert one.path["marginal_coverage"].shape == (21, 2)


def test_steps_find_the_root_of_a_known_coverage():
    def coverage(beta):
        return 2 * norm.cdf(1.96 * np.sqrt(0.3 / beta)) - 1

    slope = slope_of_coverage(0.95, 1)
    # z phi(z), the slope of coverage against log beta at the root
    assert slope == pytest.approx(1.959964 * norm.pdf(1.959964), rel=1e-6)
    for start in (0.01, 0.3, 20.0):
        search = _search(coverage, 0.95, slope, start, 0.0)
        assert search.betas[-1] == pytest.approx(0.3, rel=0.01), start
        assert len(search.betas) < 40


def test_a_start_that_is_far_too_cold_changes_little():
    """Weights to a hotter beta have no variance, and would stop halfway."""
    near, far = (
        cal.general_posterior_calibration(
            mean_of(Y), replications=80, draws=200, start=start, **QUIET
        )
        for start in (0.1, 1e5)
    )
    assert far.beta == pytest.approx(near.beta, rel=0.3)


def test_what_the_loss_does_not_determine_is_named():
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(4), 8)
    with pm.Model() as model:
        tau = pm.HalfNormal("tau", 2.0)
        mu = pm.Normal("mu", 0.0, tau, shape=4)
        pm.Normal("y", mu[group], 1.0, observed=rng.normal(size=32) + rng.normal(size=4)[group])
    with pytest.raises(CalibrationError, match=r"does not determine \['tau_log__'\]"):
        cal.general_posterior_calibration(model, **QUIET)
    some = cal.general_posterior_calibration(
        model, var_names="mu", replications=60, draws=200, **QUIET
    )
    assert 0.4 < some.beta < 2.5


def test_what_is_refused():
    for start, match in ((0.0, "start = 0"), (-1.0, "start"), (np.nan, "start")):
        with pytest.raises((CalibrationError, InverseTemperatureError), match=match):
            cal.general_posterior_calibration(mean_of(Y), start=start)
    with pytest.raises(CalibrationError, match="var_names"):
        cal.general_posterior_calibration(mean_of(Y), var_names=[])
    with pytest.raises(CalibrationError, match=r"level = 1.2"):
        cal.general_posterior_calibration(mean_of(Y), level=1.2)
    with pytest.raises(CalibrationError, match="replications = 5"):
        cal.general_posterior_calibration(mean_of(Y), replications=5)
    with pytest.raises(CalibrationError, match=r"\['nu'\] are not among"):
        cal.general_posterior_calibration(mean_of(Y), var_names=["nu"])
    with pm.Model() as discrete:
        k = pm.Binomial("k", 5, 0.5)
        pm.Normal("y", k, 1.0, observed=Y)
    with pytest.raises(UnsupportedVariableError, match="k"):
        cal.general_posterior_calibration(discrete)
    # a prior that is sure of another mean: no beta covers what it excludes
    with pm.Model() as stubborn:
        mu = pm.TruncatedNormal("mu", 50.0, 1.0, lower=40.0, upper=60.0)
        pms.GibbsLoss("y", mu, loss=pms.losses.squared, observed=Y)
    with pytest.raises(CalibrationError):
        cal.general_posterior_calibration(stubborn, replications=20, draws=200, **QUIET)
