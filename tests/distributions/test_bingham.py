"""Bingham, Kent and Fisher-Bingham distributions: records, derivatives, draws, mistakes."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.tensor.blockwise import Blockwise
from scipy import integrate, special

import pm_statmech as pms
from pm_statmech import errors
from pm_statmech.log_partition.fisher_bingham import FisherBingham, normaliser

from ..conftest import RECORDS


def value(graph):
    return graph.eval(mode="FAST_COMPILE")


def of_record(name):
    """A, b and log Z of a record."""
    kind, p = name.split("_")[0], RECORDS[name]["parameters"]
    if kind == "vmf":
        return np.zeros((p["d"], p["d"])), p["kappa"] * np.eye(p["d"])[0]
    if kind == "watson":
        return np.diag([p["kappa"], 0.0, 0.0]), np.zeros(3)
    if kind == "bingham":
        return np.diag(p["lambdas"]).astype(float), np.zeros(len(p["lambdas"]))
    if kind == "kent":
        return np.diag([0.0, p["beta"], -p["beta"]]), np.array([p["kappa"], 0.0, 0.0])
    return np.diag(p["lambdas"]).astype(float), np.array(p["theta"])


KINDS = ("vmf", "watson", "bingham", "kent", "fisher")


@pytest.mark.parametrize("name", [name for name in RECORDS if name.split("_")[0] in KINDS])
def test_records(name):
    A, b = of_record(name)
    # any axes will do, and any multiple of the unit matrix
    d = len(b)
    turn = np.linalg.qr(np.random.default_rng(d).normal(size=(d, d)))[0]
    log_z, first, products = normaliser(turn @ A @ turn.T + 3 * np.eye(d), turn @ b)
    record = RECORDS[name]
    assert log_z - 3 == pytest.approx(record["value"], rel=1e-12, abs=1e-12)
    assert np.trace(products) == pytest.approx(1, rel=1e-12)
    if "grad_A" in record:
        expected = float(record["grad_A"]) * turn[:, 0]
        np.testing.assert_allclose(first, expected, rtol=1e-9, atol=1e-14)


def test_rotations_by_quaternions():
    """The matrix Fisher distribution is a Bingham distribution of unit quaternions."""
    record = RECORDS["matrix_fisher_SO3_(1, 2, 3)"]
    s = np.array(record["parameters"]["singular_values"], dtype=float)
    # tr(F' R) of a quaternion q is q' A q with these eigenvalues
    A = np.diag([s.sum(), s[0] - s[1] - s[2], s[1] - s[0] - s[2], s[2] - s[0] - s[1]])
    log_z = normaliser(A, np.zeros(4))[0] - np.log(2 * np.pi**2)
    assert log_z == pytest.approx(record["value"], rel=1e-12)


@pytest.mark.parametrize("lags", [[0.0, 1e4, 1e4], [0.0, 0.0, 1e5], [0.0, 1e-13, 50.0]])
def test_far_and_close_eigenvalues(lags):
    """Along the axis, and about the equator, as confluent hypergeometric functions."""
    log_z = normaliser(-np.diag(lags), np.zeros(3))[0]
    if lags[1] > 1:
        expected = np.log(special.dawsn(100.0) / 100.0)
    else:
        kappa = lags[2]
        expected = np.log(special.hyp1f1(0.5, 1.5, -kappa))
    assert log_z == pytest.approx(np.log(4 * np.pi) + expected, rel=1e-9)


@pytest.mark.parametrize("curvature", [-300.0, -100.0, -10.0, 0.0, 50.0])
@pytest.mark.parametrize("ratio", [0.1, 1.5, 1.8, 2.5, 10.0])
def test_vectors_that_pull_against_the_form(curvature, ratio):
    """Where the line through the saddle point must be bent less: by a grid of heights."""
    kappa = ratio * max(abs(curvature), 1.0)
    s = np.linspace(-1, 1, 100_001)
    exponents = curvature * s**2 + kappa * s
    top = exponents.max()
    z = integrate.simpson(np.exp(exponents - top), x=s)
    log_z, first, _ = normaliser(np.diag([0.0, 0.0, curvature]), np.array([0.0, 0.0, kappa]))
    assert log_z == pytest.approx(top + np.log(2 * np.pi * z), rel=1e-9)
    expected = integrate.simpson(np.exp(exponents - top) * s, x=s) / z
    assert first[2] == pytest.approx(expected, rel=1e-8)


def test_derivatives_by_differences():
    rng = np.random.default_rng(0)
    A, b = pt.dmatrix("A"), pt.dvector("b")
    log_z = FisherBingham()(A, b)[0]
    f = pytensor.function([A, b], log_z, mode="FAST_COMPILE")
    g = pytensor.function([A, b], pytensor.grad(log_z, [A, b]), mode="FAST_COMPILE")
    for _ in range(3):
        form = rng.normal(size=(4, 4)) * 3
        form, vector = form + form.T, rng.normal(size=4) * 2
        to_A, to_b = g(form, vector)
        for i, j in np.ndindex(4, 4):
            step = np.zeros((4, 4))
            step[i, j] = 1e-5
            slope = (f(form + step, vector) - f(form - step, vector)) / 2e-5
            assert to_A[i, j] == pytest.approx(slope, rel=1e-6, abs=1e-9)
        for i, step in enumerate(1e-5 * np.eye(4)):
            slope = (f(form, vector + step) - f(form, vector - step)) / 2e-5
            assert to_b[i] == pytest.approx(slope, rel=1e-6, abs=1e-9)
    with pytest.raises(Exception, match="second derivatives"):
        pytensor.grad(pt.sum(FisherBingham()(A, b)[1]), b)


def test_native_code_gives_what_python_gives():
    A, b = pt.dtensor3("A"), pt.dmatrix("b")
    outputs = Blockwise(FisherBingham())(A, b)
    rng = np.random.default_rng(1)
    at = rng.normal(size=(2, 3, 3)) + 4 * np.eye(3)[:, 0], rng.normal(size=(2, 3))
    found = pytensor.function([A, b], outputs, mode="NUMBA")(*at)
    expected = pytensor.function([A, b], outputs, mode="FAST_COMPILE")(*at)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("A", "b"),
    [
        (np.diag([0.0, 0.0, 0.0]), np.zeros(3)),
        (np.diag([-20.0, -5.0, 0.0]), np.zeros(3)),
        (np.diag([0.0, 5.0, -5.0]), np.array([12.0, 0.0, 0.0])),
        (np.array([[1.0, 2.0], [2.0, -3.0]]), np.array([0.5, -1.0])),
        (np.diag([3.0, 0.0, 1.0, -8.0]), np.array([1.0, 2.0, 0.0, -1.0])),
        (np.diag([0.0, 0.0, -100.0]), np.array([0.0, 0.0, 100.0])),
        (np.diag([0.0, 200.0, -200.0]), np.array([200.0, 0.0, 0.0])),
    ],
)
def test_draws_have_the_moments(A, b):
    n = 20_000
    x = pm.draw(pms.FisherBingham.dist(A, b, size=n), random_seed=1, mode="FAST_COMPILE")
    np.testing.assert_allclose(np.sum(x**2, axis=1), 1, rtol=1e-12)
    _, first, products = normaliser(A, b)
    features = np.column_stack([x, x[:, :, None].repeat(len(b), axis=2).reshape(n, -1)])
    features[:, len(b) :] *= np.tile(x, (1, len(b)))
    expected = np.concatenate([first, products.ravel()])
    z = (features.mean(axis=0) - expected) / np.maximum(features.std(axis=0), 1e-9) * np.sqrt(n)
    assert np.all(np.abs(z) < 5.5)
    # control: another form is noticed
    moments = normaliser(1.15 * A + np.diag(1.0 + np.arange(len(b))), 0.85 * b)[1:]
    other = np.concatenate([v.ravel() for v in moments])
    z = (features.mean(axis=0) - other) / np.maximum(features.std(axis=0), 1e-9) * np.sqrt(n)
    assert np.max(np.abs(z)) > 5.5


def test_named_ones():
    axes = np.array([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [-0.8, 0.0, 0.6]])
    x = np.array([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    record = RECORDS["kent_k5.0_b2.5"]
    y = pms.Kent.dist(axes, 5.0, 2.5)
    lean = x @ axes.T
    expected = 5 * lean[:, 0] + 2.5 * (lean[:, 1] ** 2 - lean[:, 2] ** 2) - record["value"]
    np.testing.assert_allclose(value(pm.logp(y, x)), expected, rtol=1e-12)
    A = axes.T @ np.diag([-10.0, -5.0, 0.0]) @ axes
    y = pms.Bingham.dist(A)
    expected = lean**2 @ [-10, -5, 0] - RECORDS["bingham_S2_[-10, -5, 0]"]["value"]
    np.testing.assert_allclose(value(pm.logp(y, x)), expected, rtol=1e-10)
    assert value(pm.logp(y, [1.0, 1.0, 0.0])) == -np.inf
    # batches of forms
    forms = np.stack([A, 2 * A])
    with pm.Model() as model:
        pms.Bingham("x", forms)
    assert model.initial_point()["x_stereographic__"].shape == (2, 2)
    assert value(pms.Bingham.dist(forms)).shape == (2, 3)
    found = value(pm.logp(pms.Bingham.dist(forms), x[0]))
    assert found.shape == (2,)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-10)


def test_concentrations_are_inferred():
    """NUTS with Z in the density: the posterior mean lies where the data put it."""
    data = pm.draw(
        pms.Kent.dist(np.eye(3), 20.0, 5.0, size=400), random_seed=2, mode="FAST_COMPILE"
    )
    with pm.Model():
        kappa, beta = pm.HalfNormal("kappa", 50), pm.HalfNormal("beta", 20)
        pms.Kent("x", np.eye(3), kappa, beta, observed=data)
        dt = pm.sample(
            500, tune=500, chains=2, cores=1, random_seed=1, progressbar=False, quiet=True,
            nuts_sampler="pymc", initvals={"kappa": 10.0, "beta": 2.0},
        )  # fmt: skip
    for name, truth in (("kappa", 20.0), ("beta", 5.0)):
        draws = dt["posterior"][name]
        assert abs(float(draws.mean()) - truth) < 4 * float(draws.std())
        assert float(draws.std()) < 0.2 * truth


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: pms.Bingham.dist(np.array([[0.0, 1.0], [0.0, 0.0]])), "not symmetric"),
        (lambda: pms.Bingham.dist(np.full((3, 3), np.inf)), "finite"),
        (lambda: pms.Bingham.dist(np.zeros(3)), "known"),
        (lambda: pms.FisherBingham.dist(np.zeros((3, 3)), np.zeros(2)), "shape"),
        (lambda: pms.Kent.dist(np.ones((3, 3)), 1.0, 0.0), "orthonormal"),
        (lambda: pms.Kent.dist(np.eye(4), 1.0, 0.0), "3, 3"),
        (lambda: pms.Kent.dist(np.eye(3), -1.0, 0.0), "kappa = -1"),
    ],
)
def test_mistakes_are_named(make, match):
    with pytest.raises(errors.FamilyError, match=match):
        make()
