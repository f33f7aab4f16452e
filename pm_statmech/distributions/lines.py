r"""Named families on intervals and on the line, with their normalisers."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pymc.distributions import transforms
from pymc.distributions.dist_math import check_parameters
from pymc.distributions.distribution import (
    Distribution,
    SymbolicRandomVariable,
    _support_point,
)
from pymc.distributions.shape_utils import implicit_size_from_params, rv_size_is_none
from pymc.distributions.transforms import _default_transform
from pymc.logprob.abstract import _logcdf, _logprob
from pymc.pytensorf import normalize_rng_param
from pytensor.tensor import TensorConstant
from pytensor.tensor.random.utils import normalize_size_param

from pm_statmech.distributions.constants import (
    check_constant,
    check_distribution,
    is_finite,
    is_not_negative,
)
from pm_statmech.distributions.family_variables import IntervalRV
from pm_statmech.errors import FamilyError
from pm_statmech.exponential_family import Family
from pm_statmech.supports import Interval


class GeneralizedInverseGaussianRV(IntervalRV):
    """Power, and rates of x and of 1/x."""

    name = "generalized_inverse_gaussian"
    extended_signature = "[rng],[size],(),(),()->[rng],()"
    _print_name = ("GeneralizedInverseGaussian", "\\operatorname{GeneralizedInverseGaussian}")
    family = Family(lambda x: [pt.log(x), x, 1 / x], Interval(0, np.inf))

    @classmethod
    def natural(cls, p, a, b):
        """Of log x, x and 1/x."""
        return pt.stack(pt.broadcast_arrays(p - 1.0, -0.5 * a, -0.5 * b), axis=-1)

    @classmethod
    def checked(cls, log_p, p, a, b):
        """Rates are not negative."""
        return check_parameters(log_p, a >= 0, b >= 0, msg="a >= 0, b >= 0")


class GeneralizedInverseGaussian(Distribution):
    r"""Positive numbers between a gamma and an inverse gamma distribution.

    .. math:: p(x) = \frac{x^{p - 1} e^{-(a x + b / x) / 2}}{Z}, \qquad
              Z = 2 \left(\frac{b}{a}\right)^{p/2} K_p(\sqrt{a b})

    Parameters
    ----------
    p
        (...) power; a, b : (...) rates of x and of 1/x, >= 0, not both 0. b = 0 < p is
        Gamma(p, a / 2), p = -1/2 the inverse Gaussian.

    Raises
    ------
    FamilyError
        constants outside their range, or that give no distribution.

    Notes
    -----
    Z is integrated, so that p may be random as well: see `log_partition.quadrature`.

    Source: Jorgensen (1982), Statistical Properties of the Generalized Inverse Gaussian
    Distribution, Lecture Notes in Statistics 9.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> y = pms.GeneralizedInverseGaussian.dist(p=1.0, a=2.0, b=0.0)
    >>> round(float(pm.logp(y, 3.0).eval(mode="FAST_COMPILE")), 6)
    -3.0
    """

    rv_type = GeneralizedInverseGaussianRV
    rv_op = GeneralizedInverseGaussianRV.rv_op

    @classmethod
    def dist(cls, p, a, b, **kwargs):
        """Return the variable without a model."""
        p = check_constant("p", p, is_finite, "it must be finite")
        a = check_constant("a", a, is_not_negative, "a rate is finite and not negative")
        b = check_constant("b", b, is_not_negative, "a rate is finite and not negative")
        check_distribution(cls.rv_type, p, a, b)
        return super().dist([p, a, b], **kwargs)


class QuarticRV(IntervalRV):
    """Field, and coefficients of x^2 and x^4."""

    name = "quartic"
    extended_signature = "[rng],[size],(),(),()->[rng],()"
    _print_name = ("Quartic", "\\operatorname{Quartic}")
    family = Family(lambda x: [x, x**2, x**4], Interval(-np.inf, np.inf))

    @classmethod
    def natural(cls, h, a, b):
        """Of x, x^2 and x^4."""
        return pt.stack(pt.broadcast_arrays(h, a, -b), axis=-1)

    @classmethod
    def checked(cls, log_p, h, a, b):
        """The coefficient of -x^4 is not negative."""
        return check_parameters(log_p, b >= 0, msg="b >= 0")


class Quartic(Distribution):
    r"""The quartic exponential family: a site of Landau and Ginzburg's theory.

    .. math:: p(x) = \frac{e^{h x + a x^2 - b x^4}}{Z}

    a > 0 has two modes, near :math:`\pm\sqrt{a / 2 b}`, and a < 0 one.

    Parameters
    ----------
    h
        (...) field; a : (...) coefficient of x^2, of any sign; b : (...) of -x^4, > 0, or 0
        where a < 0.

    Raises
    ------
    FamilyError
        constants outside their range, that give no distribution, or modes so far and narrow that
        quadrature does not resolve them.

    Notes
    -----
    Source: Matz (1978), Maximum likelihood parameter estimation for the quartic exponential
    distribution, Technometrics 20(4), 475-484.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> y = pms.Quartic.dist(a=1.0, b=0.5)
    >>> bool(pm.logp(y, 1.0).eval(mode="FAST_COMPILE") > pm.logp(y, 0.0).eval(mode="FAST_COMPILE"))
    True
    """

    rv_type = QuarticRV
    rv_op = QuarticRV.rv_op

    @classmethod
    def dist(cls, a, b, *, h=0.0, **kwargs):
        """Return the variable without a model."""
        h = check_constant("h", h, is_finite, "it must be finite")
        a = check_constant("a", a, is_finite, "it must be finite")
        b = check_constant("b", b, is_not_negative, "it is finite and not negative")
        check_distribution(cls.rv_type, h, a, b)
        return super().dist([h, a, b], **kwargs)


class TruncatedExponentialRV(SymbolicRandomVariable):
    """Slope of the log density, and two ends."""

    name = "truncated_exponential"
    extended_signature = "[rng],[size],(),(),()->[rng],()"
    _print_name = ("TruncatedExponential", "\\operatorname{TruncatedExponential}")

    @classmethod
    def rv_op(cls, eta, lower, upper, *, size=None, rng=None):
        """Invert the cumulative probability from the end where the density is larger."""
        params = [pt.as_tensor_variable(p) for p in (eta, lower, upper)]
        eta, lower, upper = params
        rng, size = normalize_rng_param(rng), normalize_size_param(size)
        outer = size
        if rv_size_is_none(size):
            outer = implicit_size_from_params(*params, ndims_params=[0, 0, 0])
        next_rng, u = pt.random.uniform(size=outer, rng=rng, return_next_rng=True)
        steep = pt.abs(eta) * (upper - lower)
        flat = pt.lt(steep, 1e-12)
        safe = pt.switch(flat, 1.0, steep)
        share = pt.switch(flat, u, -pt.log1p(u * pt.expm1(-safe)) / safe)
        distance = (upper - lower) * share
        drawn = pt.switch(eta > 0, upper - distance, lower + distance)
        return cls(inputs=[rng, size, *params], outputs=[next_rng, drawn])(rng, size, *params)


def log_integral(eta, width):
    r"""Log of the integral of e^{eta x} from 0 to a width.

    .. math:: \log \frac{e^{\eta w} - 1}{\eta} = \log w + \frac{\eta w}{2}
              + \log \frac{\sinh(\eta w / 2)}{\eta w / 2}
    """
    y = pt.abs(0.5 * eta * width)
    near = pt.lt(y, 0.01)
    square = pt.sqr(pt.switch(near, y, 0.01))
    series = square / 6 - square**2 / 180 + square**3 / 2835
    far = pt.switch(near, 1.0, y)
    of_sinh = far + pt.log(-pt.expm1(-2 * far)) - pt.log(2 * far)
    return pt.log(width) + 0.5 * eta * width + pt.switch(near, series, of_sinh)


class TruncatedExponential(Distribution):
    r"""An exponential density, rising or falling, between two ends.

    .. math:: p(x) = \frac{\eta\, e^{\eta x}}{e^{\eta b} - e^{\eta a}}, \qquad a \le x \le b

    The distribution of largest entropy between a and b with a given mean; uniform at eta = 0.

    Parameters
    ----------
    eta
        (...) slope of the log density, of any sign; lower, upper : (...) a < b, finite.

    Raises
    ------
    FamilyError
        constants that are not finite, or ends in the wrong order.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> y = pms.TruncatedExponential.dist(eta=0.0, lower=0.0, upper=2.0)
    >>> round(float(pm.logp(y, 1.5).exp().eval(mode="FAST_COMPILE")), 6)
    0.5
    """

    rv_type = TruncatedExponentialRV
    rv_op = TruncatedExponentialRV.rv_op

    @classmethod
    def dist(cls, eta, *, lower=0.0, upper, **kwargs):
        """Return the variable without a model."""
        params = [
            check_constant(name, v, is_finite, "it must be finite")
            for name, v in (("eta", eta), ("lower", lower), ("upper", upper))
        ]
        ends = params[1:]
        if all(isinstance(v, TensorConstant) for v in ends) and np.any(
            ends[0].data >= ends[1].data
        ):
            raise FamilyError(f"lower = {ends[0].data} is not below upper = {ends[1].data}.")
        return super().dist(params, **kwargs)


@_logprob.register(TruncatedExponentialRV)
def _truncated_exponential_logp(op, values, rng, size, eta, lower, upper, **kwargs):
    [x] = values
    inside = pt.ge(x, lower) & pt.le(x, upper)
    log_p = eta * (x - lower) - log_integral(eta, upper - lower)
    return check_parameters(pt.switch(inside, log_p, -np.inf), lower < upper, msg="lower < upper")


@_logcdf.register(TruncatedExponentialRV)
def _truncated_exponential_logcdf(op, x, rng, size, eta, lower, upper, **kwargs):
    within = pt.gt(x, lower) & pt.lt(x, upper)
    width = pt.switch(within, x - lower, upper - lower)
    log_mass = log_integral(eta, width) - log_integral(eta, upper - lower)
    log_mass = pt.switch(pt.le(x, lower), -np.inf, log_mass)
    return check_parameters(log_mass, lower < upper, msg="lower < upper")


@_support_point.register(TruncatedExponentialRV)
def _truncated_exponential_support_point(op, rv, rng, size, eta, lower, upper):
    middle = pt.broadcast_arrays(0.5 * (lower + upper), eta)[0]
    return middle if rv_size_is_none(size) else pt.full(size, middle)


@_default_transform.register(TruncatedExponentialRV)
def _truncated_exponential_transform(op, rv):
    # of the inputs rng, size, eta, lower, upper
    return transforms.Interval(bounds_fn=lambda *inputs: (inputs[3], inputs[4]))
