r"""Random variables of exponential families: how they are drawn, and their densities.

On a list or a window of states a draw inverts the cumulative probabilities. On an interval the
quadrature's rule gives the probability of every cell between nodes,

.. math:: \int_{t_j}^{t_{j+1}} g \approx \frac{h}{1440} \left(11 g_{j-2} - 93 g_{j-1} + 802 g_j
          + 802 g_{j+1} - 93 g_{j+2} + 11 g_{j+3}\right)

and a cubic with the density at both ends is inverted within the cell.
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
from pytensor.tensor.random.utils import normalize_size_param

from pm_statmech.exponential_family import Family
from pm_statmech.log_partition.lattice import Lattice
from pm_statmech.log_partition.quadrature import Ends, Quadrature

CELL = np.array([11.0, -93.0, 802.0, 802.0, -93.0, 11.0]) / 1440.0
NEWTON_STEPS = 5


class FamilyRV(SymbolicRandomVariable):
    """A variable of a family; each family has a subclass, which holds it."""

    name = "exponential_family"
    _print_name = ("ExponentialFamily", "\\operatorname{ExponentialFamily}")
    family: Family

    @classmethod
    def rv_op(cls, eta, *, size=None, rng=None):
        """Draw by a uniform number a variable."""
        eta = pt.cast(pt.as_tensor_variable(eta), "float64")
        rng = normalize_rng_param(rng)
        size = normalize_size_param(size)
        outer = size
        if rv_size_is_none(size):
            outer = implicit_size_from_params(eta, ndims_params=[1])
        next_rng, u = pt.random.uniform(size=outer, rng=rng, return_next_rng=True)
        drawn = cls.by_inversion(cls.family.weights(eta), u)
        return cls(inputs=[rng, size, eta], outputs=[next_rng, drawn])(rng, size, eta)

    @classmethod
    def by_inversion(cls, weights, u):
        """The draw at uniform numbers u (...), of weights (..., K + 1)."""
        raise NotImplementedError


class CountedRV(FamilyRV):
    """On a list of states, or the integers."""

    @classmethod
    def states(cls, weights):
        """States (..., S, *shape) and their exponents (..., S) at weights (..., K + 1)."""
        family = cls.family
        if isinstance(family.engine, Lattice):
            window = family.engine.window(weights)
            return window.states, window.log_terms
        states = pt.constant(family.table.states.astype(family.support.dtype))
        return states, family.table.exponents(weights)

    @classmethod
    def by_inversion(cls, weights, u):
        """The first state at which the cumulative probability exceeds u."""
        states, exponents = cls.states(weights)
        probabilities = pt.exp(exponents - pt.max(exponents, axis=-1, keepdims=True))
        cumulative = pt.cumsum(probabilities, axis=-1)
        wanted = u * cumulative[..., -1]
        index = pt.sum(pt.lt(cumulative, wanted[..., None]), axis=-1)
        if not isinstance(cls.family.engine, Lattice):
            return states[index]
        # where a point stands for several integers, the rest of u says for which
        step = cls.family.engine.window(weights).step
        above = (_picked(cumulative, index) - wanted) / _picked(probabilities, index)
        drawn = _picked(states, index) + pt.switch(pt.gt(step, 1.0), step * (0.5 - above), 0.0)
        return pt.cast(pt.round(drawn), cls.family.support.dtype)


def _picked(values, index):
    """Entries values[..., index] along the last axis, of index (...) that may have more axes."""
    wide = pt.broadcast_to(values, (*tuple(index.shape), values.shape[-1]))
    return pt.take_along_axis(wide, index[..., None], axis=-1)[..., 0]


class IntervalRV(FamilyRV):
    """On an interval."""

    family: Family

    @classmethod
    def engine(cls) -> Quadrature:
        """The family's quadrature."""
        assert isinstance(cls.family.engine, Quadrature)
        return cls.family.engine

    @classmethod
    def by_inversion(cls, weights, u):
        """Where the cumulative probability is u."""
        engine = cls.engine()
        rule = engine.rule(weights)
        density = pt.exp(rule.log_terms - rule.log_total[..., None])
        n = density.type.shape[-1]
        none = pt.zeros_like(density[..., :2])
        padded = pt.concatenate([none, density, none], axis=-1)
        cells = sum(c * padded[..., i : i + n - 1] for i, c in enumerate(CELL))
        # far out, where nothing is, the rule may be below 0
        cells = pt.maximum(cells, 0.0)
        below = pt.concatenate([pt.zeros_like(cells[..., :1]), pt.cumsum(cells, axis=-1)], axis=-1)
        wanted = u * below[..., -1]
        index = pt.minimum(pt.sum(pt.le(below[..., 1:], wanted[..., None]), axis=-1), n - 2)
        start, left, right, cell, t = (
            _picked(values, i)
            for values, i in (
                (below, index), (density, index), (density, index + 1), (cells, index),
                (rule.t, index),
            )
        )  # fmt: skip
        rest = wanted - start
        square, cube = 3 * cell - 2 * left - right, left + right - 2 * cell
        s = pt.clip(rest / pt.maximum(cell, 1e-300), 0.0, 1.0)
        for _ in range(NEWTON_STEPS):
            slope = left + s * (2 * square + 3 * cube * s)
            s = s - (s * (left + s * (square + cube * s)) - rest) / pt.maximum(slope, 1e-300)
            s = pt.clip(s, 0.0, 1.0)
        ends = Ends.of(engine.low, engine.high)
        return ends.point((t + rule.step * s)[..., None])[..., 0]


