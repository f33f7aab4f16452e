r"""The distribution of largest entropy with given moments.

.. math:: \max_p\; -\int p \log \frac{p}{h} \quad\text{with}\quad E_p[T] = \mu
          \qquad\Longrightarrow\qquad p(x) = h(x)\, e^{\eta^* \cdot T(x) - A(\eta^*)}

It is the member of the exponential family that has these moments. Among all distributions that
have them it assumes least: the log loss it guarantees is the smallest in the worst case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.distribution import Distribution
from pytensor.graph.basic import Variable

from pm_statmech.distributions.exponential import rv_type_of
from pm_statmech.distributions.family_variables import FamilyRV, of_kind
from pm_statmech.errors import FamilyError
from pm_statmech.exponential_family import Family
from pm_statmech.statistics import Statistic
from pm_statmech.supports import Interval, Support


class Listed:
    """Statistics (..., ) as one function x -> list; equal where they are the same."""

    def __init__(self, statistics: Sequence[Statistic]) -> None:
        self.statistics = tuple(statistics)

    def __call__(self, x) -> list:
        """All of them."""
        return [statistic(x) for statistic in self.statistics]


class Base:
    """Log density of a distribution that PyMC knows."""

    def __init__(self, variable) -> None:
        self.variable = variable

    def __call__(self, x):
        """At x."""
        return pm.logp(self.variable, x)


def family_of(statistics, support: Support, base) -> Family:
    """Family of a list of statistics or a function, relative to a base.

    Raises
    ------
    FamilyError
        something else.
    """
    if not callable(statistics):
        wrong = [s for s in statistics if not isinstance(s, Statistic)]
        if wrong:
            raise FamilyError(
                f"statistics has {wrong[0]!r}: it is a function x -> list of tensors, or a list of "
                "pms.statistics such as [pms.statistics.mean(), pms.statistics.log()]."
            )
        if isinstance(support, Interval):
            points = {b for s in statistics for b in s.breakpoints} | set(support.breakpoints)
            inside = sorted(b for b in points if support.low < b < support.high)
            support = replace(support, breakpoints=tuple(inside))
        statistics = Listed(statistics)
    if isinstance(base, Variable):
        base = Base(base)
    return Family(statistics, support, base)


class MaxEnt(Distribution):
    r"""The distribution of largest entropy with given moments, or of least relative entropy.

    .. math:: p = \arg\max_p\; -\int p \log \frac{p}{h} \quad\text{with}\quad E_p[T] = \mu

    Parameters
    ----------
    statistics
        a list of `pms.statistics`, or x -> a list of tensors, whose K entries are T(x).
    moments
        (..., K) their means mu; random ones are allowed, and gradients flow through.
    support
        `Interval`, `Integers`, or a finite support of integers.
    base
        what entropy is relative to: an unnamed PyMC distribution without parameters that are
        random, such as ``pm.Gamma.dist(2, 1)``, or x -> log h(x); by default h = 1.
    slack
        (..., K) or a number: how far the moments may be from mu, by default 0.
    variance
        (..., K) or a number: of mu as a measurement; entropy is then weighed against
        sum (E[T] - mu)^2 / 2 variance. By default 0.

    Raises
    ------
    FamilyError
        constant moments that no distribution has, or none in the family; statistics of which
        some follow from others; see `Family.fit_moments`.

    Notes
    -----
    Random moments that no member of the family has give a log density of NaN. The natural
    parameters are found by Newton's steps, and their derivatives by the implicit function theorem.

    Sources: Jaynes (1957), Phys. Rev. 106, 620-630; Grunwald and Dawid (2004), Ann. Statist. 32(4),
    1367-1433, for the guarantee; Dudik, Phillips, Schapire (2007), J. Mach. Learn. Res. 8,
    1217-1260, for slack and variance.

    Examples
    --------
    An expert says: on average 11, and between 5 and 20 four times out of five.

    >>> import pymc as pm, pm_statmech as pms
    >>> said = pms.quantile_constraints({0.1: 5, 0.9: 20})
    >>> with pm.Model() as model:
    ...     x = pms.MaxEnt(
    ...         "x", statistics=[pms.statistics.mean(), *said.statistics],
    ...         moments=[11.0, *said.moments], support=pms.Interval(0, float("inf")))
    >>> round(float(pm.logcdf(x, 20.0).exp().eval(mode="FAST_COMPILE")), 6)
    0.9
    """

    rv_type = FamilyRV
    rv_op = staticmethod(of_kind)

    @classmethod
    def dist(
        cls,
        *,
        statistics: Callable | Sequence[Statistic],
        moments,
        support: Support,
        base=None,
        slack=None,
        variance=None,
        **kwargs,
    ):
        """Return the variable without a model."""
        family = family_of(statistics, support, base)
        if not isinstance(moments, Variable):
            if isinstance(moments, Sequence) and any(isinstance(m, Variable) for m in moments):
                moments = pt.stack([pt.cast(pt.as_tensor_variable(m), "float64") for m in moments])
            else:
                moments = np.asarray(moments, dtype=np.float64)
        eta = family.fit_moments(moments, slack=slack, variance=variance)
        return super().dist([eta], kind=rv_type_of(family), **kwargs)
