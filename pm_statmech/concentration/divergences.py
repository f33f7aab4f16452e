r"""Divergences between distributions, of arrays and of PyMC's exponential families.

.. math:: \mathrm{KL}(p, q) = \sum_i p_i \log\frac{p_i}{q_i}, \qquad
          D_a(p, q) = \frac{1}{a - 1} \log \sum_i p_i^a q_i^{1 - a}

All in nats. Divergences of two arrays are between their normalised last axes.

Sources: Cover and Thomas (2006), Elements of Information Theory, chapters 2 and 11; van Erven and
Harremoes (2014), IEEE Trans. Inf. Theory 60, 3797-3820; Bregman (1967), USSR Comput. Math. Math.
Phys. 7, 200-217.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from scipy.optimize import brentq
from scipy.special import entr, logsumexp, rel_entr, xlogy

from pm_statmech.concentration.natural_forms import affinity_of, bregman_of, pair_of
from pm_statmech.errors import ProjectionError


class Chernoff(NamedTuple):
    """Chernoff information, where its maximum is, and the distribution midway."""

    information: float
    exponent: float
    midpoint: np.ndarray


class ChainRule(NamedTuple):
    """A relative entropy, that of margins or of groups, and the mean of what is left within."""

    total: float
    between: float
    within: float


class LogLoss(NamedTuple):
    """Expected log loss, the entropy that no forecast avoids, and the relative entropy on top."""

    expected: float
    entropy: float
    relative_entropy: float


def probabilities_of(p) -> np.ndarray:
    """Probabilities (..., K) of weights of at least 0.

    Raises
    ------
    ProjectionError
        negative or infinite weights, or none above 0.
    """
    p = np.asarray(p, dtype=np.float64)
    if p.ndim == 0 or not (np.all(p >= 0) and np.all(np.isfinite(p))):
        raise ProjectionError("probabilities are vectors of finite numbers, at least 0.")
    total = np.sum(p, axis=-1, keepdims=True)
    if np.any(total == 0):
        raise ProjectionError("probabilities are all 0.")
    return p / total


def _pair(p, q) -> tuple[np.ndarray, np.ndarray]:
    p, q = probabilities_of(p), probabilities_of(q)
    if p.shape[-1] != q.shape[-1]:
        raise ProjectionError(f"{p.shape[-1]} probabilities and {q.shape[-1]}: of other states.")
    return p, q


def entropy(p) -> np.ndarray:
    r"""Shannon entropy :math:`-\sum_i p_i \log p_i` (...), in nats.

    Examples
    --------
    >>> round(float(entropy([0.3, 0.7])), 6)
    0.610864
    """
    return np.sum(entr(probabilities_of(p)), axis=-1)


def relative_entropy(p, q) -> np.ndarray:
    r"""Relative entropy, or Kullback-Leibler divergence, of p to q (...), inf where q is 0.

    .. math:: \mathrm{KL}(p, q) = \sum_i p_i \log \frac{p_i}{q_i}

    The rate at which frequencies p become improbable among draws of q. `reverse_relative_entropy`
    is KL(q, p).

    Parameters
    ----------
    p, q
        (..., K) probabilities, or two PyMC distributions of one exponential family.

    Raises
    ------
    ProjectionError
        arrays of different lengths, or that are no probabilities.
    CumulantError
        distributions of different families, or of none that is known.

    Examples
    --------
    >>> round(float(relative_entropy([0.4, 0.3, 0.3], [0.2, 0.3, 0.5])), 6)
    0.124011
    """
    if isinstance(p, Variable):
        return np.asarray(bregman_of(*pair_of(p, q)))
    p, q = _pair(p, q)
    # p log(p/q) - p + q is never negative, and sums to the same
    return np.sum(rel_entr(p, q) - p + q, axis=-1)


def reverse_relative_entropy(p, q) -> np.ndarray:
    r"""KL(q, p) (...): what a forecast p loses where q is true.

    Examples
    --------
    >>> round(float(reverse_relative_entropy([0.4, 0.3, 0.3], [0.2, 0.3, 0.5])), 6)
    0.116783
    """
    return relative_entropy(q, p)


def log_affinity(p, q, exponent) -> np.ndarray:
    r"""Log of :math:`\sum_i p_i^s q_i^{1 - s}` (...): Chernoff's, with Bhattacharyya's at s = 1/2.

    Examples
    --------
    >>> round(float(log_affinity([0.2, 0.8], [0.7, 0.3], 0.5)), 6)
    -0.146109
    """
    p, q = _pair(p, q)
    s = np.asarray(exponent, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = xlogy(s, p) + xlogy(1 - s, q)
    # states that one of them gives a positive power of 0
    none = ((p == 0) & (s > 0)) | ((q == 0) & (s < 1))
    return logsumexp(np.where(none, -np.inf, terms), axis=-1)


def renyi_divergence(p, q, order: float) -> np.ndarray:
    r"""Rényi's divergence (...) of an order a > 0; of order 1 it is the relative entropy.

    .. math:: D_a(p, q) = \frac{1}{a - 1} \log \sum_i p_i^a q_i^{1 - a}

    Parameters
    ----------
    p, q
        (..., K) probabilities, or two PyMC distributions of one exponential family.
    order
        a; inf, for probabilities, gives the log of the largest ratio.

    Raises
    ------
    ProjectionError
        an order that is not above 0.

    Examples
    --------
    >>> round(float(renyi_divergence([0.2, 0.8], [0.7, 0.3], 2.0)), 6)
    0.784119
    """
    if not order > 0:
        raise ProjectionError(f"order = {order}: Renyi's order is above 0.")
    if order == 1:
        return relative_entropy(p, q)
    if isinstance(p, Variable) and np.isinf(order):
        raise ProjectionError("order = inf is of arrays of probabilities alone.")
    if isinstance(p, Variable):
        return np.asarray(affinity_of(*pair_of(p, q), order)[0] / (order - 1))
    p, q = _pair(p, q)
    if np.isinf(order):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(np.max(np.where(p > 0, p / q, 0.0), axis=-1))
    if order < 1:
        return log_affinity(p, q, order) / (order - 1)
    with np.errstate(divide="ignore"):
        terms = np.where(p > 0, order * np.log(p) + (1 - order) * np.log(q), -np.inf)
    return logsumexp(terms, axis=-1) / (order - 1)


def jensen_shannon(p, q, weight: float = 0.5) -> np.ndarray:
    r"""Jensen-Shannon divergence (...), at most log 2 nats.

    .. math:: w\,\mathrm{KL}(p, m) + (1 - w)\,\mathrm{KL}(q, m), \qquad m = w p + (1 - w) q

    The mutual information of a draw and of which of p and q it came from. Source: Lin (1991), IEEE
    Trans. Inf. Theory 37, 145-151.

    Examples
    --------
    >>> round(float(jensen_shannon([1, 0], [0, 1])), 6)
    0.693147
    """
    p, q = _pair(p, q)
    if weight in (0, 1):
        return np.zeros(np.broadcast_shapes(p.shape, q.shape)[:-1])
    m = weight * p + (1 - weight) * q
    return weight * relative_entropy(p, m) + (1 - weight) * relative_entropy(q, m)


def chernoff_information(p, q) -> Chernoff:
    r"""Chernoff information: the exponent of the best test between p and q, whatever the prior.

    .. math:: C = -\min_{0 \le s \le 1} \log \sum_i p_i^s q_i^{1 - s}
              = \mathrm{KL}(m, p) = \mathrm{KL}(m, q), \qquad m_i \propto p_i^s q_i^{1 - s}

    the relative entropies where 0 < s < 1, as it is where both are positive at the same states.

    Parameters
    ----------
    p, q
        (K,) probabilities, or two PyMC distributions of one exponential family, whose `midpoint`
        are its natural parameters.

    Raises
    ------
    ProjectionError
        p and q that share no state: no error is made, and the information is infinite.

    Examples
    --------
    >>> found = chernoff_information([0.2, 0.8], [0.7, 0.3])
    >>> round(found.information, 6), round(found.exponent, 6)
    (0.146184, 0.488901)
    """
    if isinstance(p, Variable):
        first, second = pair_of(p, q)
        s = steepest(lambda s: affinity_of(first, second, s)[1])
        midpoint = s * first.eta + (1 - s) * second.eta
        return Chernoff(-affinity_of(first, second, s)[0], s, midpoint)
    p, q = _pair(p, q)
    shared = (p > 0) & (q > 0)
    if not np.any(shared):
        raise ProjectionError("p and q share no state: one draw tells them apart without error.")
    a, b = np.log(p[shared]), np.log(q[shared])

    def tilted(s: float) -> np.ndarray:
        exponents = s * a + (1 - s) * b
        return np.exp(exponents - logsumexp(exponents))

    def slope(s: float) -> float:
        return float(tilted(s) @ (a - b))

    s = steepest(slope)
    midpoint = np.zeros_like(p)
    midpoint[shared] = tilted(s)
    return Chernoff(float(-logsumexp(s * a + (1 - s) * b)), s, midpoint)


def steepest(slope: Callable[[float], float]) -> float:
    """Where a convex function on [0, 1] is least, of its slope."""
    if slope(0.0) >= 0:
        return 0.0
    if slope(1.0) <= 0:
        return 1.0
    return float(brentq(slope, 0.0, 1.0, xtol=1e-15))


def bregman_divergence(function: Callable, x, y) -> float:
    r"""Bregman divergence of a convex function.

    .. math:: D_F(x, y) = F(x) - F(y) - \nabla F(y) \cdot (x - y) \ge 0

    Parameters
    ----------
    function
        PyTensor vector -> number, convex and differentiable: minus the entropy gives the relative
        entropy, half the square half the squared distance, A of a family its relative entropy with
        the arguments turned round.
    x, y
        (K,) points.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> round(float(bregman_divergence(lambda v: pt.sum(v**2) / 2, [1.0, 2.0], [0.0, 0.0])), 6)
    2.5
    """
    first, second = (np.asarray(v, dtype=np.float64) for v in (x, y))
    point = pt.tensor("point", shape=first.shape, dtype="float64")
    value = function(point)
    slope: Any = pytensor.grad(value, point)
    both = pytensor.function([point], [value, slope], mode="FAST_COMPILE")
    (at_x, _), (at_y, gradient) = both(first), both(second)
    return float(at_x - at_y - np.sum(gradient * (first - second)))


def log_loss(p, forecast) -> LogLoss:
    r"""Expected log loss of a forecast q where p is true, and what it is made of.

    .. math:: -\sum_i p_i \log q_i = H(p) + \mathrm{KL}(p, q)

    Examples
    --------
    >>> found = log_loss([0.5, 0.5], [0.8, 0.2])
    >>> round(found.expected, 6), round(found.entropy, 6), round(found.relative_entropy, 6)
    (0.916291, 0.693147, 0.223144)
    """
    h, excess = float(entropy(p)), float(relative_entropy(p, forecast))
    return LogLoss(h + excess, h, excess)


def chain_rule(p, q, axes) -> ChainRule:
    r"""Relative entropy of joint probabilities, by that of margins and of what is conditional.

    .. math:: \mathrm{KL}(p_{XY}, q_{XY}) = \mathrm{KL}(p_X, q_X)
              + \sum_x p(x)\, \mathrm{KL}(p_{Y|x}, q_{Y|x})

    Parameters
    ----------
    p, q
        tables of one shape; axes : those of X, a number or several.

    Examples
    --------
    >>> p, q = [[0.4, 0.1], [0.1, 0.4]], [[0.25, 0.25], [0.25, 0.25]]
    >>> found = chain_rule(p, q, 0)
    >>> round(found.between, 6), round(found.within, 6)
    (0.0, 0.192745)
    """
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    axes = tuple(a % p.ndim for a in np.atleast_1d(axes))
    first = np.moveaxis(p, axes, range(len(axes)))
    second = np.moveaxis(q, axes, range(len(axes)))
    groups = int(np.prod(first.shape[: len(axes)]))
    labels = np.repeat(np.arange(groups), first.size // groups)
    return coarse_graining(first.ravel(), second.ravel(), labels)


def coarse_graining(p, q, labels) -> ChainRule:
    r"""Relative entropy by that of groups of states, which is never above it, and of what is left.

    .. math:: \mathrm{KL}(p, q) = \mathrm{KL}(p_G, q_G) + \sum_g p(g)\, \mathrm{KL}(p_{|g}, q_{|g})

    Parameters
    ----------
    p, q
        (S,) probabilities; labels : (S,) the group of each state.

    Examples
    --------
    >>> found = coarse_graining([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0, 0, 1])
    >>> round(found.between, 6), round(found.within, 6)
    (0.192745, 0.082142)
    """
    p, q = _pair(p, q)
    _, group = np.unique(np.asarray(labels), return_inverse=True)
    if group.shape != p.shape:
        raise ProjectionError(f"{group.shape} labels of {p.shape} states: one each.")
    of_p, of_q = np.bincount(group, weights=p), np.bincount(group, weights=q)
    total, between = float(relative_entropy(p, q)), float(relative_entropy(of_p, of_q))
    seen = p > 0
    with np.errstate(divide="ignore"):
        ratio = np.log(p[seen] / of_p[group[seen]]) - np.log(q[seen] / of_q[group[seen]])
    return ChainRule(total, between, float(p[seen] @ ratio))
