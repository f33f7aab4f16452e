r"""Draws of sums under an exponential tilt: of m numbers whose law has been tilted by exp(tx).

Where the tilted law is of a family that sums stay in, a sum is one draw, else it is added up.

Source: Asmussen and Glynn (2007), Stochastic Simulation, chapters 5 and 6.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, log_ndtr, ndtri_exp

from pm_statmech.concentration.laws import Atoms, CompoundSum, in_double, numbers_of
from pm_statmech.concentration.named_laws import law_of

# numbers that are held at a time
CHUNK = 2**22

Sums = Callable[[np.random.Generator, float, np.ndarray], np.ndarray]


def _positive(draw: Callable, m: np.ndarray) -> np.ndarray:
    """Draws for m > 0, and 0 for m = 0."""
    out = np.zeros(len(m))
    some = m > 0
    out[some] = draw(m[some])
    return out


def _normal(mu, sigma) -> Sums:
    return lambda rng, t, m: rng.normal(m * (mu + sigma**2 * t), sigma * np.sqrt(m))


def _gamma(shape, scale) -> Sums:
    return lambda rng, t, m: rng.gamma(m * shape, scale / (1 - scale * t))


def _exponential(scale) -> Sums:
    return _gamma(1.0, scale)


def _poisson(mu) -> Sums:
    return lambda rng, t, m: rng.poisson(m * mu * np.exp(t)).astype(float)


def _binomial(n, p) -> Sums:
    log_odds = np.log(p) - np.log1p(-p)
    return lambda rng, t, m: rng.binomial((m * n).astype(np.int64), expit(log_odds + t)).astype(
        float
    )


def _bernoulli(p) -> Sums:
    return _binomial(1.0, p)


def _negative_binomial(n, p) -> Sums:
    def sums(rng, t, m):
        success = -np.expm1(np.log1p(-p) + t)
        return _positive(lambda k: rng.negative_binomial(k * n, success), m)

    return sums


def _geometric(p) -> Sums:
    beyond = _negative_binomial(1.0, p)
    return lambda rng, t, m: m + beyond(rng, t, m)


def _wald(mu, lam, shift) -> Sums:
    def sums(rng, t, m):
        centre = mu / np.sqrt(1 - 2 * mu**2 * t / lam)
        return m * shift + _positive(lambda k: rng.wald(k * centre, k**2 * lam), m)

    return sums


def _added(draw: Callable) -> Sums:
    """Sums of draw(rng, t, size), some at a time."""

    def sums(rng, t, m):
        m = m.astype(np.int64)
        out = np.zeros(len(m))
        block = max(1, CHUNK // max(1, int(np.max(m))))
        for begin in range(0, len(m), block):
            part = m[begin : begin + block]
            which = np.repeat(np.arange(len(part)), part)
            added = np.bincount(which, draw(rng, t, len(which)), minlength=len(part))
            out[begin : begin + block] = added
        return out

    return sums


def _laplace(mu, b) -> Sums:
    def draw(rng, t, size):
        above, below = 1 / b - t, 1 / b + t
        is_above = rng.random(size) < below / (above + below)
        x = rng.exponential(size=size)
        return mu + np.where(is_above, x / above, -x / below)

    return _added(draw)


def _uniform(low, high) -> Sums:
    def draw(rng, t, size):
        u, wide = rng.random(size), (high - low) * t
        if abs(wide) < 1e-8:
            return low + (high - low) * u
        # from the end where the density is largest
        if wide > 0:
            return high + np.log1p(u * np.expm1(-wide)) / t
        return low + np.log1p(u * np.expm1(wide)) / t

    return _added(draw)


def _half_normal(shift, sigma) -> Sums:
    def draw(rng, t, size):
        z = sigma * t
        return shift + sigma * (z - ndtri_exp(np.log(rng.random(size)) + log_ndtr(z)))

    return _added(draw)


def _gumbel(mu, b) -> Sums:
    return _added(lambda rng, t, size: mu - b * np.log(rng.gamma(1 - b * t, size=size)))


def _logistic(mu, s) -> Sums:
    def draw(rng, t, size):
        up, down = rng.gamma(1 + s * t, size=size), rng.gamma(1 - s * t, size=size)
        return mu + s * (np.log(up) - np.log(down))

    return _added(draw)


def _listed(points, probabilities) -> Sums:
    def sums(rng, t, m):
        exponents = t * points + np.log(probabilities)
        p = np.exp(exponents - np.max(exponents))
        return rng.multinomial(m.astype(np.int64), p / np.sum(p)) @ points

    return sums


def _discrete_uniform(low, high) -> Sums:
    points = np.arange(low, high + 1)
    return _listed(points, np.ones_like(points))


def _categorical(p) -> Sums:
    return _listed(np.arange(len(p), dtype=float), p)


DRAWN: dict[str, Callable[..., Sums]] = {
    "Normal": _normal, "Gamma": _gamma, "Exponential": _exponential, "Poisson": _poisson,
    "Binomial": _binomial, "Bernoulli": _bernoulli, "NegativeBinomial": _negative_binomial,
    "Geometric": _geometric, "Laplace": _laplace, "Wald": _wald, "Uniform": _uniform,
    "DiscreteUniform": _discrete_uniform, "HalfNormal": _half_normal, "Gumbel": _gumbel,
    "Logistic": _logistic, "Categorical": _categorical,
}  # fmt: skip


def tilted_sums_of(dist) -> Sums:
    """Function (rng, t, m (draws,)) -> sums (draws,) of m numbers tilted by exp(tx) each.

    Raises
    ------
    CumulantError
        a distribution without a cumulant, or whose parameters are random.
    """
    if isinstance(dist, Atoms):
        return _listed(dist.points, dist.probabilities)
    if isinstance(dist, CompoundSum):
        counts, claims = tilted_sums_of(dist.count), tilted_sums_of(dist.claim)
        claim = law_of(dist.claim)

        def sums(rng, t, m):
            [tilt] = numbers_of(claim.cumulant(t))
            return claims(rng, t, counts(rng, float(tilt), m))

        return sums
    law = law_of(dist)
    node = dist.owner
    return DRAWN[law.name](*numbers_of(*(in_double(v) for v in node.op.dist_params(node))))