@_logprob.register(FamilyRV)
def _family_logp(op, values, rng, size, eta, **kwargs):
    [value] = values
    return op.family.log_prob(value, eta)


@_logcdf.register(CountedRV)
def _counted_logcdf(op, value, rng, size, eta, **kwargs):
    if op.family.support.shape:
        raise NotImplementedError("vectors have no order, and so no cumulative probability.")
    states, exponents = op.states(op.family.weights(eta))
    value = pt.cast(value, "float64")
    log_total = pt.logsumexp(exponents, axis=-1)
    if isinstance(op.family.engine, Lattice):
        step = op.family.engine.window(op.family.weights(eta)).step[..., None]
        # a point stands for the integers up to half a step around it
        share = pt.clip((pt.floor(value)[..., None] + 0.5 - states) / step + 0.5, 0.0, 1.0)
        return pt.logsumexp(exponents + pt.log(share), axis=-1) - log_total
    below = pt.le(states, value[..., None])
    return pt.logsumexp(pt.switch(below, exponents, -np.inf), axis=-1) - log_total


@_logcdf.register(IntervalRV)
def _interval_logcdf(op, value, rng, size, eta, **kwargs):
    engine, weights = op.engine(), op.family.weights(eta)
    value = pt.cast(value, "float64")
    inside = pt.gt(value, engine.low) & pt.lt(value, engine.high)
    at = pt.switch(inside, value, float(op.family.support.example))
    log_mass = engine.log_mass_below(weights, at) - engine.log_partition(weights)
    outside = pt.switch(pt.le(value, engine.low), -np.inf, 0.0)
    # rounding may take it above the whole
    return pt.switch(inside, pt.minimum(log_mass, 0.0), outside)


@_support_point.register(CountedRV)
def _counted_support_point(op, rv, rng, size, eta):
    states, exponents = op.states(op.family.weights(eta))
    likeliest = pt.argmax(exponents, axis=-1)
    is_lattice = isinstance(op.family.engine, Lattice)
    point = _picked(states, likeliest) if is_lattice else states[likeliest]
    point = pt.cast(pt.round(point), op.family.support.dtype) if is_lattice else point
    return point if rv_size_is_none(size) else pt.broadcast_to(point, rv.shape)


@_support_point.register(IntervalRV)
def _interval_support_point(op, rv, rng, size, eta):
    # the median: a density may be infinite at an end, and a mean may not exist
    weights = op.family.weights(eta)
    point = op.by_inversion(weights, 0.5 * pt.ones_like(weights[..., 0]))
    return point if rv_size_is_none(size) else pt.broadcast_to(point, rv.shape)


@_default_transform.register(IntervalRV)
def _interval_transform(op, rv):
    low, high = op.family.support.low, op.family.support.high
    if np.isinf(low) and np.isinf(high):
        return None
    if low == 0.0 and np.isinf(high):
        return transforms.log
    return transforms.Interval(
        lower=None if np.isinf(low) else low, upper=None if np.isinf(high) else high
    )
