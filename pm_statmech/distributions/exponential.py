r"""Exponential families as PyMC distributions.

.. math:: \log p(x; \eta) = \eta \cdot T(x) + \log h(x) - A(\eta)

A(eta) is part of the log density, so that eta may be random: without it a sampler would follow
the energy wherever it leads.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakValueDictionary

import pytensor.tensor as pt
from pymc.distributions.distribution import Distribution
from pytensor.tensor import TensorConstant

from pm_statmech.distributions.constants import check_natural_parameters
from pm_statmech.distributions.family_variables import FamilyRV, kind_of, of_kind
from pm_statmech.errors import SupportError
from pm_statmech.exponential_family import Family
from pm_statmech.supports import Interval, Support

_subclasses: WeakValueDictionary = WeakValueDictionary()


def rv_type_of(family: Family) -> type[FamilyRV]:
    """Class of the variables of a family; one a family, so that equal graphs are merged.

    Raises
    ------
    SupportError
        a finite list of states that are not integers.
    """
    if family.support.dtype != "int64" and not isinstance(family.support, Interval):
        raise SupportError(
            "the states are not integers: let x be the number of a state, and the statistics "
            "look its value up."
        )
    found = _subclasses.get(family)
    if found is None:
        core = "n" if family.support.shape else ""
        base = kind_of(family.support)
        signature = f"[rng],[size],(k)->[rng],({core})"
        found = type(base.__name__, (base,), {"family": family, "extended_signature": signature})
        _subclasses[family] = found
    return found


class ExponentialFamily(Distribution):
    r"""A distribution by its sufficient statistics, with its normaliser.

    .. math:: p(x; \eta) = h(x)\, e^{\eta \cdot T(x) - A(\eta)}, \qquad
              A(\eta) = \log \sum_x h(x)\, e^{\eta \cdot T(x)}

    with an integral over x in an interval.

    ``ExponentialFamily(name, eta, ...)`` registers a variable; ``ExponentialFamily.dist(eta,
    ...)`` gives one without a name.

    Parameters
    ----------
    eta
        (..., K) natural parameters; the last axis runs over the statistics.
    statistics
        x -> a list of tensors, whose entries are T(x).
    support
        `Interval`, or `Integers`, `Finite`, `Spins`, `Binary` or `Product` of integers.
    log_base
        x -> log h(x), by default 0.

    Raises
    ------
    FamilyError
        see `Family`; eta with another number of entries than there are statistics; constants that
        give no distribution, or one that the engine cannot integrate.
    SupportError
        a finite list of states that are not integers.

    Notes
    -----
    Draws are exact on finite supports. On infinite ones they invert the cumulative probabilities
    of the engine: of the terms of a sum, or of the quadrature's cells, of which the relative error
    is below 1e-6. Among more than a thousand integers that count, draws may interpolate between
    points some 30 to a standard deviation. Random eta that give no distribution have log density
    -inf, and those that the engine cannot sum or integrate NaN, which samplers report as
    divergences; drawing from them gives NaN, or an error for integers.

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

    rv_type = FamilyRV
    rv_op = staticmethod(of_kind)

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
        family = Family(statistics, support, log_base)
        kind = rv_type_of(family)
        eta = pt.cast(pt.as_tensor_variable(eta), "float64")
        family.weights(eta)
        if isinstance(eta, TensorConstant):
            check_natural_parameters(family, eta)
        return super().dist([eta], kind=kind, **kwargs)
