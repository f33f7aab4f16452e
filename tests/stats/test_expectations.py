"""Means of functions at betas on and off the ladder."""

import numpy as np
import pytest
import xarray as xr

import pm_statmech as pms
from pm_statmech import errors

from ..conftest import Z_LIMIT, within
from .runs import BETAS, CLOSED, RUNG, run_of, springs, tree_of, without

LADDER = np.array([0.0, 0.1, 0.3, 1.0])
CONJUGATE = "conjugate normal"


def moments(draws):
    """First and second moment of every variable, elementwise."""
    return draws.rename({n: f"{n}_1" for n in draws.data_vars}).merge(
        (draws**2).rename({n: f"{n}_2" for n in draws.data_vars})
    )


def scores(found, name, beta):
    """Scores of both moments of one variable at each of its elements."""
    mean, sd = CLOSED[name].posterior(beta)[(variable := found.attrs["variable"])]
    return np.concatenate(
        [
            np.ravel((found[f"{variable}_{p}"] - truth) / found[f"{variable}_{p}_mcse"])
            for p, truth in ((1, mean), (2, sd**2 + mean**2))
        ]
    )


@pytest.mark.parametrize("name", CLOSED)
def test_moments_against_closed_form(name):
    found = pms.expectation(run_of(name), moments, betas=BETAS)
    [variable] = CLOSED[name].posterior(1.0)
    np.testing.assert_array_equal(found[RUNG], BETAS)
    for beta in BETAS:
        at = found.sel({RUNG: beta}).assign_attrs(variable=variable)
        assert np.max(np.abs(scores(at, name, beta))) <= Z_LIMIT
        # control: the moments of another beta
        assert beta > 1 or np.max(np.abs(scores(at, name, beta + 0.7))) > Z_LIMIT


def test_errors_know_of_autocorrelation():
    """Over 40 data sets of correlated scans the scores of E[x_1] and E[x_1 x_2] have sd 1."""
    found, naive = [], []
    for seed in range(40):
        x = springs(seed, LADDER, memory=0.9)
        dt = tree_of(0.5 * np.sum(x**2, axis=-1), LADDER, variables={"x": x})
        one = pms.expectation(
            dt, lambda d: xr.Dataset({"a": d.x[..., 0], "b": d.x[..., 0] * d.x[..., 1]}), betas=0.5
        )
        found.append([float(one.a[0] / one.a_mcse[0]), float(one.b[0] / one.b_mcse[0])])
        naive.append(float(one.a[0]) / np.sqrt(1 / 1.5 / x[..., 0].size))
    np.testing.assert_allclose(np.std(found, axis=0), 1.0, atol=5.5 / np.sqrt(2 * 40))
    assert np.std(naive) > 1.6  # control: pooled draws taken for independent ones


def test_what_fn_may_return():
    dt = run_of("Gaussian linear model")
    found = pms.expectation(dt, lambda d: (d["b"] ** 2).sum("b_dim_0").rename(None), betas=[0.5])
    assert set(found.data_vars) == {"value", "value_mcse"}
    assert found["value"].dims == (RUNG,)
    found = pms.expectation(dt, lambda d: d["b"] > 0, betas=[1.0, 0.2])
    assert found["b"].dims == (RUNG, "b_dim_0")
    np.testing.assert_array_equal(found["b_dim_0"], [0, 1, 2])
    np.testing.assert_array_equal(found[RUNG], [1.0, 0.2])
    # a sum of means is the mean of the sum
    each = pms.expectation(dt, lambda d: d["b"], betas=0.5)["b"].sum("b_dim_0")
    total = pms.expectation(dt, lambda d: d["b"].sum("b_dim_0"), betas=0.5)["b"]
    np.testing.assert_allclose(each, total, rtol=1e-12)


def test_a_prior_without_moments():
    """A Cauchy variable has no mean at beta = 0, and a fair one at every rung above."""
    x = springs(1, LADDER)
    cauchy = np.random.default_rng(1).normal(size=x.shape[:3])
    cauchy[:, :, 0] = np.random.default_rng(2).standard_cauchy(x.shape[:2])
    dt = tree_of(0.5 * np.sum(x**2, axis=-1), LADDER, variables={"x": x, "c": cauchy})
    found = pms.expectation(dt, lambda d: d, betas=[0.0, 1.0])
    assert np.isnan(found.c_mcse[0])
    assert "c: under the prior its" in found.attrs["note"]
    assert np.all(np.isfinite(found.x_mcse))
    within(found.x[0, 0], 0.0, found.x_mcse[0, 0])
    assert pms.expectation(dt, lambda d: d["c"], betas=1.0).attrs["note"] == ""


@pytest.mark.parametrize(
    ("fn", "error", "message"),
    [
        ("mu", TypeError, r"fn='mu' is not a function.*lambda draws"),
        (lambda d: d["mu"].mean("draw"), errors.TreeError, r"'mu' over .*\['draw'\]"),
        (lambda d: d["mu"].sel({RUNG: 1.0}), errors.TreeError, r"\['inverse_temperature'\]"),
        (lambda d: d["mu"].values, errors.TreeError, "fn gave a ndarray"),
        (lambda d: d["mu"] * np.nan, errors.TreeError, r"'mu' as NaN in 100.*beta = 0\.37"),
        (lambda d: d["mu"] + np.inf, errors.TreeError, "'mu' as infinite"),
    ],
)
def test_functions_that_give_no_mean(fn, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        pms.expectation(run_of(CONJUGATE), fn, betas=0.37)


def test_values_without_weight_may_be_anything():
    """Where the energy is infinite the value is not read, unless beta is 0."""
    x = springs(3, LADDER)
    energy = 0.5 * np.sum(x**2, axis=-1)
    energy[:, :50, 0] = np.inf
    holes = np.where(np.isinf(energy), np.nan, x[..., 0])
    dt = tree_of(energy, LADDER, variables={"v": holes})
    found = pms.expectation(dt, lambda d: d["v"], betas=0.5)
    within(found.v[0], 0.0, found.v_mcse[0])
    with pytest.raises(errors.TreeError, match=r"NaN in .* beta = 0"):
        pms.expectation(dt, lambda d: d["v"], betas=0.0)


def test_trees_and_betas_that_will_not_do():
    dt = run_of(CONJUGATE)
    with pytest.raises(errors.TreeError, match="keep_tempered=True"):
        pms.expectation(without(dt, "tempered_posterior"), lambda d: d["mu"], betas=1.0)
    with pytest.raises(errors.InverseTemperatureError, match=r"0 to 2\.5"):
        pms.expectation(dt, lambda d: d["mu"], betas=[1.0, 3.0])
    with pytest.raises(errors.TreeError, match="tempering"):
        pms.expectation(dt["posterior"], lambda d: d["mu"], betas=1.0)
