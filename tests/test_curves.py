"""Log Z(beta) from a run: the interpolation, its error, and what may use it."""

import networkx as nx
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest

import pm_statmech as pms
from pm_statmech.log_partition import LogPartitionCurve

from .conftest import state_with_sum, within

TORUS = nx.grid_2d_graph(8, 8, periodic=True)
SYSTEM = pms.solvable.ising_torus(8, 8)


@pytest.fixture(scope="module")
def run():
    with pm.Model():
        pms.Ising("s", 1.0, graph=TORUS, beta=0.6)
        return pms.sample_tempered(
            600, tune=200, tempered=["s"], random_seed=6, progressbar=False, quiet=True
        )


def test_a_cubic_is_itself_and_its_slope_minus_the_energy():
    b = np.array([0.0, 0.3, 1.0, 1.2])
    A, slope = b**3 - 2 * b**2 + b, 3 * b**2 - 4 * b + 1
    curve = LogPartitionCurve(b, A, -slope, np.array([0.0, 0.1, 0.2, 0.4]))
    x = pt.dvector("x")
    f = pytensor.function(
        [x], [curve(x), pytensor.grad(pt.sum(curve(x)), x), curve.error(x)], mode="FAST_COMPILE"
    )
    at = np.array([0.0, 0.17, 0.3, 0.8, 1.19, 1.2])
    value, gradient, error = f(at)
    np.testing.assert_allclose(value, at**3 - 2 * at**2 + at, atol=1e-14)
    np.testing.assert_allclose(gradient, 3 * at**2 - 4 * at + 1, atol=1e-13)
    np.testing.assert_allclose(error, np.interp(at, b, curve.mcse), atol=1e-14)
    assert np.all(np.isnan(f(np.array([-0.01, 1.21]))[0]))


def test_curves_without_temperatures():
    with pytest.raises(ValueError, match="two or more"):
        LogPartitionCurve(*np.zeros((4, 1)))
    with pytest.raises(ValueError, match=r"not finite at beta = 0\.5"):
        LogPartitionCurve(np.array([0.0, 0.5]), np.zeros(2), np.array([1.0, np.inf]), np.zeros(2))


def test_curve_of_a_run_against_the_closed_form(run):
    curve = pms.log_partition_curve(run)
    for beta in (0.07, 0.21, 0.39, 0.44, 0.55):
        error = curve.error(beta).eval(mode="FAST_COMPILE")
        within(curve(beta).eval(mode="FAST_COMPILE"), SYSTEM.log_partition(beta), error)
        # the control: the curve of a coupling that is a tenth stronger
        gap = curve(beta).eval(mode="FAST_COMPILE") - SYSTEM.log_partition(1.1 * beta)
        assert beta < 0.2 or abs(gap) > 5.5 * error


def test_posterior_of_beta_by_a_table(run):
    engine = pms.log_partition.tabulated(pms.log_partition_curve(run))
    x = state_with_sum(96)
    grid = np.linspace(0.05, 0.59, 55)
    log_p = []
    for choice in (engine, None):
        with pm.Model() as model:
            beta = pm.Uniform("beta", 0, 0.6, default_transform=None)
            pms.Ising("x", 1.0, graph=TORUS, beta=beta, observed=x, log_partition=choice)
        f = model.compile_logp(mode="FAST_COMPILE")
        d = model.compile_dlogp(mode="FAST_COMPILE")
        log_p.append([f({"beta": b}) for b in grid])
        assert np.all(np.isfinite([d({"beta": b}) for b in grid]))
    # up to what the run's error allows, which is below a twentieth of a nat
    assert np.max(np.abs(np.subtract(*log_p))) < 5.5 * float(engine.error(0.6).eval())
    means = [np.average(grid, weights=np.exp(v - np.max(v))) for v in log_p]
    sd = np.sqrt(np.average((grid - means[1]) ** 2, weights=np.exp(log_p[1] - np.max(log_p[1]))))
    assert abs(means[0] - means[1]) < 0.1 * sd


def test_explain_shows_the_error_of_the_run(run):
    engine = pms.log_partition.tabulated(pms.log_partition_curve(run))
    with pm.Model() as model:
        beta = pm.Uniform("beta", 0, 0.6)
        pms.Ising("x", 1.0, graph=TORUS, beta=beta, observed=state_with_sum(96),
                  log_partition=engine)  # fmt: skip
    row = pms.explain(model, mode="FAST_COMPILE").loc["x"]
    assert "temperatures of s" in row["normaliser"]
    assert 0 < row["error"] < 0.1


def test_tables_of_something_else(run):
    engine = pms.log_partition.tabulated(pms.log_partition_curve(run))
    with pytest.raises(pms.errors.NetworkError, match="another network, or had other couplings"):
        pms.Ising.dist(0.9, graph=TORUS, beta=0.3, log_partition=engine)
    with pytest.raises(pms.errors.NetworkError, match="another network"):
        pms.Ising.dist(1.0, 0.1, graph=TORUS, beta=0.3, log_partition=engine)
    with pytest.raises(pms.errors.NetworkError, match="another network"):
        pms.Ising.dist(1.0, graph=nx.grid_2d_graph(8, 8), beta=0.3, log_partition=engine)
    with pytest.raises(pms.errors.NetworkError, match="must be numbers"):
        pms.Ising.dist(pt.dscalar("J"), graph=TORUS, log_partition=engine)
    normal = pms.solvable.conjugate_normal([1.0, 2.0], sigma=1.0)
    dt = pms.sample_tempered(
        20, tune=20, chains=2, model=normal.model(), random_seed=1, progressbar=False, quiet=True
    )
    with pytest.raises(pms.errors.NetworkError, match="one of 0 networks"):
        pms.log_partition.tabulated(pms.log_partition_curve(dt))


def _batch():
    pms.Ising("s", 1.0, graph=nx.cycle_graph(6), beta=0.8, shape=(3, 6))


def _potential():
    s = pms.Ising("s", 1.0, graph=nx.cycle_graph(6), beta=0.8)
    pm.Potential("c", 1.5 * s[0] + 0.7 * s[0] * s[2])


def _untempered():
    s = pms.Ising("s", 1.0, graph=nx.cycle_graph(6), beta=0.8)
    pm.Bernoulli("y", logit_p=2.0 * s, observed=np.ones(6, dtype=int))


@pytest.mark.parametrize(
    "make", [pytest.param(_batch, marks=pytest.mark.exhaustive), _potential, _untempered]
)
def test_runs_whose_log_z_is_of_more_than_the_network(make):
    with pm.Model():
        make()
        dt = pms.sample_tempered(
            20, tune=20, chains=2, tempered=["s"], random_seed=1, progressbar=False, quiet=True
        )
    with pytest.raises(pms.errors.NetworkError, match="one of 0 networks"):
        pms.log_partition.tabulated(pms.log_partition_curve(dt))
