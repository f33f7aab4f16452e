r"""Distributions on spheres that are round about an axis, with their normalisers.

.. math:: p(x) = \frac{e^{\kappa\, s(\mu \cdot x)}}{Z}, \qquad
          Z = \frac{2 \pi^{(d-1)/2}}{\Gamma((d-1)/2)}
              \int_0^\pi e^{\kappa\, s(\cos \theta)} \sin^{d-2} \theta\, d\theta

with respect to the surface measure of the unit sphere in d dimensions. The angle from the axis has
an exponential family of its own, whose statistic is 1 - cos or sin^2, so that nothing is lost
where x is close to the axis; its integral and its draws are those of `log_partition.quadrature`.
For s(t) = t the integral is a Bessel function,

.. math:: Z = (2 \pi)^{d/2}\, \kappa^{1 - d/2}\, I_{d/2 - 1}(\kappa)

which overflows or underflows where the integral does not.
"""

from __future__ import annotations

from functools import cache
from math import lgamma, log, pi

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.dist_math import check_parameters
from pymc.distributions.distribution import (
    Distribution,
    SymbolicRandomVariable,
    _support_point,
)
from pymc.distributions.shape_utils import implicit_size_from_params, rv_size_is_none
from pymc.distributions.transforms import _default_transform
from pymc.logprob.abstract import _logprob
from pymc.logprob.transforms import Transform
from pymc.pytensorf import normalize_rng_param
from pytensor.tensor.random.utils import normalize_size_param

from pm_statmech.distributions.constants import check_constant, is_finite, is_not_negative
from pm_statmech.distributions.family_variables import of_kind
from pm_statmech.errors import FamilyError
from pm_statmech.exponential_family import Family
from pm_statmech.supports import Interval

# how far from 1 the length of a vector may be
ROUNDING = 1e-4


def log_area(d: int) -> float:
    """Log of the surface of the unit sphere in d dimensions."""
    return log(2.0) + 0.5 * d * log(pi) - lgamma(0.5 * d)


def of_angles(statistic, d: int):
    """Log base of angles and a list with their statistic, as a family takes them."""
    return {
        "statistics": lambda angle: [statistic(angle)],
        "log_base": (lambda angle: (d - 2) * pt.log(pt.sin(angle))) if d > 2 else None,
    }


class ZonalRV(SymbolicRandomVariable):
    """Axis and concentration; a subclass holds the family of the angle from the axis."""

    extended_signature = "[rng],[size],(d),()->[rng],(d)"
    family: Family
    dimension: int

    @classmethod
    def angle(cls, kappa, u):
        """The angle from the axis at uniform numbers u (...)."""
        raise NotImplementedError

    @classmethod
    def log_partition(cls, mu, kappa):
        """Log of the integral of e^(-kappa T) over angles T, the largest density being 1."""
        return cls.family.log_partition(-kappa[..., None])

    @classmethod
    def relative_error(cls, mu, kappa):
        """Estimated relative error of that (...)."""
        return cls.family.relative_error(-kappa[..., None])

    @classmethod
    def engine_said(cls) -> str:
        """How the integral is computed."""
        return f"{cls.family.engine_said} over the angle"

    @classmethod
    def engine_bytes(cls) -> int:
        """What that takes of memory, at most."""
        return cls.family.engine_bytes

    @classmethod
    def rv_op(cls, mu, kappa, *, size=None, rng=None):
        """An angle, and a direction that is even on the sphere about the axis."""
        mu, kappa = (pt.cast(pt.as_tensor_variable(p), "float64") for p in (mu, kappa))
        rng, size = normalize_rng_param(rng), normalize_size_param(size)
        outer = size
        if rv_size_is_none(size):
            outer = implicit_size_from_params(mu, kappa, ndims_params=[1, 0])
        after_u, u = pt.random.uniform(size=outer, rng=rng, return_next_rng=True)
        shape = pt.concatenate([pt.as_tensor(outer, ndim=1, dtype="int64"), [cls.dimension]])
        next_rng, z = pt.random.normal(size=shape, rng=after_u, return_next_rng=True)
        axis = unit(mu)
        across = unit(z - pt.sum(z * axis, axis=-1, keepdims=True) * axis)
        angle = cls.angle(kappa, u)[..., None]
        drawn = pt.cos(angle) * axis + pt.sin(angle) * across
        return cls(inputs=[rng, size, mu, kappa], outputs=[next_rng, drawn])(rng, size, mu, kappa)


