r"""Random variables of exponential families: how they are drawn, and their densities.

A draw inverts the cumulative probabilities, of a list of states, of the terms of a sum, or of the
cells of a quadrature. A cumulative probability on an infinite support is the normaliser of what
lies below, over that of all:

.. math:: \log P(x \le b) = A_{(-\infty, b]}(\eta) - A(\eta)
"""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pymc.distributions import transforms
from pymc.distributions.distribution import SymbolicRandomVariable, _support_point
from pymc.distributions.shape_utils import implicit_size_from_params, rv_size_is_none
from pymc.distributions.transforms import _default_transform
from pymc.logprob.abstract import _logcdf, _logprob
from pymc.pytensorf import normalize_rng_param
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.random.utils import normalize_size_param

from pm_statmech.errors import FamilyError
from pm_statmech.exponential_family import Family
from pm_statmech.log_partition.moments import OneNumber
from pm_statmech.supports import Interval, Support

NO_DRAW = CheckAndRaise(
    FamilyError,
    "no draw: at some natural parameters the sum over integers is infinite, or has not converged.",
)


class FamilyRV(SymbolicRandomVariable):
    """A variable of a family.

    A subclass holds the family and says which natural parameters its own parameters stand for.
    """

    name = "exponential_family"
    _print_name = ("ExponentialFamily", "\\operatorname{ExponentialFamily}")
    family: Family

    @classmethod
    def natural(cls, *params):
        """Natural parameters (..., K) of the variable's own."""
        return params[0]

    @classmethod
    def weights(cls, *params):
        """Natural parameters with the power of the base (..., K + 1)."""
        return cls.family.weights(cls.natural(*params))

    @classmethod
    def support(cls) -> Support:
        """Where it lives, less its origin."""
        return cls.family.support

    @classmethod
    def log_p(cls, value, *params):
        """Log density of a value less its origin (...)."""
        return cls.family.log_prob(value, cls.natural(*params))

    @classmethod
    def log_partition(cls, *params):
        """Log of the normaliser (...)."""
        return cls.family.log_partition(cls.natural(*params))

    @classmethod
    def relative_error(cls, *params):
        """Estimated relative error of the normaliser (...)."""
        return cls.family.relative_error(cls.natural(*params))

    @classmethod
    def engine_said(cls) -> str:
        """How that is computed."""
        return cls.family.engine_said

    @classmethod
    def engine_bytes(cls) -> int:
        """What that takes of memory, at most."""
        return cls.family.engine_bytes

    @classmethod
    def origin(cls, *params):
        """What is added to a member of the family (...)."""
        return None

    @classmethod
    def checked(cls, log_p, *params):
        """log_p, with PyMC's checks of the parameters' ranges."""
        return log_p

    @classmethod
    def rv_op(cls, *params, size=None, rng=None):
        """Draw by a uniform number a variable."""
        params = [pt.cast(pt.as_tensor_variable(p), "float64") for p in params]
        rng = normalize_rng_param(rng)
        size = normalize_size_param(size)
        outer = size
        if rv_size_is_none(size):
            n_dims = [1] if "(k)" in cls.extended_signature else [0] * len(params)
            outer = implicit_size_from_params(*params, ndims_params=n_dims)
        next_rng, u = pt.random.uniform(size=outer, rng=rng, return_next_rng=True)
        drawn = cls.by_inversion(cls.weights(*params), u)
        origin = cls.origin(*params)
        drawn = drawn if origin is None else drawn + pt.cast(origin, drawn.dtype)
        return cls(inputs=[rng, size, *params], outputs=[next_rng, drawn])(rng, size, *params)

    @classmethod
    def by_inversion(cls, weights, u):
        """The draw at uniform numbers u (...), of weights (..., K + 1)."""
        raise NotImplementedError


class ListedRV(FamilyRV):
    """On a list of states."""

    @classmethod
    def states(cls, weights):
        """States (S, *shape) and their exponents (..., S) at weights (..., K + 1)."""
        table = cls.family.table
        states = pt.constant(table.states.astype(cls.family.support.dtype))
        return states, table.exponents(weights)

    @classmethod
    def by_inversion(cls, weights, u):
        """The first state at which the cumulative probability exceeds u."""
        states, exponents = cls.states(weights)
        probabilities = pt.exp(exponents - pt.max(exponents, axis=-1, keepdims=True))
        cumulative = pt.cumsum(probabilities, axis=-1)
        wanted = u * cumulative[..., -1]
        return states[pt.sum(pt.lt(cumulative, wanted[..., None]), axis=-1)]


