r"""Systems whose thermodynamics is known in closed form, to test samplers and estimators with.

Each gives a PyMC model and, at any inverse temperature,

.. math:: \log Z(\beta) = \log \int \pi_0 e^{-\beta E}, \quad U = -\frac{d\log Z}{d\beta}, \quad
          C = -\beta^2 \frac{dU}{d\beta}, \quad \mathrm{KL}(\pi_\beta, \pi_0) = -\beta U - \log Z
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from scipy.integrate import quad
from scipy.special import betaln, digamma, ellipe, ellipkm1, expit, logsumexp, polygamma

from pm_statmech.distributions.spins import Ising
from pm_statmech.gibbs import GibbsPotential
from pm_statmech.log_partition.kaufman import torus

Curve = Callable[[float], float]
Moments = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class SolvableSystem:
    """A model with its exact log partition function and posterior.

    Parameters
    ----------
    name
        of the system.
    model
        () -> a fresh PyMC model.
    log_partition, mean_energy, energy_variance
        functions of beta.
    posterior
        beta -> {variable: (mean, sd)}, exact, or None where it has no simple form.
    """

    name: str
    model: Callable[[], pm.Model] = field(repr=False)
    log_partition: Curve = field(repr=False)
    mean_energy: Curve = field(repr=False)
    energy_variance: Curve = field(repr=False)
    posterior: Callable[[float], Moments] | None = field(default=None, repr=False)

    def heat_capacity(self, beta: float) -> float:
        """C = beta^2 Var_beta(E)."""
        return beta**2 * self.energy_variance(beta)

    def relative_entropy(self, beta: float) -> float:
        """KL(pi_beta, pi_0) = -beta U - log Z, in nats."""
        return -beta * self.mean_energy(beta) - self.log_partition(beta)


def _quadratic(
    name: str,
    model: Callable[[], pm.Model],
    variable: str,
    stiffness: np.ndarray,
    minimum: np.ndarray,
    lowest: float,
    prior_mean: np.ndarray,
    prior_sd: np.ndarray,
    shape: tuple[int, ...],
) -> SolvableSystem:
    r"""System with E = lowest + (x - m)' A (x - m) / 2 under a prior N(mu, diag(s^2)).

    With L = diag(s), the eigenvalues a_i of L A L and d = Q' L^{-1} (m - mu),

    .. math:: \log Z = -\beta E_0 - \tfrac12 \sum_i \left[\log(1 + \beta a_i)
              + \frac{\beta a_i d_i^2}{1 + \beta a_i}\right]
    """
    eigenvalues, vectors = np.linalg.eigh(prior_sd[:, None] * stiffness * prior_sd[None, :])
    eigenvalues = np.maximum(eigenvalues, 0.0)
    distance = vectors.T @ ((minimum - prior_mean) / prior_sd)

    def log_partition(beta: float) -> float:
        shrunk = 1 + beta * eigenvalues
        return float(
            -beta * lowest
            - 0.5 * np.sum(np.log(shrunk) + beta * eigenvalues * distance**2 / shrunk)
        )

    def mean_energy(beta: float) -> float:
        shrunk = 1 + beta * eigenvalues
        return float(
            lowest + 0.5 * np.sum(eigenvalues / shrunk + eigenvalues * distance**2 / shrunk**2)
        )

    def energy_variance(beta: float) -> float:
        shrunk = 1 + beta * eigenvalues
        ratio = eigenvalues / shrunk
        return float(np.sum(0.5 * ratio**2 + ratio**2 * distance**2 / shrunk))

    def posterior(beta: float) -> Moments:
        precision = np.diag(prior_sd**-2.0) + beta * stiffness
        covariance = np.linalg.inv(precision)
        mean = covariance @ (prior_mean / prior_sd**2 + beta * stiffness @ minimum)
        sd = np.sqrt(np.diag(covariance))
        return {variable: (mean.reshape(shape), sd.reshape(shape))}

    return SolvableSystem(name, model, log_partition, mean_energy, energy_variance, posterior)


def conjugate_normal(
    y: Sequence[float] | np.ndarray, *, sigma: float, prior_mean: float = 0.0, prior_sd: float = 1.0
) -> SolvableSystem:
    """Data y ~ N(mu, sigma^2) with mu ~ N(prior_mean, prior_sd^2).

    Examples
    --------
    >>> round(conjugate_normal([1.0, 2.0], sigma=1.0).log_partition(1.0), 6)
    -3.387183
    """
    data = np.asarray(y, dtype=float)

    def model() -> pm.Model:
        with pm.Model() as built:
            mu = pm.Normal("mu", prior_mean, prior_sd)
            pm.Normal("y", mu, sigma, observed=data)
        return built

    lowest = 0.5 * np.sum((data - data.mean()) ** 2) / sigma**2
    lowest += data.size * (np.log(sigma) + 0.5 * np.log(2 * np.pi))
    return _quadratic(
        "conjugate normal", model, "mu", np.array([[data.size / sigma**2]]),
        np.array([data.mean()]), float(lowest), np.array([prior_mean]), np.array([prior_sd]), (),
    )  # fmt: skip


def gaussian_linear_model(
    X: np.ndarray, y: np.ndarray, *, noise_sd: float, prior_sd: float
) -> SolvableSystem:
    """Data y ~ N(X b, noise_sd^2) with b ~ N(0, prior_sd^2): X (n, d) of full column rank."""
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    n, d = X.shape

    def model() -> pm.Model:
        with pm.Model() as built:
            b = pm.Normal("b", 0.0, prior_sd, shape=d)
            pm.Normal("y", pt.dot(X, b), noise_sd, observed=y)
        return built

    best, *_ = np.linalg.lstsq(X, y, rcond=None)
    lowest = 0.5 * np.sum((y - X @ best) ** 2) / noise_sd**2
    lowest += n * (np.log(noise_sd) + 0.5 * np.log(2 * np.pi))
    return _quadratic(
        "Gaussian linear model", model, "b", X.T @ X / noise_sd**2, best, float(lowest),
        np.zeros(d), np.full(d, prior_sd), (d,),
    )  # fmt: skip


def harmonic_oscillators(stiffness: Sequence[float], *, prior_sd: float = 1.0) -> SolvableSystem:
    """Independent springs, E = sum_i k_i x_i^2 / 2, under a prior N(0, prior_sd^2)."""
    k = np.asarray(stiffness, dtype=float)

    def model() -> pm.Model:
        with pm.Model() as built:
            x = pm.Normal("x", 0.0, prior_sd, shape=k.size)
            GibbsPotential("springs", 0.5 * pt.sum(k * x**2))
        return built

    return _quadratic(
        "harmonic oscillators", model, "x", np.diag(k), np.zeros(k.size), 0.0,
        np.zeros(k.size), np.full(k.size, prior_sd), (k.size,),
    )  # fmt: skip


def two_level(gap: float = 1.0) -> SolvableSystem:
    r"""A state s in {0, 1} with prior (1/2, 1/2) and energy gap * s (the Schottky system).

    .. math:: Z = (1 + e^{-\beta \epsilon})/2, \quad U = \epsilon\, \sigma(-\beta \epsilon)
    """

    def model() -> pm.Model:
        with pm.Model() as built:
            s = pm.Bernoulli("s", 0.5)
            GibbsPotential("level", gap * s)
        return built

    def occupied(beta: float) -> float:
        return float(expit(-beta * gap))

    def posterior(beta: float) -> Moments:
        p = occupied(beta)
        return {"s": (np.array(p), np.array(np.sqrt(p * (1 - p))))}

    return SolvableSystem(
        "two-level system",
        model,
        lambda beta: float(np.logaddexp(0.0, -beta * gap) - np.log(2.0)),
        lambda beta: gap * occupied(beta),
        lambda beta: gap**2 * occupied(beta) * (1 - occupied(beta)),
        posterior,
    )


def beta_bernoulli(
    successes: int, failures: int, *, a: float = 1.0, b: float = 1.0
) -> SolvableSystem:
    r"""Coin tosses with p ~ Beta(a, b).

    .. math:: Z(\beta) = B(a + \beta k,\; b + \beta (n - k)) / B(a, b)
    """
    k, m = int(successes), int(failures)
    n = k + m
    data = np.repeat([1, 0], [k, m])

    def model() -> pm.Model:
        with pm.Model() as built:
            p = pm.Beta("p", a, b)
            pm.Bernoulli("y", p, observed=data)
        return built

    def posterior(beta: float) -> Moments:
        up, down = a + beta * k, b + beta * m
        mean = up / (up + down)
        return {"p": (np.array(mean), np.sqrt(mean * (1 - mean) / (up + down + 1)))}

    return SolvableSystem(
        "Beta-Bernoulli",
        model,
        lambda beta: float(betaln(a + beta * k, b + beta * m) - betaln(a, b)),
        lambda beta: float(
            n * digamma(a + b + beta * n) - k * digamma(a + beta * k) - m * digamma(b + beta * m)
        ),
        lambda beta: float(
            k**2 * polygamma(1, a + beta * k)
            + m**2 * polygamma(1, b + beta * m)
            - n**2 * polygamma(1, a + b + beta * n)
        ),
        posterior,
    )


def gaussian_mixture(
    *,
    dimension: int = 10,
    weights: tuple[float, float] = (0.3, 0.7),
    separation: float = 15.0,
    sd: float = 1.0,
    prior_sd: float = 10.0,
) -> SolvableSystem:
    r"""Two Gaussian modes of equal width on the diagonal, under a prior N(0, prior_sd^2 I).

    .. math:: E(x) = -\log \sum_j w_j\, N(x; c_j, s^2 I), \qquad c_j = \mp \tfrac{h}{2}
              \frac{1}{\sqrt d}(1, \dots, 1)

    Along the axis t through both centres the energy is that of a one-dimensional mixture; across
    it, of d - 1 springs. At beta = 1 log Z is closed, :math:`\log\sum_j w_j N(c_j; 0, (s^2 +
    S^2) I)`; elsewhere the axis is integrated numerically (trapezoid on an analytic integrand
    that decays, so to rounding).
    """
    w = np.asarray(weights, dtype=float)
    ends = np.array([-0.5, 0.5]) * separation
    centres = ends[:, None] * np.ones(dimension) / np.sqrt(dimension)
    reach = 10 * prior_sd + separation
    t = np.linspace(-reach, reach, int(np.ceil(2 * reach / (sd * 0.02))) + 1)
    across = dimension - 1

    def _log_normal(z, scale):
        return -0.5 * (z / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)

    axis_energy = -logsumexp(np.log(w) + _log_normal(t[:, None] - ends, sd), axis=1)
    axis_prior = _log_normal(t, prior_sd) + np.log(t[1] - t[0])
    floor = across * (np.log(sd) + 0.5 * np.log(2 * np.pi))
    ratio = (prior_sd / sd) ** 2

    def _axis(beta: float) -> tuple[float, float, float]:
        log_weight = axis_prior - beta * axis_energy
        log_z = float(logsumexp(log_weight))
        p = np.exp(log_weight - log_z)
        mean = float(p @ axis_energy)
        return log_z, mean, float(p @ (axis_energy - mean) ** 2)

    def log_partition(beta: float) -> float:
        if beta == 1.0:
            return float(
                logsumexp(
                    np.log(w) + np.sum(_log_normal(centres, np.sqrt(sd**2 + prior_sd**2)), axis=1)
                )
            )
        return _axis(beta)[0] - beta * floor - 0.5 * across * np.log1p(beta * ratio)

    def mean_energy(beta: float) -> float:
        return _axis(beta)[1] + floor + 0.5 * across * ratio / (1 + beta * ratio)

    def energy_variance(beta: float) -> float:
        return _axis(beta)[2] + 0.5 * across * (ratio / (1 + beta * ratio)) ** 2

    def model() -> pm.Model:
        with pm.Model() as built:
            x = pm.Normal("x", 0.0, prior_sd, shape=dimension)
            square = pt.sum((x[None, :] - centres) ** 2, axis=1) / sd**2
            constant = dimension * (np.log(sd) + 0.5 * np.log(2 * np.pi))
            GibbsPotential("mixture", constant - pt.logsumexp(np.log(w) - 0.5 * square))
        return built

    return SolvableSystem("two Gaussian modes", model, log_partition, mean_energy, energy_variance)


def ising_torus(rows: int, columns: int) -> SolvableSystem:
    r"""Spins on a square lattice that closes on itself, by Kaufman's closed form.

    .. math:: E(s) = -\sum_{(i, j)} s_i s_j, \qquad
              Z = 2^{-n} \sum_s e^{-\beta E(s)}, \quad n = \mathrm{rows} \times \mathrm{columns}

    It is tempered by name: ``sample_tempered(tempered=["s"], target_beta=0.6, model=...)``.

    Source: Kaufman (1949), Phys. Rev. 76, 1232-1243. The variance is a difference, good to 1e-8.
    """
    if min(rows, columns) < 3:
        raise ValueError(f"a torus of {rows} by {columns} would have two edges between two nodes.")
    n = rows * columns

    def model() -> pm.Model:
        import networkx as nx

        with pm.Model() as built:
            Ising("s", 1.0, graph=nx.grid_2d_graph(rows, columns, periodic=True))
        return built

    def mean_energy(beta: float) -> float:
        _, in_rows, between = torus(beta, beta, rows, columns)
        return -(in_rows + between)

    def variance(beta: float) -> float:
        # hot spins lose digits in small differences, and cold ones in large ones
        h = 1e-3 if beta < 0.05 else 1e-4
        weights = {-2: 1.0, -1: -8.0, 1: 8.0, 2: -1.0}
        if beta < 2 * h:
            weights = {0: -25.0, 1: 48.0, 2: -36.0, 3: 16.0, 4: -3.0}
        return -sum(w * mean_energy(beta + k * h) for k, w in weights.items()) / (12 * h)

    return SolvableSystem(
        "Ising torus",
        model,
        lambda beta: torus(beta, beta, rows, columns)[0] - n * np.log(2.0),
        mean_energy,
        variance,
        lambda beta: {"s": (np.zeros((rows, columns)), np.ones((rows, columns)))},
    )


class Onsager(NamedTuple):
    """Of one spin of the infinite square lattice: log Z, mean energy, heat capacity."""

    log_partition: float
    mean_energy: float
    heat_capacity: float


# where the infinite square lattice orders
ONSAGER_BETA = float(np.log(1.0 + np.sqrt(2.0)) / 2.0)


def onsager(beta: float) -> Onsager:
    r"""The infinite square lattice of spins with coupling 1, per spin, at beta > 0.

    .. math::
        \log z = \log(2 \cosh 2\beta) + \frac{1}{\pi} \int_0^{\pi / 2}
            \log \frac{1 + \sqrt{1 - \kappa^2 \sin^2 \varphi}}{2}\, d\varphi, \qquad
        \kappa = \frac{2 \sinh 2\beta}{\cosh^2 2\beta}, \quad \kappa' = 2 \tanh^2 2\beta - 1

        u = -\coth 2\beta \Big(1 + \frac{2}{\pi} \kappa' K(\kappa)\Big), \quad
        c = \frac{2}{\pi} (\beta \coth 2\beta)^2 \Big(2 K(\kappa) - 2 E(\kappa)
            - (1 - \kappa') \big(\tfrac{\pi}{2} + \kappa' K(\kappa)\big)\Big)

    with the complete elliptic integrals K and E. The heat capacity is infinite at
    log(1 + sqrt 2) / 2 = 0.4407. log z counts states: at beta = 0 it is log 2.

    Source: Onsager (1944), Phys. Rev. 65, 117-149.

    Examples
    --------
    >>> from pm_statmech.solvable import onsager
    >>> round(onsager(0.4).heat_capacity, 6)
    0.861698
    """
    cosh, tanh = np.cosh(2.0 * beta), np.tanh(2.0 * beta)
    prime = 2.0 * tanh**2 - 1.0
    m = 1.0 - prime**2
    # scipy's integrals are functions of the square of the modulus
    K, E = ellipkm1(prime**2), ellipe(m)
    # where K is infinite kappa' is 0, and so is their product
    product = 0.0 if np.isinf(K) else prime * K
    integral, _ = quad(
        lambda phi: np.log1p(np.sqrt(1.0 - m * np.sin(phi) ** 2)), 0.0, np.pi / 2, epsabs=1e-14
    )
    log_z = np.log(2.0 * cosh) + integral / np.pi - np.log(2.0) / 2.0
    u = -(1.0 + 2.0 / np.pi * product) / tanh
    bracket = 2.0 * K - 2.0 * E - (1.0 - prime) * (np.pi / 2.0 + product)
    c = 2.0 / np.pi * (beta / tanh) ** 2 * bracket
    return Onsager(float(log_z), float(u), float(c))
