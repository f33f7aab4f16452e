r"""Normaliser of the Conway-Maxwell-Poisson distribution, and its rate at a given mean.

.. math:: A(a, \nu) = \log \sum_{k \ge 0} \frac{e^{a k}}{(k!)^{\nu}}, \qquad a = \log \lambda

.. math:: \frac{\partial A}{\partial a} = E[k], \qquad
          \frac{\partial A}{\partial \nu} = -E[\log k!]

Terms are summed outwards from the largest until the rest of either side, bounded by a geometric
series of the last ratio, is below 1e-18 of the sum. Where there are too many, with x = nu
lambda^(1/nu) and variances x/nu^2 above 1e8,

.. math:: A = x - \frac{\nu - 1}{2 \nu} a - \frac{\nu - 1}{2} \log 2\pi - \frac{1}{2} \log \nu
          + (\nu^2 - 1) \left(\frac{1}{24 x} + \frac{1}{48 x^2}
          + \frac{161 - 9 \nu^2}{5760 x^3}\right)

The rate at a mean is where E[k] is that mean; by the implicit function theorem

.. math:: da = \frac{d\mu + \operatorname{Cov}(k, \log k!)\, d\nu}{\operatorname{Var}(k)}

Sources: Shmueli, Minka, Kadane, Borle, Boatwright (2005), Appl. Statist. 54(1), for the bound;
Gaunt, Iyengar, Olde Daalhuis, Simsek (2019), Ann. Inst. Stat. Math. 71, 163-180, for the expansion,
whose logarithm this is; Huang (2017), Stat. Modelling 17(6), for means as parameters.
"""

from __future__ import annotations

from math import lgamma
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from numba import njit

from pm_statmech.log_partition.operations import CompiledFunction, connected

NEGLIGIBLE = 1e-18
# means beyond which terms are not summed one by one, where the expansion in x is good
WIDE_VARIANCE, LARGE_X, MOST_TERMS = 1e8, 1e4, 2**20
MAX_ITERATIONS = 100
# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 2


class Cumulants(NamedTuple):
    """Log Z, and means and covariances of k and log k!."""

    log_z: float
    mean: float
    mean_log_factorial: float
    variance: float
    covariance: float
    variance_log_factorial: float


@njit(cache=True, error_model="numpy")
def _expanded(a, nu):
    """Cumulants by the expansion for large x: derivatives of A in a and nu."""
    x = nu * np.exp(a / nu)
    c, d, e = (nu**2 - 1) / 24, (nu**2 - 1) / 48, (nu**2 - 1) * (161 - 9 * nu**2) / 5760
    log_z = x - (nu - 1) / (2 * nu) * a - (nu - 1) / 2 * np.log(2 * np.pi) - np.log(nu) / 2
    log_z += c / x + d / x**2 + e / x**3
    # f(x, nu) = x + c/x + d/x^2 + ..., and x(a, nu)
    f_x, f_xx = 1 - c / x**2 - 2 * d / x**3 - 3 * e / x**4, 2 * c / x**3 + 6 * d / x**4
    f_nu, f_nunu, f_xnu = nu / 12 / x + nu / 24 / x**2, 1 / 12 / x, -nu / 12 / x**2
    lean = 1 / nu - a / nu**2
    x_a, x_nu = x / nu, x * lean
    x_aa, x_anu = x / nu**2, (x_nu - x / nu) / nu
    x_nunu = x_nu * lean + x * (2 * a / nu**3 - 1 / nu**2)
    mean = f_x * x_a - (nu - 1) / (2 * nu)
    to_nu = f_x * x_nu + f_nu - a / (2 * nu**2) - np.log(2 * np.pi) / 2 - 1 / (2 * nu)
    variance = f_xx * x_a**2 + f_x * x_aa
    to_both = f_xx * x_a * x_nu + f_x * x_anu + f_xnu * x_a - 1 / (2 * nu**2)
    to_nu_twice = f_xx * x_nu**2 + f_x * x_nunu + 2 * f_xnu * x_nu + f_nunu
    to_nu_twice += a / nu**3 + 1 / (2 * nu**2)
    return Cumulants(log_z, mean, -to_nu, variance, -to_both, to_nu_twice)