class NumberRV(FamilyRV):
    """A number, of an infinite support."""

    @classmethod
    def engine(cls) -> OneNumber:
        """The family's sum or integral."""
        assert isinstance(cls.family.engine, OneNumber)
        return cls.family.engine

    @classmethod
    def by_inversion(cls, weights, u):
        """Where the cumulative probability is u."""
        return cls.engine().inverse(weights, u)


class CountRV(NumberRV):
    """An integer."""

    @classmethod
    def by_inversion(cls, weights, u):
        """The first integer at which the cumulative probability exceeds u."""
        drawn = cls.engine().inverse(weights, u)
        drawn = NO_DRAW(drawn, pt.all(pt.isfinite(drawn)))
        return pt.cast(drawn, cls.support().dtype)


class IntervalRV(NumberRV):
    """On an interval."""


def of_kind(*params, kind, size=None, rng=None):
    """A variable of a class that is an argument, as a family or a number of dimensions has one."""
    return kind.rv_op(*params, size=size, rng=rng)


def kind_of(support: Support) -> type[FamilyRV]:
    """How the variables on a support are drawn."""
    if isinstance(support, Interval):
        return IntervalRV
    return ListedRV if np.isfinite(support.n_states) else CountRV


def from_origin(op, value, params):
    """Value less the origin."""
    origin = op.origin(*params)
    return value if origin is None else value - pt.cast(origin, value.dtype)


@_logprob.register(FamilyRV)
def _family_logp(op, values, rng, size, *params, **kwargs):
    [value] = values
    return op.checked(op.log_p(from_origin(op, value, params), *params), *params)


@_logcdf.register(ListedRV)
def _listed_logcdf(op, value, rng, size, *params, **kwargs):
    if op.family.support.shape:
        raise NotImplementedError("vectors have no order, and so no cumulative probability.")
    states, exponents = op.states(op.weights(*params))
    below = pt.le(states, pt.cast(value, "float64")[..., None])
    log_total = pt.logsumexp(exponents, axis=-1)
    return pt.logsumexp(pt.switch(below, exponents, -np.inf), axis=-1) - log_total


@_logcdf.register(NumberRV)
def _number_logcdf(op, value, rng, size, *params, **kwargs):
    engine, weights = op.engine(), op.weights(*params)
    value = from_origin(op, pt.cast(value, "float64"), params)
    value = value if isinstance(op, IntervalRV) else pt.floor(value)
    above_low = pt.gt(value, engine.low) if isinstance(op, IntervalRV) else pt.ge(value, engine.low)
    inside = above_low & pt.lt(value, engine.high)
    at = pt.switch(inside, value, float(op.support().example))
    log_mass = engine.moments(weights, high=at)[0] - engine.log_partition(weights)
    outside = pt.switch(above_low, 0.0, -np.inf)
    # rounding may take it above the whole
    return op.checked(pt.switch(inside, pt.minimum(log_mass, 0.0), outside), *params)


@_support_point.register(ListedRV)
def _listed_support_point(op, rv, rng, size, *params):
    states, exponents = op.states(op.weights(*params))
    point = states[pt.argmax(exponents, axis=-1)]
    return point if rv_size_is_none(size) else pt.broadcast_to(point, rv.shape)


@_support_point.register(NumberRV)
def _number_support_point(op, rv, rng, size, *params):
    # the median: a density may be infinite at an end, and a mean may not exist
    weights = op.weights(*params)
    point = op.by_inversion(weights, 0.5 * pt.ones_like(weights[..., 0]))
    origin = op.origin(*params)
    point = point if origin is None else point + pt.cast(origin, point.dtype)
    return point if rv_size_is_none(size) else pt.broadcast_to(point, rv.shape)


@_default_transform.register(IntervalRV)
def _interval_transform(op, rv):
    low, high = op.support().low, op.support().high
    if np.isinf(low) and np.isinf(high):
        return None
    if low == 0.0 and np.isinf(high):
        return transforms.log
    return transforms.Interval(
        lower=None if np.isinf(low) else low, upper=None if np.isinf(high) else high
    )
