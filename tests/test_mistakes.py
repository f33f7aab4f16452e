"""Each kind of mistake gets its own named error, with the variable, what was seen, a remedy."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pm_statmech as pms
from pm_statmech import errors, losses

X = np.linspace(-1, 1, 30)
Y = 1 + 2 * X
HOLE = np.where(np.arange(30) == 3, np.nan, Y)


def sample(**kwargs):
    pms.sample_tempered(quiet=True, random_seed=1, **kwargs)


def flat_prior():
    a = pm.Flat("a")
    pms.GibbsLoss("y", a, loss=losses.squared, observed=Y)
    sample()


def nan_energy():
    a = pm.Normal("a")
    pm.Normal("y", pt.log(a), 1, observed=Y)
    sample()


def infinite_energy():
    a = pm.Normal("a")
    pm.Uniform("y", a + 1000, a + 1001, observed=Y)
    sample()


def decreasing_ladder():
    pm.Normal("y", pm.Normal("a"), 1, observed=Y)
    sample(betas=[1.0, 0.5, 0.0])


def negative_beta():
    pms.GibbsLoss("y", pm.Normal("a"), loss=losses.squared, observed=Y, beta=-1.0)


def vector_beta():
    pms.GibbsLoss("y", pm.Normal("a"), loss=losses.squared, observed=Y, beta=np.ones(30))


def prior_as_target():
    pm.Normal("y", pm.Normal("a"), 1, observed=Y)
    sample(target_beta=0.0)


def no_tempered_term():
    a = pm.Normal("a")
    pm.Potential("p", -(a**2))
    sample()


def random_beta():
    pms.GibbsLoss("y", pm.Normal("a"), loss=losses.squared, observed=Y, beta=pm.HalfNormal("b"))


def improper_free_scale():
    pms.GibbsLoss("y", (pm.Normal("a"), pm.HalfNormal("s")), loss=losses.huber(), observed=Y)


def improper_free_scale_in_a_function():
    def loss(y, m, s):
        return pt.abs(y - m) / s

    pms.GibbsLoss("y", (pm.Normal("a"), pm.HalfNormal("s")), loss=loss, observed=Y)


def column_against_row():
    pms.GibbsLoss("y", pm.Normal("a") * X, loss=losses.squared, observed=Y[:, None])


def column_against_row_in_data():
    x, y = pm.Data("x", X), pm.Data("yy", Y[:, None])
    pms.GibbsLoss("y", pm.Normal("a") * x, loss=losses.squared, observed=y)


def nan_in_observed():
    pms.GibbsLoss("y", pm.Normal("a"), loss=losses.squared, observed=HOLE)


def masked_observed():
    masked = np.ma.masked_invalid(HOLE)
    pms.GibbsLoss("y", pm.Normal("a"), loss=losses.squared, observed=masked)


def empty_observed():
    pms.GibbsLoss("y", pm.Normal("a"), loss=losses.squared, observed=np.array([]))


def numpy_only_loss():
    def loss(y, m):
        return np.where(y > m, y - m, m - y)

    pms.GibbsLoss("y", pm.Normal("a"), loss=loss, observed=Y)


def closed_over():
    s = pm.HalfNormal("s")
    pms.GibbsLoss("y", pm.Normal("a"), loss=lambda y, m: pt.abs(y - m) * s, observed=Y)


def uncalled_factory():
    pms.GibbsLoss("y", pm.Normal("a"), loss=losses.pinball, observed=Y)


def not_a_loss():
    pms.GibbsLoss("y", pm.Normal("a"), loss="pinball", observed=Y)


def negative_weights():
    pms.GibbsLoss("y", pm.Normal("a"), loss=losses.squared, observed=Y, weights=-np.ones(30))


def vector_energy():
    pms.GibbsPotential("p", pm.Normal("a", shape=3) ** 2)


def unknown_name():
    pm.Normal("y", pm.Normal("a"), 1, observed=Y)
    sample(tempered=["z"])


def free_variable_tempered():
    pm.Normal("y", pm.Normal("a"), 1, observed=Y)
    sample(tempered=["a"])


def model_as_draws():
    pm.Normal("y", pm.Normal("a"), 1, observed=Y)
    pms.sample_tempered(pm.modelcontext(None))


def integers_that_move_together():
    pm.Normal("y", pm.Multinomial("k", 3, [0.5, 0.5])[0], 1, observed=Y)
    sample()


def impossible_constraint():
    a = pm.Normal("a")
    pm.Potential("never", pt.switch(a > 1e6, 0.0, -np.inf))
    pm.Normal("y", a, 1, observed=Y)
    sample()


def unknown_variable_name():
    pm.Normal("y", pm.Normal("a"), 1, observed=Y)
    sample(var_names=["b"], tune=50, draws=10)


def no_draws():
    pm.Normal("y", pm.Normal("a"), 1, observed=Y)
    sample(draws=0)


CASES = [
    (flat_prior, errors.ImproperPriorError, r"\['a'\] is flat.*proper prior"),
    (nan_energy, errors.EnergyError, r"energy of y is NaN at .*a = -.*log or sqrt"),
    (infinite_energy, errors.EnergyError, "energy of y is infinite at all"),
    (decreasing_ladder, errors.LadderError, "rung 1 is 0.5 after 1.*np.unique"),
    (negative_beta, errors.InverseTemperatureError, "y: beta = -1"),
    (vector_beta, errors.InverseTemperatureError, r"shape \(30,\).*weights="),
    (prior_as_target, errors.InverseTemperatureError, "target_beta = 0 is the prior"),
    (no_tempered_term, errors.TemperedTermError, r"nothing to temper.*tempered=\['p'\]"),
    (random_beta, errors.InverseTemperatureError, "y: beta depends on a random variable"),
    (improper_free_scale, errors.ImproperScaleError, "y: the scale given to huber.*Fix the scale"),
    (improper_free_scale_in_a_function, errors.ImproperScaleError, "y: the scale given to loss"),
    (column_against_row, errors.ShapeMismatchError, r"\(30, 1\).*\(30,\).*\(30, 30\).*ravel"),
    (column_against_row_in_data, errors.ShapeMismatchError, "y: observed.*ravel"),
    (nan_in_observed, errors.ObservedDataError, "y: 1 of 30 observed values.*drop"),
    (masked_observed, errors.ObservedDataError, "y: 1 of 30 observed values.*drop"),
    (empty_observed, errors.ObservedDataError, "y: observed is empty"),
    (numpy_only_loss, errors.LossError, r"y: the loss loss could not.*pt\.where"),
    (closed_over, errors.LossError, r"uses the random variable\(s\) \['s'\].*prediction="),
    (uncalled_factory, errors.LossError, r"call it with its constants, loss=losses\.pinball"),
    (not_a_loss, errors.LossError, "loss='pinball' is not a loss"),
    (negative_weights, errors.LossError, "y: weights must be finite and >= 0"),
    (vector_energy, errors.ShapeMismatchError, "p: the energy has shape.*GibbsLoss"),
    (unknown_name, errors.TemperedTermError, r"'z' is not an observed.*\['y'\]"),
    (free_variable_tempered, errors.TemperedTermError, r"'a' is not an observed"),
    (model_as_draws, TypeError, "draws must be an integer, not Model. Pass the model as model="),
    (integers_that_move_together, errors.UnsupportedVariableError, "'k' is a discrete vector"),
    (impossible_constraint, errors.ImproperPriorError, "'never' stays.*Loosen"),
    (unknown_variable_name, errors.TreeError, r"\['b'\] are not among"),
    (no_draws, ValueError, "draws = 0"),
]


@pytest.mark.parametrize(
    ("mistake", "error", "message"), CASES, ids=lambda c: getattr(c, "__name__", "")
)
def test_mistake(mistake, error, message):
    with pm.Model(), pytest.raises(error, match=f"(?s){message}") as caught:
        mistake()
    assert isinstance(caught.value, errors.PmStatmechError) or error in (TypeError, ValueError)


def test_prediction_without_random():
    with pm.Model():
        pms.GibbsLoss("y", pm.Normal("a"), loss=losses.squared, observed=Y)
        with (
            pytest.warns(UserWarning, match="object mode"),
            pytest.raises(errors.PredictionError, match=r"y is a loss.*random=.*var_names"),
        ):
            pm.sample_prior_predictive(5)
        # what the message offers works
        prior = pm.sample_prior_predictive(5, var_names=["a"])
    assert prior["prior"]["a"].shape == (1, 5)


@pytest.mark.parametrize(
    "statistic", [pms.thermodynamics, pms.stepping_stone, pms.verdict, pms.loo]
)
def test_trees_without_what_is_read(statistic):
    from xarray import DataTree

    with pytest.raises(errors.TreeError, match=r"tempering|loss"):
        statistic(DataTree())