@njit(cache=True, error_model="numpy")
def cumulants(a, nu):
    """Cumulants at a = log lambda and nu; +inf and NaN where the sum is infinite, else NaN."""
    nothing = Cumulants(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan)
    if not (nu >= 0.0 and a < np.inf):
        return nothing
    if nu == 0.0 and a >= 0.0:
        return Cumulants(np.inf, np.nan, np.nan, np.nan, np.nan, np.nan)
    log_x = np.log(nu) + a / nu if nu > 0.0 else -np.inf
    if log_x - 2 * np.log(nu) > np.log(WIDE_VARIANCE) and log_x > np.log(LARGE_X):
        return _expanded(a, nu) if log_x < 600.0 else nothing
    top = a / nu if nu > 0.0 else -np.inf
    if top > 27.0:
        return nothing
    mode = np.floor(np.exp(top))
    log_top = mode * a - nu * lgamma(mode + 1.0) if mode > 0.0 else 0.0
    total, k_1, l_1, k_2, kl, l_2 = 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    n_terms = 0
    # from the mode upwards, then downwards, with k and log k! from those of the mode on
    for upwards in (True, False):
        k, l, d = 0.0, 0.0, 0.0
        while upwards or mode + k > 0.0:
            log_k = np.log(mode + k + 1.0) if upwards else np.log(mode + k)
            log_ratio = a - nu * log_k if upwards else nu * log_k - a
            d += log_ratio
            k, l = (k + 1.0, l + log_k) if upwards else (k - 1.0, l - log_k)
            p = np.exp(d)
            total += p
            k_1 += p * k
            l_1 += p * l
            k_2 += p * k * k
            kl += p * k * l
            l_2 += p * l * l
            n_terms += 1
            # what is left is at most a geometric series, whose moments the next terms bound
            if log_ratio < 0.0 and p * (1.0 + l * l) < -NEGLIGIBLE * total * np.expm1(log_ratio):
                break
            if n_terms > MOST_TERMS:
                return nothing
    k_1, l_1 = k_1 / total, l_1 / total
    log_factorial = lgamma(mode + 1.0)
    return Cumulants(
        log_top + np.log(total), mode + k_1, log_factorial + l_1,
        k_2 / total - k_1**2, kl / total - k_1 * l_1, l_2 / total - l_1**2,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def log_rate(mean, nu):
    """The a = log lambda at which E[k] is a mean, by Newton's steps on log E[k]; NaN without one.

    A step that leaves what earlier ones have bracketed halves the bracket instead.
    """
    if not (mean > 0.0 and nu >= 0.0 and mean < np.inf and nu < np.inf):
        return -np.inf if mean == 0.0 else np.nan
    if nu == 0.0:
        return -np.log1p(1.0 / mean)
    # with nu = 0 the mean would be at a lower rate
    low, high = -np.log1p(1.0 / mean), np.inf
    # of the expansion where it holds, else of the two least counts or of a geometric distribution
    corrected = mean + (nu - 1.0) / (2.0 * nu)
    a = low if corrected < 0.5 else nu * np.log(corrected)
    if mean < 0.5:
        a = np.log(mean / (1.0 - mean))
    for _ in range(MAX_ITERATIONS):
        found = cumulants(a, nu)
        # too large a rate to be summed is too large
        off = np.log(found.mean / mean) if found.mean >= 0.0 else np.inf
        step = -off * found.mean / found.variance
        if abs(step) <= 1e-14 * (1.0 + abs(a)) or abs(off) <= 1e-15:
            return a
        low, high = (a, high) if off < 0.0 else (low, min(a, high))
        new = a + step
        if not low < new < high:
            new = 0.5 * (low + high) if high < np.inf else a + 1.0 + abs(a)
        if new == a:
            return a
        a = new
    return np.nan


class CountCumulants(CompiledFunction):
    """Log Z, and means and covariances of k and log k!, of log lambda and nu; see `cumulants`."""

    gufunc_signature = "(),()->(),(),(),(),(),()"
    kernel = staticmethod(cumulants)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Means for log Z, covariances for means."""
        _, mean, mean_l, variance, covariance, variance_l = outputs
        to_a, to_nu = pt.zeros_like(mean), pt.zeros_like(mean)
        slopes = ((mean, -mean_l), (variance, -covariance), (covariance, -variance_l))
        with_cost = connected(cotangents)
        for k, (of_a, of_nu) in enumerate(slopes):
            if with_cost[k]:
                to_a, to_nu = to_a + cotangents[k] * of_a, to_nu + cotangents[k] * of_nu
        if any(with_cost[3:]):
            why = "third derivatives of log Z of a Conway-Maxwell-Poisson distribution"
            return self.no_derivatives(inputs, why)
        return [to_a, to_nu]


class LogRate(CompiledFunction):
    """Log lambda of a mean and nu; see `log_rate`."""

    gufunc_signature = "(),()->()"
    kernel = staticmethod(log_rate)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """By the implicit function theorem."""
        _, _, _, variance, covariance, _ = CountCumulants()(outputs[0], inputs[1])
        to_mean = cotangents[0] / variance
        return [to_mean, to_mean * covariance]
