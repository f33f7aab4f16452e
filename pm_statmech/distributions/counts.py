r"""Named families of counts and of all integers, with their normalisers."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.dist_math import check_parameters
from pymc.distributions.distribution import Distribution, _support_point
from pymc.distributions.shape_utils import rv_size_is_none
from pymc.logprob.abstract import _logcdf
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor import TensorConstant
from pytensor.tensor.blockwise import Blockwise

from pm_statmech.distributions.constants import (
    check_constant,
    is_finite,
    is_not_negative,
    is_positive,
)
from pm_statmech.distributions.family_variables import CountRV, FamilyRV, ListedRV, of_kind
from pm_statmech.errors import FamilyError
from pm_statmech.exponential_family import Family
from pm_statmech.log_partition.conway_maxwell_poisson import CountCumulants, LogRate
from pm_statmech.log_partition.hurwitz_zeta import LogZeta, RankAbove
from pm_statmech.supports import Integers

NO_RANK = CheckAndRaise(
    FamilyError,
    "a rank was drawn that double precision cannot tell from the next (above 2^53), or s is not "
    "above 1. Give a cutoff=.",
)


class ConwayMaxwellPoissonRV(CountRV):
    """Log lambda and nu."""

    name = "conway_maxwell_poisson"
    extended_signature = "[rng],[size],(),()->[rng],()"
    _print_name = ("ConwayMaxwellPoisson", "\\operatorname{ConwayMaxwellPoisson}")
    family = Family(lambda k: [k, pt.gammaln(k + 1)], Integers(0, np.inf))

    @classmethod
    def natural(cls, log_lam, nu):
        """Of k and log k!."""
        return pt.stack(pt.broadcast_arrays(log_lam, -nu), axis=-1)

    @classmethod
    def log_p(cls, value, log_lam, nu):
        """Log probability, of any real number."""
        inside = cls.family.support.contains(value)
        k = pt.cast(pt.switch(inside, value, 0), "float64")
        # a mean of 0 has log lambda = -inf
        lean = pt.switch(pt.eq(k, 0), 0.0, k * log_lam)
        log_p = lean - nu * pt.gammaln(k + 1) - cls.log_partition(log_lam, nu)
        return pt.switch(inside, log_p, -np.inf)

    @classmethod
    def log_partition(cls, log_lam, nu):
        """By its own kernel."""
        return Blockwise(CountCumulants())(log_lam, nu)[0]

    @classmethod
    def relative_error(cls, log_lam, nu):
        """None but rounding."""
        return pt.zeros_like(log_lam + nu)

    @classmethod
    def engine_said(cls) -> str:
        """What that does."""
        return "sum outwards from the largest term, or its expansion"

    @classmethod
    def engine_bytes(cls) -> int:
        """Nothing: terms are not kept."""
        return 0

    @classmethod
    def checked(cls, log_p, log_lam, nu):
        """Nu is not negative."""
        return check_parameters(log_p, nu >= 0, msg="nu >= 0")


class ConwayMaxwellPoisson(Distribution):
    r"""Counts that vary less, or more, than a Poisson distribution of the same mean.

    .. math:: p(k) = \frac{\lambda^k}{(k!)^\nu Z(\lambda, \nu)}, \qquad
              Z(\lambda, \nu) = \sum_{k \ge 0} \frac{\lambda^k}{(k!)^\nu}

    nu > 1 is under-dispersed, nu = 1 is Poisson, nu < 1 over-dispersed, nu = 0 geometric.

    Parameters
    ----------
    mu
        (...) the mean E[k] > 0, by which regressions are written; or
    lam
        (...) the rate lambda > 0, or log_lam : (...) its logarithm.
    nu
        (...) dispersion, >= 0.

    Raises
    ------
    TypeError
        not just one of mu, lam and log_lam.
    FamilyError
        constants outside their range.

    Notes
    -----
    Z is a sum of which less than 1e-18 is left out, or for means above some ten thousand and wide
    distributions its asymptotic expansion; see `log_partition.conway_maxwell_poisson`. A rate of
    which the sum is infinite has probability 0. First and second derivatives of the log density
    are offered by lam, first ones by mu. Means above 1e10 lose digits of k log lambda - A, as they
    do of any count's log probability.

    Sources: Shmueli, Minka, Kadane, Borle, Boatwright (2005), Appl. Statist. 54(1), 127-142; Huang
    (2017), Statistical Modelling 17(6), 359-380, for mu.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> y = pms.ConwayMaxwellPoisson.dist(mu=3.0, nu=2.5)
    >>> bool(pm.logp(y, 3).eval(mode="FAST_COMPILE") > pm.logp(y, 9).eval(mode="FAST_COMPILE"))
    True
    """

    rv_type = ConwayMaxwellPoissonRV
    rv_op = ConwayMaxwellPoissonRV.rv_op

    @classmethod
    def dist(cls, mu=None, nu=None, *, lam=None, log_lam=None, **kwargs):
        """Return the variable without a model."""
        if nu is None or sum(p is not None for p in (mu, lam, log_lam)) != 1:
            raise TypeError("ConwayMaxwellPoisson takes nu and just one of mu, lam and log_lam.")
        nu = check_constant(
            "nu", nu, is_not_negative, "it is a power of 1 / k!, finite and not negative",
        )  # fmt: skip
        if mu is not None:
            mu = check_constant("mu", mu, is_positive, "the mean of counts is positive and finite")
            log_lam = Blockwise(LogRate())(mu, nu)
        elif lam is not None:
            log_lam = pt.log(
                check_constant("lam", lam, is_positive, "a rate is positive and finite")
            )
        else:
            log_lam = check_constant("log_lam", log_lam, is_finite, "it must be finite")
        if isinstance(log_lam, TensorConstant) and isinstance(nu, TensorConstant):
            infinite = (nu.data == 0) & (log_lam.data >= 0)
            if np.any(infinite):
                raise FamilyError("nu = 0 and lambda >= 1 give a sum that is infinite.")
        return super().dist([log_lam, nu], **kwargs)


class DiscreteGaussianRV(CountRV):
    """Centre and scale."""

    name = "discrete_gaussian"
    extended_signature = "[rng],[size],(),()->[rng],()"
    _print_name = ("DiscreteGaussian", "\\operatorname{DiscreteGaussian}")
    family = Family(lambda k: [k, k**2], Integers(-np.inf, np.inf))

    @classmethod
    def origin(cls, mu, sigma):
        """The integer next to mu: k^2 would lose the digits of k - mu far from 0."""
        return pt.round(mu)

    @classmethod
    def natural(cls, mu, sigma):
        """Of k and k^2, from there."""
        precision = 1.0 / pt.sqr(sigma)
        rest = mu - pt.round(mu)
        return pt.stack(pt.broadcast_arrays(rest * precision, -0.5 * precision), axis=-1)

    @classmethod
    def checked(cls, log_p, mu, sigma):
        """Sigma is positive."""
        return check_parameters(log_p, sigma > 0, msg="sigma > 0")


class DiscreteGaussian(Distribution):
    r"""Integers with the weights of a normal density.

    .. math:: p(k) = \frac{e^{-(k - \mu)^2 / 2 \sigma^2}}
              {\sum_{j \in \mathbb{Z}} e^{-(j - \mu)^2 / 2 \sigma^2}}

    mu is the mean where it is an integer or half of one, and within 1e-7 elsewhere if sigma > 1.

    Parameters
    ----------
    mu
        (...) centre; sigma : (...) scale, > 0.

    Raises
    ------
    FamilyError
        constants outside their range.

    Notes
    -----
    Sources: Canonne, Kamath, Steinke (2020), The discrete Gaussian for differential privacy; Kemp
    (1997), J. Statist. Plann. Inference 63, 223-229.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> y = pms.DiscreteGaussian.dist(mu=0.0, sigma=1.0)
    >>> round(float(pm.logp(y, 0).eval(mode="FAST_COMPILE")), 6)
    -0.918939
    """

    rv_type = DiscreteGaussianRV
    rv_op = DiscreteGaussianRV.rv_op

    @classmethod
    def dist(cls, mu=0.0, sigma=1.0, **kwargs):
        """Return the variable without a model."""
        mu = check_constant("mu", mu, is_finite, "it must be finite")
        sigma = check_constant("sigma", sigma, is_positive, "a scale is positive and finite")
        return super().dist([mu, sigma], **kwargs)


class ZetaRV(ListedRV):
    """Exponent of k, up to a cut-off that the subclass holds."""

    name = "zeta"
    extended_signature = "[rng],[size],()->[rng],()"
    _print_name = ("Zeta", "\\operatorname{Zeta}")

    @classmethod
    def natural(cls, s):
        """Of log k."""
        return -s[..., None]


@cache
def _zeta_rv(cutoff: int) -> type[ZetaRV]:
    return type("ZetaRV", (ZetaRV,), {"family": Family(lambda k: [pt.log(k)], Integers(1, cutoff))})


class EndlessZetaRV(FamilyRV):
    """Exponent of k, whose sum has no end."""

    name = "zeta"
    extended_signature = "[rng],[size],()->[rng],()"
    _print_name = ("Zeta", "\\operatorname{Zeta}")

    @classmethod
    def support(cls):
        """Ranks."""
        return Integers(1, np.inf)

    @classmethod
    def weights(cls, s):
        """The exponent itself."""
        return s

    @classmethod
    def by_inversion(cls, s, u):
        """The least rank beyond which there is less than 1 - u."""
        rank = Blockwise(RankAbove())(s, 1.0 - u)
        return pt.cast(NO_RANK(rank, pt.all(pt.isfinite(rank))), "int64")

    @classmethod
    def log_partition(cls, s):
        """Of the zeta function."""
        return cls.log_tail(s, 1.0)

    @classmethod
    def log_tail(cls, s, rank):
        """Log of the sum from a rank on (...)."""
        return Blockwise(LogZeta())(s, rank)[0]

    @classmethod
    def relative_error(cls, s):
        """None but rounding."""
        return pt.zeros_like(s)

    @classmethod
    def engine_said(cls) -> str:
        """How that is computed."""
        return "zeta function by Euler and Maclaurin"

    @classmethod
    def engine_bytes(cls) -> int:
        """Nothing: terms are not kept."""
        return 0

    @classmethod
    def log_p(cls, value, s):
        """Log probability, of any real number."""
        inside = cls.support().contains(value)
        k = pt.cast(pt.switch(inside, value, 1), "float64")
        return pt.switch(inside, -s * pt.log(k) - cls.log_partition(s), -np.inf)

    @classmethod
    def checked(cls, log_p, s):
        """The sum is finite."""
        return check_parameters(log_p, s > 1, msg="s > 1 without a cut-off")


@_logcdf.register(EndlessZetaRV)
def _endless_zeta_logcdf(op, value, rng, size, s):
    k = pt.floor(pt.cast(value, "float64"))
    inside = pt.ge(k, 1) & pt.lt(k, np.inf)
    log_tail = op.log_tail(s, pt.switch(inside, k + 1, 2.0)) - op.log_partition(s)
    within = pt.switch(inside, pt.log1mexp(log_tail), 0.0)
    return op.checked(pt.switch(pt.ge(k, 1), within, -np.inf), s)


@_support_point.register(EndlessZetaRV)
def _endless_zeta_support_point(op, rv, rng, size, s):
    point = pt.ones_like(s, dtype="int64")
    return point if rv_size_is_none(size) else pt.broadcast_to(point, rv.shape)


class Zeta(Distribution):
    r"""Ranks by a power law, with a cut-off or without (Zipf's law).

    .. math:: p(k) = \frac{k^{-s}}{\sum_{j=1}^{N} j^{-s}}, \qquad k = 1, \dots, N

    Parameters
    ----------
    s
        (...) exponent, of any sign, or above 1 without a cut-off; cutoff : N, a number or infinite.

    Raises
    ------
    FamilyError
        constants that are not finite, or not above 1 without a cut-off; more than 8 million ranks;
        a draw above 2^53, which exponents below some 1.3 give now and then without a cut-off.
    SupportError
        a cut-off that is not an integer above 0.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> y = pms.Zeta.dist(s=1.0, cutoff=2)
    >>> round(float(pm.logp(y, 1).exp().eval(mode="FAST_COMPILE")), 6)
    0.666667
    """

    rv_type = FamilyRV
    rv_op = staticmethod(of_kind)

    @classmethod
    def dist(cls, s, *, cutoff: float = np.inf, **kwargs):
        """Return the variable without a model."""
        s = check_constant("s", s, is_finite, "it must be finite")
        if np.isinf(cutoff) and cutoff > 0:
            s = check_constant("s", s, lambda v: v > 1, "without a cut-off it is above 1")
            return super().dist([s], kind=EndlessZetaRV, **kwargs)
        return super().dist([s], kind=_zeta_rv(cutoff), **kwargs)
