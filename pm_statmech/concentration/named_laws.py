r"""Cumulants of PyMC's distributions, in closed form, with where they end.

.. math:: K(t) = \log E[e^{tX}], \qquad t^*(x) = (K')^{-1}(x)

Sources: Johnson, Kemp, Kotz (2005), Univariate Discrete Distributions; Johnson, Kotz, Balakrishnan
(1994, 1995), Continuous Univariate Distributions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

from pm_statmech.concentration.laws import (
    INF,
    Atoms,
    CompoundSum,
    Law,
    in_double,
    is_known,
    numbers_of,
    span_of,
)
from pm_statmech.errors import CumulantError

# of u^2, u^4, ... in log(sinh(u) / u)
_SINHC = (1 / 6, -1 / 180, 1 / 2835, -1 / 37800, 1 / 467775, -691 / 3831077250, 2 / 127702575)


def _log_sinhc(u):
    """log(sinh(u) / u), by its series where the difference would lose digits."""
    near = pt.lt(pt.abs(u), 0.3)
    small = pt.switch(near, u, 0.0) ** 2
    series = pt.zeros_like(small)
    for coefficient in _SINHC[::-1]:
        series = small * (coefficient + series)
    large = pt.abs(pt.switch(near, 1.0, u))
    return pt.switch(near, series, large + pt.log1p(-pt.exp(-2 * large)) - pt.log(2 * large))


def _log_normal_cdf(z):
    """Log Phi(z)."""
    low = pt.lt(z, -1.0)
    tail, body = pt.switch(low, z, -1.0), pt.switch(low, 0.0, z)
    return pt.switch(
        low,
        pt.log(pt.erfcx(-tail / np.sqrt(2.0)) / 2.0) - tail**2 / 2.0,
        pt.log1p(-pt.erfc(body / np.sqrt(2.0)) / 2.0),
    )


def _log_sum_exp(exponents):
    """Log of the sum over the last axis, with no need of a rewrite to be safe."""
    highest = disconnected_grad(pt.max(exponents, axis=-1, keepdims=True))
    return highest[..., 0] + pt.log(pt.sum(pt.exp(exponents - highest), axis=-1))


def _normal(mu, sigma):
    return Law(
        "Normal", lambda t: mu * t + (sigma * t) ** 2 / 2, (-INF, INF), (-INF, INF),
        tilt=lambda x: (x - mu) / sigma**2,
    )  # fmt: skip


def _gamma(shape, scale):
    return Law(
        "Gamma", lambda t: -shape * pt.log1p(-scale * t), (-INF, 1 / scale), (0.0, INF),
        tilt=lambda x: 1 / scale - shape / x,
    )  # fmt: skip


def _exponential(scale):
    return replace(_gamma(pt.constant(1.0), scale), name="Exponential")


def _poisson(mu):
    return Law(
        "Poisson", lambda t: mu * pt.expm1(t), (-INF, INF), (0.0, INF), (mu, INF),
        lambda x: pt.log(x / mu), 1.0,
    )  # fmt: skip


def _binomial(n, p):
    def cumulant(t):
        return n * (pt.log1p(-p) + pt.softplus(pt.log(p) - pt.log1p(-p) + t))

    return Law(
        "Binomial", cumulant, (-INF, INF), (0.0, n), (-n * pt.log1p(-p), -n * pt.log(p)),
        lambda x: pt.log(x / (n - x)) - pt.log(p) + pt.log1p(-p), 1.0,
    )  # fmt: skip


def _bernoulli(p):
    return replace(_binomial(pt.constant(1.0), p), name="Bernoulli")


def _negative_binomial(n, p):
    def cumulant(t):
        return n * (pt.log(p) - pt.log1p(-(1 - p) * pt.exp(t)))

    return Law(
        "NegativeBinomial", cumulant, (-INF, -pt.log1p(-p)), (0.0, INF), (-n * pt.log(p), INF),
        lambda x: pt.log(x / (n + x)) - pt.log1p(-p), 1.0,
    )  # fmt: skip


def _geometric(p):
    def cumulant(t):
        return t + pt.log(p) - pt.log1p(-(1 - p) * pt.exp(t))

    return Law(
        "Geometric", cumulant, (-INF, -pt.log1p(-p)), (1.0, INF), (-pt.log(p), INF),
        lambda x: pt.log1p(-1 / x) - pt.log1p(-p), 1.0,
    )  # fmt: skip


def _laplace(mu, b):
    def tilt(x):
        y = (x - mu) / b
        return y / (1 + pt.sqrt(1 + y**2)) / b

    return Law(
        "Laplace", lambda t: mu * t - pt.log1p(-((b * t) ** 2)), (-1 / b, 1 / b), (-INF, INF),
        tilt=tilt,
    )  # fmt: skip


def _wald(mu, lam, shift):
    # finite at the end of its domain, where the slope is not: steep
    def cumulant(t):
        return shift * t + lam / mu * (1 - pt.sqrt(1 - 2 * mu**2 * t / lam))

    return Law(
        "Wald", cumulant, (-INF, lam / (2 * mu**2)), (shift, INF),
        tilt=lambda x: lam / 2 * (1 / mu**2 - 1 / (x - shift) ** 2),
    )  # fmt: skip


def _uniform(low, high):
    def cumulant(t):
        return t * (low + high) / 2 + _log_sinhc(t * (high - low) / 2)

    return Law("Uniform", cumulant, (-INF, INF), (low, high))


def _discrete_uniform(low, high):
    n = high - low + 1

    def cumulant(t):
        return t * (low + high) / 2 + _log_sinhc(n * t / 2) - _log_sinhc(t / 2)

    return Law(
        "DiscreteUniform", cumulant, (-INF, INF), (low, high), (pt.log(n), pt.log(n)), span=1.0
    )


def _half_normal(shift, sigma):
    def cumulant(t):
        z = sigma * t
        return shift * t + z**2 / 2 + np.log(2.0) + _log_normal_cdf(z)

    return Law("HalfNormal", cumulant, (-INF, INF), (shift, INF))


def _gumbel(mu, b):
    return Law(
        "Gumbel", lambda t: mu * t + pt.gammaln(1 - b * t), (-INF, 1 / b), (-INF, INF)
    )  # fmt: skip


def _logistic(mu, s):
    def cumulant(t):
        return mu * t + pt.gammaln(1 - s * t) + pt.gammaln(1 + s * t)

    return Law("Logistic", cumulant, (-1 / s, 1 / s), (-INF, INF))


def _categorical(p):
    log_p = pt.log(p)
    k = pt.arange(p.shape[-1])

    def cumulant(t):
        return _log_sum_exp(log_p + pt.shape_padright(t) * k)

    return Law(
        "Categorical", cumulant, (-INF, INF), (0.0, p.shape[-1] - 1.0),
        (-log_p[..., 0], -log_p[..., -1]), span=1.0,
    )  # fmt: skip


# by the name of the operation: PyMC has its own of some that PyTensor has too
NAMED: dict[str, Callable[..., Law]] = {
    "NormalRV": _normal, "GammaRV": _gamma, "ExponentialRV": _exponential,
    "PoissonRV": _poisson, "BinomialRV": _binomial, "BernoulliRV": _bernoulli,
    "NegBinomialRV": _negative_binomial, "GeometricRV": _geometric, "LaplaceRV": _laplace,
    "WaldRV": _wald, "UniformRV": _uniform, "DiscreteUniformRV": _discrete_uniform,
    "HalfNormalRV": _half_normal, "GumbelRV": _gumbel, "LogisticRV": _logistic,
    "CategoricalRV": _categorical,
}  # fmt: skip
HEAVY = {
    "LogNormalRV": "LogNormal", "StudentTRV": "StudentT", "CauchyRV": "Cauchy",
    "HalfCauchyRV": "HalfCauchy", "ParetoRV": "Pareto", "InvGammaRV": "InverseGamma",
    "HalfStudentTRV": "HalfStudentT", "SkewStudentTRV": "SkewStudentT",
}  # fmt: skip


def _of_atoms(atoms: Atoms) -> Law:
    x, log_p = pt.constant(atoms.points), pt.constant(np.log(atoms.probabilities))

    def cumulant(t):
        return _log_sum_exp(log_p + pt.shape_padright(t) * x)

    low, high = atoms.points[0], atoms.points[-1]
    edges = -np.log(atoms.probabilities[0]), -np.log(atoms.probabilities[-1])
    return Law(
        "Atoms", cumulant, (-INF, INF), (low, high), edges, span=span_of(atoms.points)
    )  # fmt: skip


COUNTS = (
    "Poisson", "Binomial", "Bernoulli", "NegativeBinomial", "Geometric", "DiscreteUniform",
    "Categorical",
)  # fmt: skip


def _of_compound(compound: CompoundSum) -> Law:
    count, claim = law_of(compound.count), law_of(compound.claim)
    whole = isinstance(compound.count, Atoms) and np.all(
        (compound.count.points >= 0) & (compound.count.points == np.round(compound.count.points))
    )
    if count.name not in COUNTS and not whole:
        raise CumulantError(
            f"{count.name} is no distribution of a number of claims: take one of "
            f"{', '.join(COUNTS)}, or `Atoms` of whole numbers."
        )
    fewest, most = (in_double(v) for v in count.support)
    low, high = (in_double(v) for v in claim.support)
    no_claim = pt.switch(pt.eq(fewest, 0.0), in_double(count.edges[0]), INF)
    # how improbable it is that there are as few claims as can be and all are least, and as many
    # and all largest; no claims at all may not be possible
    least = in_double(count.edges[0]) + _times(fewest, in_double(claim.edges[0]))
    largest = in_double(count.edges[1]) + _times(most, in_double(claim.edges[1]))
    # of a sum of 0, where claims may be 0 themselves
    nothing = pt.switch(
        pt.isinf(in_double(claim.edges[0])), no_claim,
        -count.cumulant(-pt.switch(pt.isinf(in_double(claim.edges[0])), 1.0, claim.edges[0])),
    )  # fmt: skip

    def cumulant(t):
        return count.cumulant(claim.cumulant(t))

    # where K_X is infinite is known; where K_N of it is, the search for a tilt finds out
    return Law(
        "CompoundSum", cumulant, claim.domain,
        (
            pt.switch(pt.lt(low, 0.0), _times(most, low), _times(fewest, low)),
            pt.switch(pt.gt(high, 0.0), _times(most, high), _times(fewest, high)),
        ),
        (
            pt.switch(pt.gt(low, 0.0), least, pt.switch(pt.eq(low, 0.0), nothing, INF)),
            pt.switch(pt.gt(high, 0.0), largest, INF),
        ),
        span=_span_of_sums(compound.claim, claim), origin=0.0,
        parameters=count.parameters + claim.parameters,
    )  # fmt: skip


def _times(n, value):
    """A number of times a value, 0 where either is 0 and the other infinite."""
    zero = pt.eq(n, 0.0) | pt.eq(value, 0.0)
    return pt.switch(zero, 0.0, n * pt.switch(zero, 1.0, value))


def _span_of_sums(dist, claim: Law) -> float:
    """The lattice of sums of any number of claims, which 0 is on."""
    if isinstance(dist, Atoms):
        return span_of(np.unique(np.append(dist.points, 0.0)))
    return claim.span


def law_of(dist) -> Law:
    """What is known of an unnamed or a named PyMC distribution, of `Atoms` or a `CompoundSum`.

    Raises
    ------
    CumulantError
        a tail heavier than any exponential; a distribution whose cumulant is not known here.
    """
    if isinstance(dist, Law):
        return dist
    if isinstance(dist, Atoms):
        return _of_atoms(dist)
    if isinstance(dist, CompoundSum):
        return _of_compound(dist)
    node: Any = getattr(dist, "owner", None)
    name = type(node.op).__name__ if node is not None else type(dist).__name__
    if isinstance(dist, type) or (node is None and not hasattr(dist, "owner")):
        what = dist.__name__ if isinstance(dist, type) else repr(dist)
        raise CumulantError(
            f"{what} is no distribution with parameters: give one such as pm.Poisson.dist(2), or "
            "`Atoms(points, probabilities)` for numbers of your own."
        )
    if name in HEAVY:
        raise CumulantError(
            f"{HEAVY[name]} has no cumulant: E[exp(t X)] is infinite for every t > 0, because its "
            "tail is heavier than any exponential. A sum of such numbers is large because one of "
            "them is, P(S > x) is near n P(X > x), and no tilt helps. Take a distribution with an "
            "exponential tail, such as Gamma or Wald, or one that is truncated."
        )
    if name not in NAMED:
        raise CumulantError(
            f"no cumulant is known of {name.removesuffix('RV')}: known are "
            f"{', '.join(sorted(k.removesuffix('RV') for k in NAMED))}. Give `Atoms(points, "
            "probabilities)`, or your own cumulant to `legendre`."
        )
    parameters = tuple(in_double(v) for v in node.op.dist_params(node))
    if name == "CategoricalRV" and is_known(*parameters):
        # states without probability are none, and what is left may be another lattice
        [p] = numbers_of(*parameters)
        if p.ndim == 1:
            law = _of_atoms(Atoms(np.arange(len(p)), p))
            return replace(law, name="Categorical", parameters=parameters)
    return replace(NAMED[name](*parameters), parameters=parameters)
