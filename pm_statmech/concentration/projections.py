r"""Information projections on a list of states: the distribution that constraints make of a base.

.. math:: p^* = \arg\min_{p \in E}\; \mathrm{KL}(p, b), \qquad
          p^*_i = b_i\, e^{\lambda \cdot T_i - A(\lambda)}

with E a set of distributions given by means of statistics. For every p in E

.. math:: \mathrm{KL}(p, b) \ge \mathrm{KL}(p, p^*) + \mathrm{KL}(p^*, b)

with equality where all constraints are equalities: the Pythagorean identity.

Sources: Csiszar (1975), I-divergence geometry of probability distributions and minimization
problems, Ann. Probab. 3, 146-158; Csiszar and Matus (2003), IEEE Trans. Inf. Theory 49, 1474-1490,
for the edge; Dudik, Phillips, Schapire (2007), J. Mach. Learn. Res. 8, 1217-1260, for slack and
penalties.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from pm_statmech.concentration.constraints import Constraints, constraints_of, face_of
from pm_statmech.concentration.divergences import probabilities_of, relative_entropy
from pm_statmech.concentration.dual import least_dual
from pm_statmech.errors import ProjectionError
from pm_statmech.log_partition.table import evaluator
from pm_statmech.supports import Finite

# log of p over base, below which a linear programme says whether p may be positive at all
NEARLY_NONE = -20.0


class Pythagorean(NamedTuple):
    """KL(p, base), KL(p, p*), KL(p*, base), and the first less the others."""

    total: float
    to_projection: float
    of_projection: float
    residual: float


@dataclass(frozen=True, eq=False)
class Projection:
    """A projection on a list of states.

    Parameters
    ----------
    points
        (S, ...) states; statistics : (S, K) T; base : (S,) b, of sum 1.
    probabilities
        (S,) p*; natural_parameters : (K,) lambda, in 1 / the unit of T; log_partition : A.
    mean_statistics
        (K,) E[T] under p*; relative_entropy : what is least, in nats.
    support
        (S,) states with positive probability. Where means lie on the edge of what is possible
        these are fewer than the base's, and lambda is that of the family on them: seen from the
        whole base it is infinite.
    """

    points: np.ndarray
    statistics: np.ndarray = field(repr=False)
    base: np.ndarray = field(repr=False)
    probabilities: np.ndarray
    natural_parameters: np.ndarray
    log_partition: float
    mean_statistics: np.ndarray
    relative_entropy: float
    support: np.ndarray = field(repr=False)

    def pythagorean(self, p) -> Pythagorean:
        """The identity for other probabilities (S,) that meet the constraints.

        Examples
        --------
        >>> die = i_projection([1, 2, 3], statistics=[[1.0], [2.0], [3.0]], moments=[2.5])
        >>> abs(die.pythagorean([0.1, 0.3, 0.6]).residual) < 1e-12
        True
        """
        total = float(relative_entropy(p, self.base))
        to_it = float(relative_entropy(p, self.probabilities))
        of_it = float(relative_entropy(self.probabilities, self.base))
        return Pythagorean(total, to_it, of_it, total - to_it - of_it)

    def to_pymc(self, name: str | None = None, **kwargs):
        """A PyMC variable with these probabilities, an `ExponentialFamily` at lambda.

        Registered in the model where it has a name; ``observed=``, ``dims=`` and ``shape=`` are
        those of any distribution.

        Raises
        ------
        ProjectionError
            points that are not different integers: a variable over their numbers is
            ``pm.Categorical(name, projection.probabilities)``, and ``points[i]`` looks them up.

        Examples
        --------
        >>> import pymc as pm
        >>> faces = [1, 2, 3, 4, 5, 6]
        >>> die = i_projection(faces, statistics=lambda x: [x], moments=[4.5])
        >>> thrown = die.to_pymc()
        >>> round(float(pm.logp(thrown, 6).exp().eval(mode="FAST_COMPILE")), 6)
        0.347494
        """
        # the mathematics does not need PyMC
        from pm_statmech.distributions.projected import variable_of

        return variable_of(self, name, **kwargs)


def statistics_at(points, statistics: Callable | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States (S, ...) and their statistics (S, K), of a table or of a function as `Family` takes.

    Raises
    ------
    ProjectionError
        a table of another length, or a statistic that is not finite.
    """
    points = np.asarray(points)
    if callable(statistics):
        # points may be there more than once, unlike the states of a support
        T = evaluator(statistics, None, Finite(np.unique(points, axis=0)))(points)[0]
    else:
        T = np.asarray(statistics, dtype=np.float64)
    if T.ndim != 2 or len(T) != len(points) or T.shape[1] == 0:
        raise ProjectionError(
            f"statistics of shape {T.shape} for {len(points)} points: it is a table (S, K), or a "
            "function x -> list of tensors, such as lambda x: [x, x**2]."
        )
    if not np.all(np.isfinite(T)):
        s, k = np.argwhere(~np.isfinite(T))[0]
        raise ProjectionError(f"statistic {k} is {T[s, k]} at the point {points[s]}.")
    return points, T


def _weights(weights, n: int, name: str) -> np.ndarray:
    b = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if b.shape != (n,):
        raise ProjectionError(f"{name} of shape {b.shape} for {n} points: one each.")
    return probabilities_of(b)


