r"""PyMC's distributions as exponential families, and divergences between two of one family.

.. math:: p(x; \eta) = h(x)\, e^{\eta \cdot T(x) - A(\eta)}, \qquad
          \log \int p^s q^{1 - s} = A(s \eta_p + (1 - s) \eta_q) - s A(\eta_p) - (1 - s) A(\eta_q)

so that every divergence of this kind is a gap of the convex A.

Source: Nielsen (2013), An information-geometric characterization of Chernoff information, IEEE
Signal Process. Lett. 20, 269-272.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt

from pm_statmech.concentration.laws import PLAIN, in_double, numbers_of
from pm_statmech.errors import CumulantError


class NaturalForm(NamedTuple):
    """Natural parameters (K,), and A and its gradient as a function of them.

    `fixed` parameters are no natural ones, and must be equal in two members of one family.
    """

    family: str
    eta: np.ndarray
    log_partition: Callable
    fixed: tuple


def _normal(eta):
    return -(eta[0] ** 2) / (4 * eta[1]) - pt.log(-2 * eta[1]) / 2


def _gamma(eta):
    return pt.gammaln(eta[0]) - eta[0] * pt.log(-eta[1])


def _inverse_gaussian(eta):
    return -2 * pt.sqrt(eta[0] * eta[1]) - pt.log(-2 * eta[1]) / 2


def _beta(eta):
    return pt.gammaln(eta[0]) + pt.gammaln(eta[1]) - pt.gammaln(eta[0] + eta[1])


def _exponential(eta):
    return -pt.log(-eta[0])


def _poisson(eta):
    return pt.exp(eta[0])


def _trials(eta, n):
    return n * pt.softplus(eta[0])


def _failures(eta, n):
    return -n * pt.log1p(-pt.exp(eta[0]))


def _of_normal(mu, sigma):
    return [mu / sigma**2, -0.5 / sigma**2]


def _log_odds(p):
    return np.log(p) - np.log1p(-p)


# name of the operation: parameters -> natural ones, A, which parameters are fixed
FORMS: dict[str, tuple[str, Callable, Callable, Callable]] = {
    "NormalRV": ("Normal", _of_normal, _normal, lambda *p: ()),
    "LogNormalRV": ("LogNormal", _of_normal, _normal, lambda *p: ()),
    "GammaRV": ("Gamma", lambda k, s: [k, -1 / s], _gamma, lambda *p: ()),
    "InvGammaRV": ("InverseGamma", lambda a, b: [a, -b], _gamma, lambda *p: ()),
    "ExponentialRV": ("Exponential", lambda s: [-1 / s], _exponential, lambda *p: ()),
    "BetaRV": ("Beta", lambda a, b: [a, b], _beta, lambda *p: ()),
    "WaldRV": (
        "Wald", lambda m, l, a: [-l / (2 * m**2), -l / 2], _inverse_gaussian, lambda m, l, a: (a,),
    ),
    "PoissonRV": ("Poisson", lambda m: [np.log(m)], _poisson, lambda *p: ()),
    "BernoulliRV": ("Bernoulli", lambda p: [_log_odds(p)], lambda e: _trials(e, 1), lambda *p: ()),
    "BinomialRV": ("Binomial", lambda n, p: [_log_odds(p)], _trials, lambda n, p: (n,)),
    "GeometricRV": (
        "Geometric", lambda p: [np.log1p(-p)], lambda e: _failures(e, 1), lambda *p: (),
    ),
    "NegBinomialRV": (
        "NegativeBinomial", lambda n, p: [np.log1p(-p)], _failures, lambda n, p: (n,),
    ),
}  # fmt: skip


def natural_form_of(dist) -> NaturalForm:
    """The natural form of a PyMC distribution of one number with known parameters.

    Raises
    ------
    CumulantError
        a distribution that is no exponential family here.
    """
    node = dist.owner
    name = type(node.op).__name__ if node is not None else type(dist).__name__
    if name not in FORMS:
        raise CumulantError(
            f"{name.removesuffix('RV')} is no exponential family that is known here: known are "
            f"{', '.join(sorted(v[0] for v in FORMS.values()))}. Give arrays of probabilities."
        )
    family, to_natural, log_partition, fixed_of = FORMS[name]
    parameters = numbers_of(*(in_double(v) for v in node.op.dist_params(node)))
    if any(v.ndim for v in parameters):
        raise CumulantError(f"{family}: parameters are arrays, where a divergence is of two laws.")
    with np.errstate(divide="ignore"):
        natural = np.array(to_natural(*parameters), dtype=np.float64)
    if not np.all(np.isfinite(natural)):
        raise CumulantError(
            f"{family}{tuple(float(v) for v in parameters)} is on the edge of its family, where "
            "natural parameters are infinite: give arrays of probabilities instead."
        )
    fixed = tuple(float(v) for v in fixed_of(*parameters))
    # what is fixed beside a shift enters A
    inside = fixed if family in ("Binomial", "NegativeBinomial") else ()
    eta = pt.vector("eta", dtype="float64")
    value = log_partition(eta, *inside)
    gradient: Any = pytensor.grad(value, eta)
    both = pytensor.function([eta], [value, gradient], mode=PLAIN)
    return NaturalForm(family, natural, both, fixed)


def pair_of(p, q) -> tuple[NaturalForm, NaturalForm]:
    """The natural forms of two distributions.

    Raises
    ------
    CumulantError
        of different families, or with different parameters of those that are fixed.
    """
    first, second = natural_form_of(p), natural_form_of(q)
    if (first.family, first.fixed) != (second.family, second.fixed):
        raise CumulantError(
            f"{first.family}{first.fixed or ''} and {second.family}{second.fixed or ''} are not "
            "of one exponential family: give arrays of probabilities instead."
        )
    return first, second


def affinity_of(p: NaturalForm, q: NaturalForm, s: float) -> tuple[float, float]:
    """Log of the integral of p^s q^(1 - s), and its derivative in s; inf where there is none."""
    eta = s * p.eta + (1 - s) * q.eta
    # gamma functions go on beyond 0, and integrals do not
    if p.family in ("Gamma", "InverseGamma", "Beta") and not np.all(eta * np.sign(p.eta) > 0):
        return np.inf, np.nan
    with np.errstate(all="ignore"):
        value, mean = p.log_partition(eta)
    at_p, at_q = float(p.log_partition(p.eta)[0]), float(q.log_partition(q.eta)[0])
    gap = float(value) - s * at_p - (1 - s) * at_q
    return gap if np.isfinite(gap) else np.inf, float(mean @ (p.eta - q.eta)) - at_p + at_q


def bregman_of(p: NaturalForm, q: NaturalForm) -> float:
    """KL(p, q) = A(q) - A(p) - (q - p) . A'(p)."""
    value, mean = p.log_partition(p.eta)
    return float(q.log_partition(q.eta)[0] - value - mean @ (q.eta - p.eta))