def unit(x):
    """Vectors (..., d) of length 1 in the same directions."""
    return x / pt.sqrt(pt.sum(pt.sqr(x), axis=-1, keepdims=True))


class VonMisesFisherRV(ZonalRV):
    """About a direction."""

    name = "von_mises_fisher"
    _print_name = ("VonMisesFisher", "\\operatorname{VonMisesFisher}")

    @classmethod
    def angle(cls, kappa, u):
        """From 0 to pi."""
        return cls.family.engine.inverse(cls.family.weights(-kappa[..., None]), u)

    @classmethod
    def log_p(cls, lean, kappa):
        """Log density at x . mu (...)."""
        of_angle = cls.family.log_partition(-kappa[..., None])
        return kappa * (lean - 1.0) - of_angle - log_area(cls.dimension - 1)


class WatsonRV(ZonalRV):
    """About an axis without direction."""

    name = "watson"
    _print_name = ("Watson", "\\operatorname{Watson}")

    @classmethod
    def angle(cls, kappa, u):
        """From 0 to pi, by symmetry from one half."""
        half = cls.family.engine.inverse(cls.family.weights(-kappa[..., None]), (2.0 * u) % 1.0)
        return pt.switch(pt.lt(u, 0.5), half, np.pi - half)

    @classmethod
    def log_p(cls, lean, kappa):
        """Log density at x . mu (...)."""
        of_angle = np.log(2.0) + cls.family.log_partition(-kappa[..., None])
        return kappa * (pt.sqr(lean) - 1.0) - of_angle - log_area(cls.dimension - 1)


@cache
def von_mises_fisher_rv(d: int) -> type[VonMisesFisherRV]:
    """Class of the variables in d dimensions."""
    statistic = lambda angle: 2.0 * pt.sqr(pt.sin(0.5 * angle))  # noqa: E731
    family = Family(support=Interval(0, np.pi), **of_angles(statistic, d))
    return type("VonMisesFisherRV", (VonMisesFisherRV,), {"family": family, "dimension": d})


@cache
def watson_rv(d: int) -> type[WatsonRV]:
    """Class of the variables in d dimensions."""
    statistic = lambda angle: pt.sqr(pt.sin(angle))  # noqa: E731
    family = Family(support=Interval(0, 0.5 * np.pi), **of_angles(statistic, d))
    return type("WatsonRV", (WatsonRV,), {"family": family, "dimension": d})


def check_axis(mu):
    """Axis (..., d) in float64, and d.

    Raises
    ------
    FamilyError
        a number of entries that is not known or below 2, or a constant of length 0.
    """
    mu = check_constant("mu", mu, is_finite, "an axis is finite")
    d = mu.type.shape[-1] if mu.type.ndim > 0 else None
    if d is None or d < 2:
        raise FamilyError(
            f"mu has the shape {mu.type.shape}: its last axis runs over the d >= 2 coordinates of "
            "a vector, and must be known."
        )
    check_constant(
        "mu", mu, lambda v: np.sum(v**2, axis=-1) > 0, "an axis of length 0 has no direction"
    )
    return mu, d


class VonMisesFisher(Distribution):
    r"""Unit vectors about a mean direction.

    .. math:: p(x) = \frac{e^{\kappa\, \mu \cdot x}}{Z}, \qquad
              Z = (2 \pi)^{d/2}\, \kappa^{1 - d/2}\, I_{d/2 - 1}(\kappa), \qquad |x| = 1

    with respect to the surface measure; kappa = 0 is even.

    Parameters
    ----------
    mu
        (..., d) mean direction, of any length but 0; d is 2 or more.
    kappa
        (...) concentration, >= 0.

    Raises
    ------
    FamilyError
        constants outside their range, or a number of dimensions that is not known.

    Notes
    -----
    Data are unit vectors to 1e-4, and others have probability 0. Draws invert the cumulative
    probability of the angle, which takes no rejection. A latent direction is sampled by its
    stereographic projection, from the pole where the last coordinate is 1.

    Source: Mardia and Jupp (2000), Directional Statistics, section 9.3.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> y = pms.VonMisesFisher.dist(mu=[0.0, 0.0, 1.0], kappa=0.0)
    >>> round(float(pm.logp(y, [1.0, 0.0, 0.0]).eval(mode="FAST_COMPILE") + np.log(4 * np.pi)), 6)
    0.0
    """

    rv_type = VonMisesFisherRV
    rv_op = staticmethod(of_kind)

    @classmethod
    def dist(cls, mu, kappa, **kwargs):
        """Return the variable without a model."""
        mu, d = check_axis(mu)
        kappa = check_constant("kappa", kappa, is_not_negative, "it is finite and not negative")
        return super().dist([mu, kappa], kind=von_mises_fisher_rv(d), **kwargs)


