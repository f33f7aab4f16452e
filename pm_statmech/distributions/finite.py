r"""Exponential families on finite supports as PyMC distributions.

.. math:: \log p(x; \eta) = \eta \cdot T(x) + \log h(x) - A(\eta)

A(eta) is part of the log density, so that eta may be random: without it a sampler would follow
the energy wherever it leads.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakValueDictionary

import pytensor.tensor as pt
from pymc.distributions.distribution import Discrete, SymbolicRandomVariable, _support_point
from pymc.distributions.shape_utils import implicit_size_from_params, rv_size_is_none
from pymc.logprob.abstract import _logcdf, _logprob
from pymc.pytensorf import normalize_rng_param
from pytensor.tensor.random.utils import normalize_size_param

from pm_statmech.errors import SupportError
from pm_statmech.exponential_family import Family
from pm_statmech.supports import Support


class ExponentialFamilyRV(SymbolicRandomVariable):
    """Draws of a family by exact enumeration; each family has a subclass, which holds it."""

    name = "exponential_family"
    _print_name = ("ExponentialFamily", "\\operatorname{ExponentialFamily}")
    family: Family

    @classmethod
    def rv_op(cls, eta, *, size=None, rng=None):
        """Draw a state by the inverse of its cumulative probabilities."""
        eta = pt.cast(pt.as_tensor_variable(eta), "float64")
        rng = normalize_rng_param(rng)
        size = normalize_size_param(size)
        outer = size
        if rv_size_is_none(size):
            outer = implicit_size_from_params(eta, ndims_params=[1])
        family = cls.family
        logits = family.table.exponents(family.weights(eta))
        probabilities = pt.exp(logits - pt.max(logits, axis=-1, keepdims=True))
        cumulative = pt.cumsum(probabilities, axis=-1)
        next_rng, u = pt.random.uniform(size=outer, rng=rng, return_next_rng=True)
        below = pt.lt(cumulative, (u * cumulative[..., -1])[..., None])
        index = pt.sum(below, axis=-1)
        states = pt.constant(family.table.states.astype(family.support.dtype))
        return cls(inputs=[rng, size, eta], outputs=[next_rng, states[index]])(rng, size, eta)


_subclasses: WeakValueDictionary = WeakValueDictionary()


def rv_type_of(family: Family) -> type[ExponentialFamilyRV]:
    """Class of the variables of a family; one a family, so that equal graphs are merged."""
    found = _subclasses.get(family)
    if found is None:
        core = "n" if family.support.shape else ""
        found = type(
            "ExponentialFamilyRV",
            (ExponentialFamilyRV,),
            {"family": family, "extended_signature": f"[rng],[size],(k)->[rng],({core})"},
        )
        _subclasses[family] = found
    return found


@_logprob.register(ExponentialFamilyRV)
def _family_logp(op, values, rng, size, eta, **kwargs):
    [value] = values
    return op.family.log_prob(value, eta)


@_logcdf.register(ExponentialFamilyRV)
def _family_logcdf(op, value, rng, size, eta, **kwargs):
    family = op.family
    if family.support.shape:
        raise NotImplementedError("vectors have no order, and so no cumulative probability.")
    exponents = family.table.exponents(family.weights(eta))
    below = pt.le(pt.constant(family.table.states), pt.cast(value, "float64")[..., None])
    log_total = pt.logsumexp(exponents, axis=-1)
    return pt.logsumexp(pt.switch(below, exponents, -pt.inf), axis=-1) - log_total


@_support_point.register(ExponentialFamilyRV)
def _family_support_point(op, rv, rng, size, eta):
    family = op.family
    exponents = family.table.exponents(family.weights(eta))
    states = pt.constant(family.table.states.astype(family.support.dtype))
    likeliest = states[pt.argmax(exponents, axis=-1)]
    return likeliest if rv_size_is_none(size) else pt.broadcast_to(likeliest, rv.shape)


class ExponentialFamily(Discrete):
    r"""A distribution by its sufficient statistics, with its exact normaliser.

    .. math:: p(x; \eta) = h(x)\, e^{\eta \cdot T(x) - A(\eta)}, \qquad
              A(\eta) = \log \sum_x h(x)\, e^{\eta \cdot T(x)}

    ``ExponentialFamily(name, eta, ...)`` registers a variable; ``ExponentialFamily.dist(eta,
    ...)`` gives one without a name.

    Parameters
    ----------
    eta
        (..., K) natural parameters; the last axis runs over the statistics.
    statistics
        x -> a list of tensors, whose entries are T(x).
    support
        `Finite`, `Integers`, `Spins`, `Binary` or `Product`, of integers.
    log_base
        x -> log h(x), by default 0.

    Raises
    ------
    FamilyError
        see `Family`; eta with another number of entries than there are statistics.
    SupportError
        states that are not integers.

    Examples
    --------
    >>> import numpy as np, pymc as pm, pm_statmech as pms
    >>> counts = np.array([0, 2, 1, 0, 3, 1])
    >>> with pm.Model() as model:
    ...     eta = pm.Normal("eta", 0, 1, shape=2)
    ...     y = pms.ExponentialFamily(
    ...         "y", eta, statistics=lambda x: [x, x**2], support=pms.Integers(0, 5),
    ...         observed=counts)
    >>> bool(np.isfinite(model.compile_logp()(model.initial_point())))
    True
    """

    rv_type = ExponentialFamilyRV

    @staticmethod
    def rv_op(eta, *, kind, size=None, rng=None):
        """Apply the variable's own kind to eta."""
        return kind.rv_op(eta, size=size, rng=rng)

    @classmethod
    def dist(
        cls,
        eta,
        *,
        statistics: Callable,
        support: Support,
        log_base: Callable | None = None,
        **kwargs,
    ):
        """Return the variable without a model."""
        if support.dtype != "int64":
            raise SupportError(
                "the states are not integers: let x be the number of a state, and the statistics "
                "look its value up."
            )
        family = Family(statistics, support, log_base)
        eta = pt.cast(pt.as_tensor_variable(eta), "float64")
        family.weights(eta)
        return super().dist([eta], kind=rv_type_of(family), **kwargs)
