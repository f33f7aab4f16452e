r"""Exponential families with any sufficient statistics, on lists, integers or an interval.

.. math:: p(x; \eta) = h(x)\, e^{\eta \cdot T(x) - A(\eta)}, \qquad
          A(\eta) = \log \sum_x h(x)\, e^{\eta \cdot T(x)}

with an integral over x in an interval.

.. math:: \nabla A(\eta) = E_\eta[T], \qquad \nabla^2 A(\eta) = \operatorname{Cov}_\eta(T)

The last is the Fisher information. Everything is a PyTensor expression of eta and differentiates;
sums over finite supports are exact, the others know their error.

Source: Wainwright and Jordan (2008), Graphical models, exponential families, and variational
inference, Found. Trends Mach. Learn. 1(1-2), chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import jacobian
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor import TensorConstant, TensorVariable
from pytensor.tensor.blockwise import Blockwise

from pm_statmech.errors import FamilyError, SupportError
from pm_statmech.log_partition import lattice, quadrature
from pm_statmech.log_partition.inversion import Inversion, find_starts
from pm_statmech.log_partition.matching import MomentMatch, check_identified, check_inside
from pm_statmech.log_partition.moments import OneNumber
from pm_statmech.log_partition.pairwise import Pairwise, find_pairwise
from pm_statmech.log_partition.table import (
    Table,
    check_statistics,
    evaluator,
    over_states,
    statistics_and_base,
    tabulate,
)
from pm_statmech.supports import FiniteSupport, Integers, Interval, Support

# a table of so many numbers is as fast as the fold, and differentiates to any order
SMALL_TABLE = 2**14


@dataclass(frozen=True)
class Family:
    r"""An exponential family.

    .. math:: p(x; \eta) = h(x)\, e^{\eta \cdot T(x) - A(\eta)}

    Parameters
    ----------
    statistics
        x -> a list of tensors, numbers or not; T(x) is all of their entries, K in number.
    support
        one of `Finite`, `Integers`, `Interval`, `Spins`, `Binary`, `Product`.
    log_base
        x -> log h(x), -inf where h is 0; by default h = 1.

    Raises
    ------
    FamilyError
        statistics that are not a list or not finite; a base that is 0 everywhere; a support of
        more states than an exact engine sums.

    Notes
    -----
    Where A is infinite, `log_partition` is +inf and `log_prob` -inf. Integrals whose estimated
    relative error is above 1e-6, and infinite sums that leave out more than 1e-10, are NaN:
    integrands with kinks at no breakpoint or with far and narrow modes, singularities at an end
    that is not 0, sums of more than a million terms that do not fall off on both sides. See
    `relative_error`.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> die = pms.Family(lambda x: [x], pms.Integers(1, 6))
    >>> round(float(die.mean_statistics([0.0]).eval()[0]), 6)
    3.5
    """

    statistics: Callable
    support: Support
    log_base: Callable | None = None

    @cached_property
    def _evaluate(self) -> Callable:
        return evaluator(self.statistics, self.log_base, self.support)

    @cached_property
    def n_statistics(self) -> int:
        """K."""
        return self._evaluate(self.support.example[None])[0].shape[1]

    @cached_property
    def engine(self) -> Table | Pairwise | OneNumber:
        """How A is computed.

        By a table of all states, the fold of binary entries, a sum over a window of the integers,
        or quadrature.
        """
        if isinstance(self.support, Interval):
            check_statistics(self._evaluate, self.support)
            return self._of_one_number(self.support, quadrature)
        if isinstance(self.support, Integers) and np.isinf(self.support.n_states):
            return self._of_one_number(self.support, lattice)
        n_cells = self.support.n_states * (self.n_statistics + 1)
        if n_cells > SMALL_TABLE:
            found = find_pairwise(self._evaluate, self.support)
            if found is not None:
                return found
        return self.table

    @property
    def engine_said(self) -> str:
        """The same in words."""
        engine = self.engine
        if isinstance(engine, Table):
            return f"table of {len(engine.states)} states"
        if isinstance(engine, Pairwise):
            return f"fold of {engine.fields.shape[1]} binary entries"
        if engine.rule is lattice:
            return "sum over integers"
        pieces = len(engine.breakpoints) + 1
        return "quadrature" + (f" in {pieces} pieces" if pieces > 1 else "")

    @property
    def engine_bytes(self) -> int:
        """Memory of the engine's tables, or of the points of one normaliser at most."""
        engine = self.engine
        if isinstance(engine, Table):
            return engine.states.nbytes + engine.statistics.nbytes
        if isinstance(engine, Pairwise):
            # the fold keeps some vectors over the states of one half of the entries
            return 8 * 16 * 2 ** ((engine.fields.shape[1] + 1) // 2)
        most = lattice.MOST_TERMS if engine.rule is lattice else quadrature.MOST_CELLS
        return 8 * most * (self.n_statistics + 3) * (len(engine.breakpoints) + 1)

    def _of_one_number(self, support: Integers | Interval, rule) -> OneNumber:
        joined, x = self._statistics_of_one
        breakpoints = support.breakpoints if isinstance(support, Interval) else ()
        return OneNumber(joined, x, float(support.low), float(support.high), rule, breakpoints)

    @cached_property
    def table(self) -> Table:
        """All states with their statistics, where they fit."""
        if np.isinf(self.support.n_states):
            raise FamilyError(f"{self.support} cannot be listed, and has no table.")
        finite = cast("FiniteSupport", self.support)
        return tabulate(self._evaluate, finite, self.n_statistics + 1)

    def weights(self, eta):
        """Eta with the power of the base, which is 1, as one more entry (..., K + 1)."""
        eta = pt.cast(pt.as_tensor_variable(eta), "float64")
        if eta.type.ndim < 1:
            raise FamilyError("eta is a number; its last axis runs over the statistics.")
        last = eta.type.shape[-1]
        if last is not None and last != self.n_statistics:
            raise FamilyError(
                f"eta has {last} entries along its last axis, for {self.n_statistics} statistics."
            )
        return pt.concatenate([eta, pt.ones_like(eta[..., :1])], axis=-1)

    @cached_property
    def _statistics_of_one(self):
        """T(x) and log h(x) as the K + 1 entries of a vector, and the state x they are of."""
        x = pt.tensor("x", shape=self.support.shape, dtype="float64")
        return statistics_and_base(self.statistics, self.log_base, self.support, x), x

    def _statistics_at(self, x):
        """T(x) and log h(x), as the K + 1 entries of the last axis."""
        joined, one = self._statistics_of_one
        return over_states(joined, one, pt.cast(x, "float64"))

    def _in_place_of(self, x, inside):
        """Return x where it is inside, and elsewhere a state where all is finite."""
        state = self.table.states[0] if isinstance(self.engine, Table) else self.support.example
        return pt.switch(pt.shape_padright(inside, len(self.support.shape)), x, pt.constant(state))

    def log_partition(self, eta):
        """A(eta) (...) for eta (..., K)."""
        return self.engine.log_partition(self.weights(eta))

    def relative_error(self, eta):
        """Estimated relative error of exp A(eta) (...): 0 where the engine is exact."""
        weights = self.weights(eta)
        if isinstance(self.engine, OneNumber):
            return self.engine.moments(weights)[2]
        return pt.zeros_like(weights[..., 0])

    def log_prob(self, x, eta):
        r"""Log p(x; eta) (...), of x (..., \*shape) and eta (..., K); -inf off the support."""
        x = pt.as_tensor_variable(x)
        weights = self.weights(eta)
        inside = self.support.contains(x)
        if self.log_base is not None:
            inside = inside & pt.gt(
                self._statistics_at(self._in_place_of(x, inside))[..., -1], -np.inf
            )
        # statistics may be infinite where the base is 0, and so would be their gradient
        T = self._statistics_at(self._in_place_of(x, inside))
        exponent = pt.sum(weights * T, axis=-1)
        return pt.switch(inside, exponent - self.engine.log_partition(weights), -pt.inf)

    def energy(self, x, eta):
        r"""-eta . T(x) (...), which beta multiplies; 0 off the support."""
        x = pt.as_tensor_variable(x)
        inside = self.support.contains(x)
        T = self._statistics_at(self._in_place_of(x, inside))[..., :-1]
        exponent = pt.sum(pt.cast(pt.as_tensor_variable(eta), "float64") * T, axis=-1)
        return pt.switch(inside, -exponent, 0.0)

    def _derivatives(self, eta):
        """Gradient of A in (eta, power of the base): E[T] with E[log h] as the last entry."""
        weights = self.weights(eta)
        free = weights.type("weights")
        gradient = pytensor.grad(pt.sum(self.engine.log_partition(free)), free)
        return graph_replace(gradient, {free: weights})

    def mean_statistics(self, eta):
        """E[T] = grad A(eta), (..., K)."""
        return self._derivatives(eta)[..., :-1]

    def covariance(self, eta):
        """Cov(T), the Hessian of A and the Fisher information, (K, K) of one eta (K,)."""
        eta = pt.cast(pt.as_tensor_variable(eta), "float64")
        if eta.type.ndim != 1:
            raise FamilyError("covariance takes one eta (K,); vectorize it for more.")
        free = eta.type("eta")
        gradient = pytensor.grad(self.log_partition(free), free)
        return graph_replace(jacobian(gradient, free, vectorize=True), {free: eta})

    def entropy(self, eta):
        r"""Shannon entropy :math:`A - \eta \cdot E[T] - E[\log h]` in nats, (...)."""
        return self.cross_entropy(eta, eta)

    def cross_entropy(self, eta, other):
        r"""Expected log loss :math:`-E_\eta[\log p(x; \eta')]` of another member, (...)."""
        weights = self.weights(other)
        lean = pt.sum(weights * self._derivatives(eta), axis=-1)
        return self.engine.log_partition(weights) - lean

    def kl(self, eta, other):
        r"""Relative entropy of p_eta to another member in nats, at least 0, (...).

        .. math:: A(\eta') - A(\eta) - (\eta' - \eta) \cdot E_\eta[T]
        """
        return self.cross_entropy(eta, other) - self.entropy(eta)

    def fit_moments(self, mean, *, slack=None, variance=None):
        r"""Natural parameters whose mean statistics are `mean`, (..., K); the inverse of grad A.

        .. math:: \eta^*(\mu) = \arg\max_\eta\; \eta \cdot \mu - A(\eta)
                  - \sum_k \epsilon_k |\eta_k| - \tfrac12 \sum_k v_k \eta_k^2

        It is also the member of the family that maximises entropy relative to the base under
        these means, and the maximum likelihood estimate from data that have them. It
        differentiates by the implicit function theorem.

        Parameters
        ----------
        mean
            (..., K) mu.
        slack
            (..., K) or a number: epsilon, by which means may differ from mu; by default 0.
        variance
            (..., K) or a number: v, of mu as a measurement, so that entropy is weighed against
            sum (E[T] - mu)^2 / 2v; by default 0.

        Raises
        ------
        FamilyError
            means that are numbers and not inside the convex hull of the statistics, or that no
            member has (means that are random give NaN there); statistics of which some follow
            from others; a finite support too large for a table.

        Examples
        --------
        >>> import pm_statmech as pms
        >>> die = pms.Family(lambda x: [x], pms.Integers(1, 6))
        >>> round(float(die.fit_moments([4.5]).eval()[0]), 6)
        0.371049
        """
        mean = pt.cast(pt.as_tensor_variable(mean), "float64")
        self.weights(mean)
        penalties = self._penalty("slack", slack), self._penalty("variance", variance)
        if isinstance(self.engine, OneNumber):
            return self._fit_one_number(self.engine, mean, *penalties)
        T, log_h = self.table.statistics[:, :-1], self.table.statistics[:, -1]
        check_identified(T)
        if isinstance(mean, TensorConstant) and slack is None and variance is None:
            for row in np.reshape(mean.data, (-1, self.n_statistics)):
                check_inside(row, T)
        eta = Blockwise(MomentMatch())(mean, *penalties, pt.constant(T), pt.constant(log_h))
        if all(isinstance(v, TensorConstant) for v in (mean, *penalties)):
            return self._found(mean, cast("TensorVariable", eta))
        return eta

    def _found(self, mean, eta):
        """Natural parameters (..., K) of constants, evaluated; FamilyError where there are none."""
        found = eta.eval(mode="FAST_COMPILE")
        rows = np.broadcast_to(mean.data, found.shape).reshape(-1, self.n_statistics)
        for row, one in zip(rows, found.reshape(-1, self.n_statistics), strict=True):
            if not np.all(np.isfinite(one)):
                raise FamilyError(
                    f"no member of the family on {self.support} was found that has mean statistics "
                    f"{np.array2string(row, precision=6)}. They must be those of some distribution "
                    "(a mean inside the support, E[x^2] above E[x]^2, ...) that is not "
                    "concentrated on a few points; if they are, scale the statistics so that means "
                    "are near 1."
                )
        return pt.constant(found)

    def _penalty(self, name: str, value):
        """Slack or variance (..., K); FamilyError where negative."""
        if not isinstance(value, Variable):
            value = np.asarray(0.0 if value is None else value, dtype=np.float64)
            value = np.broadcast_to(value, (self.n_statistics,)) if value.ndim == 0 else value
        value = pt.cast(pt.as_tensor_variable(value), "float64")
        if isinstance(value, TensorConstant) and not np.all(value.data >= 0):
            raise FamilyError(f"{name} = {value.data}: it is not negative.")
        return value if value.type.ndim > 0 else value * pt.ones(self.n_statistics)

    def _fit_one_number(self, engine: OneNumber, mean, slack, variance):
        """Natural parameters (..., K) of means (..., K) on an infinite support."""
        starts, means = find_starts(engine, self.n_statistics)
        invert = Blockwise(Inversion(engine))
        given = mean, pt.constant(starts), pt.constant(means), slack, variance
        eta = cast("TensorVariable", invert(*given))
        are_constant = all(isinstance(v, TensorConstant) for v in (mean, slack, variance))
        return self._found(mean, eta) if are_constant else eta

    def conjugate(self, mean):
        r"""Convex conjugate :math:`A^*(\mu) = \max_\eta \eta \cdot \mu - A(\eta)`, (...).

        Minus the largest entropy relative to the base under these means.
        """
        mean = pt.cast(pt.as_tensor_variable(mean), "float64")
        eta = self.fit_moments(mean)
        return pt.sum(eta * mean, axis=-1) - self.log_partition(eta)

    def fit(self, data):
        r"""Maximum likelihood estimate (K,) from observations (N, \*shape).

        Raises
        ------
        SupportError
            an observation that is not a state of the support.
        FamilyError
            data whose mean statistics lie on the edge of the hull, such as a count that never
            varies: the likelihood then has no maximum. See `fit_moments`.
        """
        data = np.asarray(data, dtype=np.float64)
        inside = self.support.contains(pt.constant(data)).eval(mode="FAST_COMPILE")
        if data.ndim != 1 + len(self.support.shape) or not np.all(inside):
            wrong = data[np.argmin(inside)] if np.ndim(inside) == 1 else data
            raise SupportError(f"{wrong} is not a state of {self.support}.")
        mean = np.mean(self._evaluate(data)[0], axis=0)
        return self.fit_moments(mean).eval(mode="FAST_COMPILE")
