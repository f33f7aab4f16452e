"""The power prior: 40 of 100 before, 44 of 100 now; FACTS has .014, .613 and .561."""

import numpy as np
import pymc as pm
import pytest
from scipy.special import betaln

import pm_statmech as pms
from pm_statmech.errors import CalibrationError
from pm_statmech.log_partition import LogPartitionCurve

FAST = "FAST_COMPILE"


def exact_curve():
    """Log Z(a) of 40 of 100 under a uniform prior, the binomial coefficient included."""
    a = np.linspace(0.0, 1.0, 401)
    coefficient = -np.log(101.0) - betaln(41.0, 61.0)
    log_z = betaln(1 + 40 * a, 1 + 60 * a) + a * coefficient
    slope = np.gradient(log_z, a, edge_order=2)
    return LogPartitionCurve(a, log_z, -slope, np.zeros(401))


def both(power, log_partition):
    with pm.Model() as model:
        theta = pm.Beta("theta", 1, 1)
        a = pm.Uniform("a") if power is None else power
        pms.calibration.PowerPrior(
            "before", pm.Binomial.dist(100, theta), observed=40, power=a,
            log_partition=log_partition,
        )  # fmt: skip
        pm.Binomial("now", 100, theta, observed=44)
    return model


def mean_power(model):
    """E[a] by quadrature over theta and a, of the model's own density."""
    density = model.compile_logp(mode=FAST)
    a, theta = (np.arange(40) + 0.5) / 40, np.linspace(0.2, 0.7, 51)
    logit = lambda p: np.log(p / (1 - p))  # noqa: E731
    point = model.initial_point()
    values = np.empty((40, 51))
    for i, j in np.ndindex(values.shape):
        point["theta_logodds__"] = np.array(logit(theta[j]))
        point["a_interval__"] = np.array(logit(a[i]))
        # without the Jacobians, that is on theta and a themselves
        values[i, j] = density(point) - np.log(theta[j] * (1 - theta[j]) * a[i] * (1 - a[i]))
    w = np.exp(values - values.max()).sum(axis=1)
    return float(w @ a / w.sum())


def test_random_power_is_normalised_over_theta():
    assert mean_power(both(None, exact_curve())) == pytest.approx(0.561, abs=0.002)


def test_a_tempered_run_gives_the_normaliser():
    with pm.Model():
        theta = pm.Beta("theta", 1, 1)
        pm.Binomial("before", 100, theta, observed=40)
        dt = pms.sample_tempered(2000, random_seed=1, quiet=True)
    curve = pms.log_partition_curve(dt)
    found = curve(0.37).eval(mode=FAST) - exact_curve()(0.37).eval(mode=FAST)
    assert abs(found) < 5.5 * curve.error(0.37).eval(mode=FAST) + 1e-3
    assert mean_power(both(None, curve)) == pytest.approx(0.561, abs=0.02)


def test_without_a_normaliser_the_power_would_vanish():
    """What the error prevents, by hand: the classic mistake."""
    with pm.Model() as model:
        theta, a = pm.Beta("theta", 1, 1), pm.Uniform("a")
        pm.Potential("before", a * pm.logp(pm.Binomial.dist(100, theta), 40))
        pm.Binomial("now", 100, theta, observed=44)
    # by L(theta; y0)^a with its binomial coefficient it is not .561
    assert abs(mean_power(model) - 0.561) > 0.1
    with pytest.raises(CalibrationError, match="the power is random"):
        both(None, None)


def test_a_fixed_power_weighs_the_old_data():
    model = both(0.5, None)
    density = model.compile_logp(mode=FAST)

    def at(p):
        return density({"theta_logodds__": np.array(np.log(p / (1 - p)))}) - np.log(p * (1 - p))

    # Beta(1 + 20 + 44, 1 + 30 + 56)
    exact = 64 * np.log(0.4 / 0.5) + 86 * np.log(0.6 / 0.5)
    assert at(0.4) - at(0.5) == pytest.approx(exact, rel=1e-9)
    # it belongs to the prior when the model is tempered
    split = pms.tempered_model(model)
    assert [term.name for term in split.terms] == ["now"]
    assert not split.prior_normalised


def test_what_is_refused():
    with pytest.raises(CalibrationError, match=r"power = -0\.5"):
        both(-0.5, None)
    with pm.Model() as changed:
        pm.Data("a", -1.0)
        theta = pm.Beta("theta", 1, 1)
        with pytest.raises(CalibrationError, match="power = -1"):
            pms.calibration.PowerPrior(
                "before", pm.Binomial.dist(100, theta), observed=40, power=changed["a"]
            )
        with pytest.raises(CalibrationError, match="not finite"):
            pms.calibration.PowerPrior(
                "before", pm.Normal.dist(theta), observed=[1.0, np.nan], power=0.5
            )
    # beyond the ladder a fixed power needs no normaliser
    assert np.isfinite(both(1.5, exact_curve()).compile_logp(mode=FAST)({
        "theta_logodds__": np.array(0.3)}))  # fmt: skip
    with pytest.raises(CalibrationError, match="1 axes"):
        both(np.array([0.5, 0.5]), None)
    with pm.Model():
        theta, a = pm.Beta("theta", 1, 1), pm.HalfNormal("a", 3.0)
        with pytest.raises(CalibrationError, match="log Z is known from 0 to 1"):
            pms.calibration.PowerPrior(
                "before", pm.Binomial.dist(100, theta), observed=40, power=a,
                log_partition=exact_curve(),
            )  # fmt: skip
