r"""Exponents of the errors of tests between two laws, and the errors themselves at finite n.

.. math:: \beta_n \approx e^{-n \mathrm{KL}(p, q)} \text{ at any fixed size}, \qquad
          \text{Bayes' error} \approx e^{-n C}, \qquad
          \text{size } e^{-n r} \Rightarrow \beta_n \approx e^{-n \min \mathrm{KL}(m, q)}

the last over m with KL(m, p) <= r, which lie on :math:`m_s \propto p^s q^{1 - s}`.

Sources: Cover and Thomas (2006), Elements of Information Theory, sections 11.7 to 11.9; Hoeffding
(1965), Ann. Math. Statist. 36, 369-401; Blahut (1974), IEEE Trans. Inf. Theory 20, 405-417.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from pm_statmech.concentration.divergences import probabilities_of, relative_entropy
from pm_statmech.concentration.method_of_types import all_types, log_type_probability
from pm_statmech.errors import ProjectionError


class ErrorExponents(NamedTuple):
    """Rates at which both errors of a test fall, and the law (K,) midway, with its exponent s."""

    false_alarm: float
    miss: float
    exponent: float
    midpoint: np.ndarray


class DecisionErrors(NamedTuple):
    """Log probabilities of a false alarm, under p, and of a miss, under q."""

    log_false_alarm: float
    log_miss: float


def stein_exponent(p, q) -> float:
    r"""Stein's exponent: of misses of q, at any fixed size under p, :math:`\mathrm{KL}(p, q)`.

    Parameters
    ----------
    p, q
        (K,) probabilities, or two PyMC distributions of one exponential family.

    Examples
    --------
    >>> round(stein_exponent([0.5, 0.5], [0.9, 0.1]), 6)
    0.510826
    """
    return float(relative_entropy(p, q))


def _of_the_same_states(p, q) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (K,) of both, and where they are positive (K,)."""
    p, q = probabilities_of(p), probabilities_of(q)
    if p.shape != q.shape or np.any((p > 0) != (q > 0)):
        raise ProjectionError(
            "p and q are positive at different states: one draw may tell them apart."
        )
    return p, q, p > 0


def hoeffding_exponents(p, q, *, false_alarm: float) -> ErrorExponents:
    r"""Largest exponent of misses where false alarms fall at a given rate.

    .. math:: \max_{\text{tests}} e_2 = \min\{\mathrm{KL}(m, q) : \mathrm{KL}(m, p) \le e_1\}

    Parameters
    ----------
    p, q
        (K,) probabilities; false_alarm : e_1 in nats, between 0, where misses have Stein's
        exponent, and KL(q, p).

    Raises
    ------
    ProjectionError
        a rate outside of that; p and q that are not positive at the same states.

    Examples
    --------
    >>> found = hoeffding_exponents([0.2, 0.8], [0.7, 0.3], false_alarm=0.14618440145832)
    >>> round(found.miss, 6), round(found.exponent, 6)
    (0.146184, 0.488901)
    """
    p, q, there = _of_the_same_states(p, q)
    a, b = np.log(p[there]), np.log(q[there])
    most = float(relative_entropy(q, p))
    if not 0 <= false_alarm <= most:
        raise ProjectionError(
            f"false_alarm = {false_alarm:g}: rates lie between 0 and KL(q, p) = {most:.6g}, beyond "
            "which misses do not fall at all."
        )

    def midpoint(s: float) -> np.ndarray:
        exponents = s * a + (1 - s) * b
        m = np.zeros(len(p))
        m[there] = np.exp(exponents - logsumexp(exponents))
        return m

    def gap(s: float) -> float:
        return float(relative_entropy(midpoint(s), p)) - false_alarm

    s = 1.0 if gap(1.0) >= 0 else 0.0 if gap(0.0) <= 0 else float(brentq(gap, 0, 1, xtol=1e-15))
    m = midpoint(s)
    return ErrorExponents(float(relative_entropy(m, p)), float(relative_entropy(m, q)), s, m)


def likelihood_ratio_errors(p, q, *, n: int, threshold: float = 0.0) -> DecisionErrors:
    r"""Exact errors of the likelihood ratio test of n draws, by all types.

    .. math:: \text{decide for } q \text{ where } \frac1n \sum_i \log\frac{q(x_i)}{p(x_i)} > c

    Parameters
    ----------
    p, q
        (K,) probabilities, positive at the same states; n : draws; threshold : c, in nats.

    Raises
    ------
    LatticeError
        more than five million types.

    Examples
    --------
    >>> found = likelihood_ratio_errors([0.2, 0.8], [0.7, 0.3], n=100)
    >>> round(found.log_false_alarm / 100, 3), round(found.log_miss / 100, 3)
    (-0.169, -0.178)
    """
    p, q, there = _of_the_same_states(p, q)
    p, q = p[there], q[there]
    counts = all_types(n, len(p))
    ratios = np.log(q / p)
    # ties go to p, whatever rounding makes of their sums
    for_q = counts @ ratios / n > threshold + 1e-12 * (np.max(np.abs(ratios)) + abs(threshold))
    alarm, miss = log_type_probability(counts, p), log_type_probability(counts, q)
    with np.errstate(divide="ignore"):
        return DecisionErrors(
            float(logsumexp(alarm, b=for_q * 1.0)), float(logsumexp(miss, b=(~for_q) * 1.0))
        )