class Watson(Distribution):
    r"""Axes: unit vectors of which x and -x are the same.

    .. math:: p(x) = \frac{e^{\kappa (\mu \cdot x)^2}}{Z}, \qquad
              Z = \frac{2 \pi^{d/2}}{\Gamma(d/2)}\, {}_1F_1(\tfrac12, \tfrac{d}{2}, \kappa),
              \qquad |x| = 1

    with respect to the surface measure. kappa > 0 lies about the axis, kappa < 0 about the
    equator.

    Parameters
    ----------
    mu
        (..., d) axis, of any length but 0; d is 2 or more.
    kappa
        (...) concentration, of any sign.

    Raises
    ------
    FamilyError
        constants that are not finite, or a number of dimensions that is not known.

    Notes
    -----
    See `VonMisesFisher` on data, draws and latent axes.

    Source: Mardia and Jupp (2000), Directional Statistics, section 9.4.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> y = pms.Watson.dist(mu=[0.0, 0.0, 1.0], kappa=5.0)
    >>> [round(float(pm.logp(y, x).eval(mode="FAST_COMPILE")), 6) for x in ([0, 0, 1], [0, 0, -1])]
    [-0.374314, -0.374314]
    """

    rv_type = WatsonRV
    rv_op = staticmethod(of_kind)

    @classmethod
    def dist(cls, mu, kappa, **kwargs):
        """Return the variable without a model."""
        mu, d = check_axis(mu)
        kappa = check_constant("kappa", kappa, is_finite, "it must be finite")
        return super().dist([mu, kappa], kind=watson_rv(d), **kwargs)


@_logprob.register(ZonalRV)
def _zonal_logp(op, values, rng, size, mu, kappa, **kwargs):
    [x] = values
    lean = pt.sum(x * unit(mu), axis=-1)
    off = pt.abs(pt.sum(pt.sqr(x), axis=-1) - 1.0)
    log_p = pt.switch(pt.le(off, 2.0 * ROUNDING), op.log_p(lean, kappa), -np.inf)
    if isinstance(op, VonMisesFisherRV):
        return check_parameters(log_p, kappa >= 0, msg="kappa >= 0")
    return log_p


@_support_point.register(ZonalRV)
def _zonal_support_point(op, rv, rng, size, mu, kappa):
    # off the pole of the projection
    point = unit(unit(mu) + 0.1 * np.arange(op.dimension, 0, -1) / op.dimension)
    point = point + 0.0 * kappa[..., None]
    return point if rv_size_is_none(size) else pt.broadcast_to(point, rv.shape)


class Stereographic(Transform):
    r"""A unit vector (..., d) by its projection (..., d - 1) from the pole x_d = 1.

    .. math:: z_i = \frac{x_i}{1 - x_d}, \qquad
              dS = \left(\frac{2}{1 + |z|^2}\right)^{d-1} dz
    """

    name = "stereographic"
    ndim_supp = 1

    def forward(self, value, *inputs):
        """Projection of unit vectors."""
        return value[..., :-1] / (1.0 - value[..., -1:])

    def backward(self, value, *inputs):
        """Unit vectors of projections."""
        square = pt.sum(pt.sqr(value), axis=-1, keepdims=True)
        return pt.concatenate([2.0 * value, square - 1.0], axis=-1) / (square + 1.0)

    def log_jac_det(self, value, *inputs):
        """Log of the surface for every volume of projections."""
        square = pt.sum(pt.sqr(value), axis=-1)
        return value.shape[-1] * (np.log(2.0) - pt.log1p(square))


@_default_transform.register(ZonalRV)
def _zonal_transform(op, rv):
    return Stereographic()
