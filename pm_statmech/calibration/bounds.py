r"""PAC-Bayes bounds as functions of risk, relative entropy and log Z, of a loss in [0, 1].

.. math:: P\Bigl(\mathrm{kl}(\bar r, \bar R) \le
          \frac{\mathrm{KL}(\rho, \pi_0) + \log(2\sqrt n/\delta)}{n} \text{ for all } \rho\Bigr)
          \ge 1 - \delta

with the mean empirical risk r and the mean risk R of draws of a posterior rho.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import rel_entr

from pm_statmech.errors import CalibrationError


def kl_inverse(q: float, c: float) -> float:
    r"""Largest p with kl(q, p) at most c: the inverse of the binary relative entropy.

    .. math:: \sup\Bigl\{p : q \log\frac qp + (1 - q) \log\frac{1 - q}{1 - p} \le c\Bigr\}

    Parameters
    ----------
    q
        an empirical risk in [0, 1].
    c
        nats, >= 0.

    Raises
    ------
    CalibrationError
        q outside [0, 1], or a negative c.

    Examples
    --------
    >>> round(kl_inverse(0.1, 0.05), 6)
    0.220079
    """
    if not 0 <= q <= 1 or not c >= 0:
        raise CalibrationError(f"kl_inverse of q = {q:g}, c = {c:g}: q lies in [0, 1] and c >= 0.")
    if c == 0 or q == 1:
        return float(q)
    if q == 0:
        return float(-np.expm1(-c))

    def excess(p: float) -> float:
        return float(rel_entr(q, p) + rel_entr(1 - q, 1 - p)) - c

    highest = np.nextafter(1.0, 0.0)
    return 1.0 if excess(highest) <= 0 else float(brentq(excess, q, highest, xtol=1e-15))


def mcallester(risk, relative_entropy, n: int, delta: float):
    r"""McAllester's bound, for all posteriors at once.

    .. math:: r + \sqrt{\frac{\mathrm{KL} + \log(2\sqrt n/\delta)}{2n}}

    Sources: McAllester (1999), COLT; Maurer (2004), arXiv:cs/0411099, for the constant.

    Examples
    --------
    >>> round(float(mcallester(0.1, 3.0, 1000, 0.05)), 4)
    0.1712
    """
    complexity = relative_entropy + np.log(2 * np.sqrt(n) / delta)
    return np.minimum(risk + np.sqrt(complexity / (2 * n)), 1.0)


def maurer_seeger(risk, relative_entropy, n: int, delta: float):
    r"""The bound of Seeger and Maurer, for all posteriors at once and the tightest of these.

    .. math:: \mathrm{kl}^{-1}\Bigl(r, \frac{\mathrm{KL} + \log(2\sqrt n/\delta)}{n}\Bigr)

    Sources: Seeger (2002), JMLR 3; Maurer (2004), arXiv:cs/0411099, which needs n >= 8.

    Examples
    --------
    >>> round(float(maurer_seeger(0.1, 3.0, 1000, 0.05)), 4)
    0.1481
    """
    complexity = relative_entropy + np.log(2 * np.sqrt(n) / delta)
    return np.vectorize(kl_inverse, otypes=[float])(risk, complexity / n)


def catoni(log_partition, beta, n: int, delta):
    r"""Catoni's bound at a beta chosen beforehand, for a loss in [0, 1], from log Z alone.

    .. math:: \frac{1 - \exp\bigl((\log Z(\beta) - \log(1/\delta)) / n\bigr)}{1 - e^{-\beta}}

    since of the Gibbs posterior :math:`n\beta r + \mathrm{KL} = -\log Z(\beta)`. Source: Catoni
    (2007), PAC-Bayesian supervised classification, IMS Lecture Notes 56, chapter 1.

    Examples
    --------
    >>> round(float(catoni(-30.0, 0.2, 1000, 0.05)), 4)
    0.1791
    """
    return np.minimum(np.expm1((log_partition + np.log(delta)) / n) / np.expm1(-beta), 1.0)


def linear(log_partition, beta, n: int, delta):
    r"""The linear bound at a beta chosen beforehand, for a loss in [0, 1], from log Z alone.

    .. math:: \frac{-\log Z(\beta) + \log(1/\delta)}{n\beta} + \frac\beta8

    Source: Alquier, Ridgway, Chopin (2016), JMLR 17, 239, with Hoeffding's inequality.

    Examples
    --------
    >>> round(float(linear(-30.0, 0.2, 1000, 0.05)), 4)
    0.19
    """
    return np.minimum((np.log(1 / delta) - log_partition) / (n * beta) + beta / 8, 1.0)
