"""Von Mises-Fisher and Watson distributions: records, scipy, draws, projections, mistakes."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate, special, stats

import pm_statmech as pms
from pm_statmech import errors

from ..conftest import RECORDS


def value(graph):
    return graph.eval(mode="FAST_COMPILE")


def log_p_of_lean(kind, d):
    """Compiled kappa, t -> log density at x . mu = t, with its derivatives in kappa."""
    kappa, lean = pt.dscalar("kappa"), pt.dscalar("t")
    mu, across = np.eye(d)[:2]
    x = lean * mu + pt.sqrt(1 - lean**2) * across
    log_p = pm.logp(kind.dist(mu, kappa), x)
    slope = pytensor.grad(log_p, kappa)
    outputs = [log_p, slope, pytensor.grad(slope, kappa)]
    return pytensor.function([kappa, lean], outputs, mode="FAST_COMPILE")


@pytest.mark.parametrize("d", [2, 3, 5, 10, 50, 500])
def test_records_of_von_mises_and_fisher(d):
    f = log_p_of_lean(pms.VonMisesFisher, d)
    names = [name for name in RECORDS if name.startswith(f"vmf_d{d}_")]
    assert len(names) >= 4
    for name in names:
        record = RECORDS[name]
        kappa = record["parameters"]["kappa"]
        log_p, slope, curvature = f(kappa, 0.25)
        # of the log density, the mean resultant length and the variance are left
        assert 0.25 * kappa - log_p == pytest.approx(record["value"], rel=1e-13, abs=1e-13)
        assert 0.25 - slope == pytest.approx(float(record["grad_A"]), rel=1e-9)
        assert -curvature == pytest.approx(float(record["hess"]), rel=1e-11)


@pytest.mark.parametrize("name", [name for name in RECORDS if name.startswith("watson_")])
def test_records_of_watson(name):
    record = RECORDS[name]
    kappa = record["parameters"]["kappa"]
    found, slope, _ = log_p_of_lean(pms.Watson, record["parameters"]["d"])(kappa, 0.5)
    assert 0.25 * kappa - found == pytest.approx(record["value"], rel=1e-12)
    half = 0.5 * record["parameters"]["d"]
    ratio = special.hyp1f1(1.5, half + 1, kappa) / special.hyp1f1(0.5, half, kappa)
    assert 0.25 - slope == pytest.approx(0.5 / half * ratio, rel=1e-9)


def test_scipy_agrees_where_it_can():
    mu = np.array([0.6, 0.0, 0.8])
    x = np.array([[0.0, 1.0, 0.0], [0.0, 0.6, -0.8], mu])
    expected = stats.vonmises_fisher(mu, 3.0).logpdf(x)
    # a direction of any length
    y = pms.VonMisesFisher.dist(5.0 * mu, 3.0)
    np.testing.assert_allclose(value(pm.logp(y, x)), expected, rtol=1e-10)
    angles = np.array([0.3, 2.0])
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    y = pms.VonMisesFisher.dist([1.0, 0.0], [2.0, 7.0])
    expected = stats.vonmises(np.array([2.0, 7.0])).logpdf(angles)
    np.testing.assert_allclose(value(pm.logp(y, circle)), expected, rtol=1e-10)


@pytest.mark.parametrize("d", [2, 3, 6])
@pytest.mark.parametrize(("kind", "kappa"), [(pms.VonMisesFisher, 2.0), (pms.Watson, 4.0),
                                            (pms.Watson, -4.0)])  # fmt: skip
def test_draws(kind, kappa, d):
    mu = np.arange(1.0, d + 1) * np.where(np.arange(d) % 2, -1, 1)
    x = pm.draw(kind.dist(mu, kappa, size=4000), random_seed=1, mode="FAST_COMPILE")
    np.testing.assert_allclose(np.sum(x**2, axis=1), 1, rtol=1e-12)
    lean = x @ (mu / np.linalg.norm(mu))
    angles = np.linspace(0, np.pi, 40_001)
    s = np.cos(angles) if kind is pms.VonMisesFisher else np.cos(angles) ** 2
    density = np.exp(kappa * s) * np.sin(angles) ** (d - 2)
    cumulative = integrate.cumulative_trapezoid(density, angles, initial=0)
    cumulative /= cumulative[-1]
    test = stats.kstest(np.arccos(lean), lambda a: np.interp(a, angles, cumulative))
    assert test.pvalue > 1e-7
    other = cumulative**1.2
    assert stats.kstest(np.arccos(lean), lambda a: np.interp(a, angles, other)).pvalue < 1e-7
    # across the axis nothing has a direction
    across = x - lean[:, None] * mu / np.linalg.norm(mu)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    z = across.mean(axis=0) / across.std(axis=0) * np.sqrt(4000)
    assert np.all(np.abs(z) < 5.5)


def test_batches():
    mu = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    y = pms.VonMisesFisher.dist(mu, np.array([[1.0], [10.0], [100.0]]))
    x = value(y)
    assert x.shape == (3, 2, 3)
    assert value(pm.logp(y, x)).shape == (3, 2)


def test_vectors_off_the_sphere_have_probability_zero():
    y = pms.VonMisesFisher.dist([1.0, 0.0], 1.0)
    found = value(pm.logp(y, [[1.1, 0.0], [0.5, 0.5], [1.0, 1e-5]]))
    np.testing.assert_array_equal(found[:2], -np.inf)
    assert np.isfinite(found[2])


@pytest.mark.parametrize("kind", [pms.VonMisesFisher, pms.Watson])
def test_projections_of_latent_directions_have_mass_one(kind):
    with pm.Model() as circle:
        kind("x", [0.6, 0.8], 3.0)
    log_p = circle.compile_logp(mode="FAST_COMPILE")
    mass = integrate.quad(
        lambda z: np.exp(log_p({"x_stereographic__": np.array([z])})), -np.inf, np.inf
    )[0]
    assert mass == pytest.approx(1, rel=1e-7)
    with pm.Model() as sphere:
        kind("x", [0.6, 0.0, -0.8], 2.0)
    log_p = sphere.compile_logp(mode="FAST_COMPILE")
    # by angles about the pole
    radii = np.tan(np.linspace(0, np.pi / 2, 102)[1:-1])
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = [
        np.mean([
            np.exp(log_p({"x_stereographic__": r * np.array([np.cos(a), np.sin(a)])}))
            for a in angles
        ]) for r in radii
    ]  # fmt: skip
    weights = 2 * np.pi * radii * (1 + radii**2)
    mass = np.sum(np.array(ring) * weights) * (np.pi / 2) / 101
    assert mass == pytest.approx(1, rel=2e-3)
    start = sphere.initial_point()
    assert np.isfinite(log_p(start))
    back = pms.distributions.spheres.Stereographic()
    x = np.array([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(value(back.backward(back.forward(pt.constant(x)))), x, atol=1e-15)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: pms.VonMisesFisher.dist([1.0, 0.0], -1.0), "kappa = -1"),
        (lambda: pms.VonMisesFisher.dist([0.0, 0.0], 1.0), "length 0"),
        (lambda: pms.VonMisesFisher.dist(1.0, 1.0), "d >= 2"),
        (lambda: pms.VonMisesFisher.dist(pt.dvector(), 1.0), "must be known"),
        (lambda: pms.Watson.dist([1.0, 0.0], np.nan), "kappa = nan"),
        (lambda: pms.Watson.dist([np.inf, 0.0], 1.0), "finite"),
    ],
)
def test_mistakes_are_named(make, match):
    with pytest.raises(errors.FamilyError, match=match):
        make()