def _is_far(T, base, eta) -> bool:
    """Whether a state has lost so much that it may be none: on an edge it never loses all."""
    exponents = T @ eta
    log_z = logsumexp(exponents, b=base)
    return bool(np.min(exponents) - log_z < NEARLY_NONE)


def projected(points, T, base, constraints: Constraints) -> Projection:
    """The projection; on a face where the means lie on the edge."""
    support = base > 0
    eta = least_dual(T[support], np.log(base[support]), constraints)
    if eta is None or _is_far(T[support], base[support], eta):
        support = face_of(T, base, constraints)
        eta = least_dual(T[support], np.log(base[support]), constraints)
    if eta is None:
        raise ProjectionError(
            "the dual did not converge, though some distribution meets the constraints: the means "
            "are within rounding of the edge of what is possible, or the base is within rounding "
            "of 0 where they need it. Scale the statistics to a like range, or move the means "
            "inwards."
        )
    exponents = T[support] @ eta + np.log(base[support])
    highest = np.max(exponents)
    weights = np.exp(exponents - highest)
    p = np.zeros(len(base))
    p[support] = weights / np.sum(weights)
    log_partition = float(highest + np.log(np.sum(weights)))
    least = float(relative_entropy(p, base))
    return Projection(points, T, base, p, eta, log_partition, p @ T, least, support)


def i_projection(
    points,
    weights=None,
    *,
    statistics: Callable | np.ndarray,
    moments=None,
    lower=None,
    upper=None,
    slack=None,
    variance=None,
) -> Projection:
    r"""The distribution nearest to a base, in relative entropy, among those with given means.

    .. math:: p^* = \arg\min_p \mathrm{KL}(p, b) + \sum_k \frac{(E_p[T_k] - \mu_k)^2}{2 v_k}
              \quad\text{with}\quad l_k \le E_p[T_k] \le u_k

    the second term only where variances are given. It is Gibbs' conditional law of one of many
    draws of b whose empirical means lie there, and the distribution of largest entropy relative
    to b.

    Parameters
    ----------
    points
        (S,) or (S, d) states x.
    weights
        (S,) base b, at least 0, which is normalised; by default equal.
    statistics
        x -> a list of tensors, as `Family` takes, or a table (S, K).
    moments
        (K,) mu; with `slack` (K,) or a number, E[T] may differ by as much; with `variance` v (K,)
        or a number, of mu as a measurement, the penalty is in place of the constraint.
    lower, upper
        (K,) l and u in place of moments; -inf and inf where there is none.

    Raises
    ------
    ProjectionError
        constraints that no distribution on the points meets, or none without a state where the
        base is 0; statistics that are not finite.

    Examples
    --------
    Boltzmann's die: a mean of 4.5 instead of 3.5.

    >>> die = i_projection([1, 2, 3, 4, 5, 6], statistics=lambda x: [x], moments=[4.5])
    >>> die.probabilities.round(4).tolist()
    [0.0544, 0.0788, 0.1142, 0.1654, 0.2398, 0.3475]
    >>> round(die.relative_entropy, 6), round(float(die.natural_parameters[0]), 6)
    (0.178178, 0.371049)
    """
    points, T = statistics_at(points, statistics)
    base = _weights(weights, len(points), "weights")
    return projected(
        points, T, base, constraints_of(T.shape[1], moments, lower, upper, slack, variance)
    )


def m_projection(
    points, weights=None, *, statistics: Callable | np.ndarray, base=None
) -> Projection:
    r"""The member of an exponential family nearest to a distribution: maximum likelihood.

    .. math:: q^* = \arg\min_{q \in F} \mathrm{KL}(p, q), \qquad
              F = \{b_i\, e^{\lambda \cdot T_i - A(\lambda)}\}, \qquad E_{q^*}[T] = E_p[T]

    Its `relative_entropy` is KL(p, q*). It is also the projection of b on the distributions with
    the means of p, so that likelihood and entropy find the same member.

    Parameters
    ----------
    points
        (S,) or (S, d) states x.
    weights
        (S,) p, such as counts of observations.
    statistics
        x -> a list of tensors, or a table (S, K).
    base
        (S,) b; by default equal.

    Raises
    ------
    ProjectionError
        means on the edge of what is possible, where no member is nearest; p positive where b is 0.

    Examples
    --------
    >>> found = m_projection([0, 1, 2], [3, 1, 1], statistics=lambda x: [x])
    >>> round(float(found.mean_statistics[0]), 6), round(found.relative_entropy, 6)
    (0.6, 0.024473)
    """
    points, T = statistics_at(points, statistics)
    p, b = _weights(weights, len(points), "weights"), _weights(base, len(points), "base")
    if np.any((p > 0) & (b == 0)):
        at = points[np.argmax((p > 0) & (b == 0))]
        raise ProjectionError(f"the base is 0 at the point {at}, where weights are not.")
    mean = p @ T
    found = projected(points, T, b, constraints_of(T.shape[1], mean, None, None, None, None))
    if np.any(found.support != (b > 0)):
        raise ProjectionError(
            f"the means {mean} lie on the edge of what is possible: the likelihood rises without "
            "end along the family, and no member is nearest. Leave the states out that have no "
            "weight, or fewer statistics."
        )
    return Projection(
        found.points, T, b, found.probabilities, found.natural_parameters, found.log_partition,
        found.mean_statistics, float(relative_entropy(p, found.probabilities)), found.support,
    )  # fmt: skip
