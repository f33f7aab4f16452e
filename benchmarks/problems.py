r"""Problems with known evidences: one mode, several, curved, of unequal width, not Gaussian.

Each is an ordinary PyMC model with its exact or quadrature log evidence and, where it has
separate modes, the rule that tells them apart and their exact weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from scipy import integrate, stats
from scipy.special import logsumexp

import pm_statmech as pms

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Problem:
    """A model, its log evidence, and the weights of its modes.

    Parameters
    ----------
    name
        of the problem.
    model
        () -> a fresh PyMC model.
    log_evidence
        exact, or to the digits given in the function that makes it.
    mode_of
        {variable: draws (n, ...)} -> label of each draw; weights : exact, by label.
    """

    name: str
    model: Callable[[], pm.Model]
    log_evidence: float
    mode_of: Callable[[dict], np.ndarray] | None = None
    weights: tuple[float, ...] = ()


def eight_schools() -> Problem:
    """Rubin (1981); non-centred, mu ~ N(0, 5), tau ~ HalfCauchy(5); quadrature over both."""
    y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    sigma = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

    def model():
        with pm.Model() as built:
            mu = pm.Normal("mu", 0, 5)
            tau = pm.HalfCauchy("tau", 5)
            effect = pm.Normal("effect", 0, 1, shape=8)
            pm.Normal("y", mu + tau * effect, sigma, observed=y)
        return built

    def integrand(u, mu):
        tau = np.exp(u)
        log_p = np.sum(stats.norm.logpdf(y, mu, np.hypot(sigma, tau)))
        log_p += stats.norm.logpdf(mu, 0, 5) + stats.halfcauchy.logpdf(tau, scale=5) + u
        return np.exp(log_p + 31.0)

    value = integrate.dblquad(integrand, -30, 30, -20, 12, epsabs=1e-9, epsrel=1e-9)[0]
    return Problem("eight schools", model, float(np.log(value) - 31.0))


def pine() -> Problem:
    """Strength of radiata pine on its resin-adjusted density; Friel and Pettitt (2008), model 2."""
    table = np.genfromtxt(DATA / "radiata_pine.csv", delimiter=",", skip_header=1, names=True)
    y, z = table["y"], table["z"]

    def model():
        with pm.Model() as built:
            a = pm.Normal("a", 3000, 1e3)
            b = pm.Normal("b", 185, 1e2)
            tau = pm.Gamma("tau", 3, 2 * 300**2)
            pm.Normal("y", a + b * (z - z.mean()), tau=tau, observed=y)
        return built

    return Problem("radiata pine", model, -301.4351)


def regression() -> Problem:
    """500 observations of an AR(.9) design in 50 dimensions, unit noise, prior N(0, 2^2)."""
    rng = np.random.default_rng(0)
    d, n = 50, 500
    covariance = 0.9 ** np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
    X = rng.normal(size=(n, d)) @ np.linalg.cholesky(covariance).T
    y = X @ rng.normal(size=d) + rng.normal(size=n)
    system = pms.solvable.gaussian_linear_model(X, y, noise_sd=1.0, prior_sd=2.0)
    return Problem("regression d=50", system.model, system.log_partition(1.0))


def logistic() -> Problem:
    """Logistic regression on the breast cancer data, standardised; reference to .0003.

    By 12 million draws in antithetic pairs from a Student t fitted to the posterior.
    """
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    X = np.column_stack([np.ones(len(X)), X])

    def model():
        with pm.Model() as built:
            w = pm.Normal("w", 0, 2.5, shape=X.shape[1])
            pm.Bernoulli("y", logit_p=pt.dot(X, w), observed=y)
        return built

    return Problem("logistic d=31", model, -56.6472)


def _log_normal(x, centre, sd):
    """Log density of N(centre, sd^2 I) at a symbolic vector x (d,)."""
    d = len(centre)
    return -0.5 * pt.sum((x - centre) ** 2) / sd**2 - d * np.log(sd) - 0.5 * d * np.log(2 * np.pi)


def _two_normals(name, d, weights, sds) -> Problem:
    """Likelihood of two Gaussians 15 apart along the diagonal, under the prior N(0, 10^2)."""
    centres = [np.full(d, sign * 7.5 / np.sqrt(d)) for sign in (-1, 1)]

    def model():
        with pm.Model() as built:
            x = pm.Normal("x", 0, 10, shape=d)
            terms = [np.log(w) + _log_normal(x, c, s)
                     for w, c, s in zip(weights, centres, sds, strict=True)]  # fmt: skip
            pms.GibbsPotential("target", -pt.logaddexp(*terms))
        return built

    parts = [np.log(w) + np.sum(stats.norm.logpdf(c, 0, np.sqrt(100 + s**2)))
             for w, c, s in zip(weights, centres, sds, strict=True)]  # fmt: skip
    total = float(logsumexp(parts))
    return Problem(
        name, model, total, lambda draws: (draws["x"].sum(axis=-1) > 0).astype(int),
        tuple(np.exp(np.array(parts) - total)),
    )  # fmt: skip


def mixture10() -> Problem:
    return _two_normals("mixture d=10", 10, (0.3, 0.7), (1.0, 1.0))


def mixture30() -> Problem:
    return _two_normals("mixture d=30", 30, (0.3, 0.7), (1.0, 1.0))


def unequal10() -> Problem:
    return _two_normals("unequal widths", 10, (0.5, 0.5), (1.0, 0.5))


def unequal_hard() -> Problem:
    return _two_normals("unequal, sd .25", 10, (0.5, 0.5), (1.0, 0.25))


def binomial() -> Problem:
    """50000 of 100000 successes at probability p1 p2, both uniform: a ridge; quadrature."""
    n, k = 100_000, 50_000

    def model():
        with pm.Model() as built:
            p1, p2 = pm.Uniform("p1"), pm.Uniform("p2")
            pm.Binomial("k", n, p1 * p2, observed=k)
        return built

    # the density of p1 p2 is -log p
    value = integrate.quad(
        lambda p: stats.binom.pmf(k, n, p) * -np.log(p), 0.45, 0.55, points=[0.5], epsabs=1e-14
    )[0]
    return Problem("binomial p1 p2", model, float(np.log(value)))


def rosenbrock() -> Problem:
    """Five curved valleys in ten dimensions, prior U(-5, 5); quadrature over one block."""

    def model():
        with pm.Model() as built:
            x = pm.Uniform("x", -5, 5, shape=10)
            a, b = x[0::2], x[1::2]
            pms.GibbsPotential("target", pt.sum(100 * (b - a**2) ** 2 + (1 - a) ** 2) / 5)
        return built

    def inner(a):
        s = np.sqrt(5 / 200)
        inside = stats.norm.cdf(5, a**2, s) - stats.norm.cdf(-5, a**2, s)
        return np.exp(-((1 - a) ** 2) / 5) * inside * s * np.sqrt(2 * np.pi)

    value = integrate.quad(inner, -5, 5, points=[-2.23606797, 2.23606797], limit=500)[0]
    return Problem("rosenbrock", model, float(5 * np.log(value / 100)))


def student() -> Problem:
    """Two Student-t modes of 5 degrees of freedom, widths 1 and .5, in ten dimensions.

    The energy is log prior - log target, so that the posterior is the target and log Z = 0.
    """
    d, nu, sds = 10, 5.0, (1.0, 0.5)
    centres = [np.full(d, sign * 7.5 / np.sqrt(d)) for sign in (-1, 1)]
    from scipy.special import gammaln

    def log_t(x, centre, sd):
        norm = gammaln((nu + d) / 2) - gammaln(nu / 2) - d / 2 * np.log(nu * np.pi) - d * np.log(sd)
        return norm - (nu + d) / 2 * pt.log1p(pt.sum((x - centre) ** 2) / (nu * sd**2))

    def model():
        with pm.Model() as built:
            x = pm.Normal("x", 0, 10, shape=d)
            parts = [np.log(0.5) + log_t(x, c, s) for c, s in zip(centres, sds, strict=True)]
            pms.GibbsPotential("target", _log_normal(x, np.zeros(d), 10.0) - pt.logaddexp(*parts))
        return built

    # tails that cross the plane between the centres, 7.5 from each
    right = 0.5 * stats.t.sf(7.5 / sds[0], nu) + 0.5 * stats.t.cdf(7.5 / sds[1], nu)
    return Problem(
        "two Student-t", model, 0.0,
        lambda draws: (draws["x"].sum(axis=-1) > 0).astype(int), (1 - right, right),
    )  # fmt: skip


def bananas() -> Problem:
    """Two twisted Gaussians in six dimensions, weights .4 and .6; log Z = 0 as for `student`."""
    d = 6

    def log_banana(x, sign):
        centre = 6.0 * sign
        a = x[0] - centre
        bent = x[1] + sign * 0.5 * (a**2 - 4.0)
        rest = x[2:]
        squares = a**2 / 4.0 + bent**2 + pt.sum(rest**2)
        return -0.5 * squares - np.log(2.0) - 0.5 * d * np.log(2 * np.pi)

    def model():
        with pm.Model() as built:
            x = pm.Normal("x", 0, 6, shape=d)
            parts = [np.log(0.4) + log_banana(x, -1.0), np.log(0.6) + log_banana(x, 1.0)]
            pms.GibbsPotential("target", _log_normal(x, np.zeros(d), 6.0) - pt.logaddexp(*parts))
        return built

    # x_0 is a mixture of N(-6, 2^2) and N(6, 2^2)
    right = 0.4 * stats.norm.sf(3) + 0.6 * stats.norm.cdf(3)
    return Problem(
        "two bananas", model, 0.0, lambda draws: (draws["x"][..., 0] > 0).astype(int),
        (1 - right, right),
    )  # fmt: skip


def label_switching() -> Problem:
    """Means of a three-component normal mixture, 9 observations, six symmetric modes.

    Exact by summing over the 3^9 allocations: given one, each mean is conjugate.
    """
    y = np.array([-4.3, -3.8, -4.1, 0.2, -0.3, 0.4, 3.9, 4.4, 4.0])
    sd, prior_sd = 0.5, 5.0

    def model():
        with pm.Model() as built:
            mu = pm.Normal("mu", 0, prior_sd, shape=3)
            log_p = pm.logp(pm.Normal.dist(mu, sd), y[:, None])
            pms.GibbsPotential("target", -pt.sum(pt.logsumexp(log_p - np.log(3.0), axis=1)))
        return built

    def marginal(values):
        n = len(values)
        covariance = sd**2 * np.eye(n) + prior_sd**2
        return stats.multivariate_normal.logpdf(values, np.zeros(n), covariance) if n else 0.0

    table = {}
    for mask in product([False, True], repeat=len(y)):
        table[mask] = float(marginal(y[np.array(mask)]))
    terms = []
    for allocation in product(range(3), repeat=len(y)):
        allocation = np.array(allocation)
        terms.append(sum(table[tuple(allocation == k)] for k in range(3)))
    orders = {order: i for i, order in enumerate(permutations(range(3)))}

    def mode_of(draws):
        return np.array([orders[tuple(o)] for o in np.argsort(draws["mu"], axis=-1)])

    return Problem(
        "label switching", model, float(logsumexp(terms) - len(y) * np.log(3.0)), mode_of,
        (1 / 6,) * 6,
    )  # fmt: skip


PROBLEMS = (
    eight_schools, pine, regression, logistic, mixture10, mixture30, binomial, rosenbrock,
    unequal10, student, bananas, label_switching, unequal_hard,
)  # fmt: skip
