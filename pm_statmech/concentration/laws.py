r"""Laws of one number as large deviations see them: by the cumulant, and where it is finite.

.. math:: K(t) = \log E[e^{tX}], \qquad E_t[X] = K'(t), \qquad \operatorname{Var}_t(X) = K''(t)

with :math:`dP_t/dP = e^{tX - K(t)}`, the exponential tilt. Parameters may be random variables of a
model; everything is a PyTensor expression of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.graph.traversal import ancestors
from pytensor.scalar.basic import Cast
from pytensor.tensor import TensorConstant
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.random.op import RandomVariable

from pm_statmech.errors import CumulantError

INF = np.inf
# graphs that are evaluated once: rewriting takes longer than they do
PLAIN = Mode(linker="py", optimizer=RewriteDatabaseQuery(include=[]))
# of a difference of points, in units of the span of their lattice
WHOLE = 1e-6


@dataclass(frozen=True, eq=False)
class Law:
    """What is known of one number's law.

    Parameters
    ----------
    name
        of the distribution; cumulant : t -> K(t).
    domain
        ends of the t where K is finite; support : ends of the values.
    edges
        the rate at both ends of the support, -log P(X = end), inf where X has no atom there.
    tilt
        x -> t with K'(t) = x, where it is in closed form.
    span
        between neighbouring values, 0 for a density; origin : one of the values, by default the
        lower end of the support.
    parameters
        that everything depends on.
    """

    name: str
    cumulant: Callable
    domain: tuple[Any, Any]
    support: tuple[Any, Any]
    edges: tuple[Any, Any] = (INF, INF)
    tilt: Callable | None = None
    span: float = 0.0
    origin: Any = None
    parameters: tuple = ()


@dataclass(frozen=True, eq=False)
class Atoms:
    r"""A number that is one of a few points.

    .. math:: K(t) = \log \sum_i p_i e^{t x_i}

    Parameters
    ----------
    points
        (S,) distinct values x.
    probabilities
        (S,) p, at least 0, which are normalised; by default equal.

    Raises
    ------
    CumulantError
        fewer than two points of positive probability, or numbers that are not probabilities.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> die = pms.concentration.Atoms([1, 2, 3, 4, 5, 6])
    >>> round(float(pms.concentration.rate_function(die, 4.5).value.eval()), 6)
    0.178178
    """

    points: np.ndarray
    probabilities: np.ndarray

    def __init__(self, points, probabilities=None) -> None:
        x = np.asarray(points, dtype=np.float64)
        p = np.ones_like(x) if probabilities is None else np.asarray(probabilities, np.float64)
        if x.ndim != 1 or p.shape != x.shape or not np.all(np.isfinite(x)):
            raise CumulantError(
                f"points of shape {x.shape} with probabilities {p.shape}: both are vectors of one "
                "length, and points are finite."
            )
        if not (np.all(p >= 0) and 0 < np.sum(p) < np.inf):
            raise CumulantError(f"{p} are not probabilities: some are negative, or all are 0.")
        x, where = _distinct(x[p > 0])
        if len(x) < 2:
            raise CumulantError("one point alone has positive probability: nothing deviates.")
        p = np.bincount(where, weights=p[p > 0])
        object.__setattr__(self, "points", x)
        object.__setattr__(self, "probabilities", p / np.sum(p))

    @property
    def mean(self) -> float:
        """E[X]."""
        return float(self.probabilities @ self.points)


@dataclass(frozen=True, eq=False)
class CompoundSum:
    r"""The sum of a random number of independent claims.

    .. math:: S = \sum_{i=1}^N X_i, \qquad K_S(t) = K_N(K_X(t))

    Parameters
    ----------
    count
        N, an unnamed PyMC distribution of integers, such as ``pm.Poisson.dist(7)``.
    claim
        X, an unnamed PyMC distribution, or `Atoms`.

    Examples
    --------
    >>> import pymc as pm, pm_statmech as pms
    >>> year = pms.concentration.CompoundSum(pm.Poisson.dist(7.0), pm.Gamma.dist(2.0, 0.05))
    >>> round(float(pms.concentration.cumulant(year, 0.01).eval()), 6)
    3.9375
    """

    count: Any
    claim: Any


def _distinct(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values that differ by more than rounding, and which of them each one is."""
    values, where = np.unique(x, return_inverse=True)
    apart = np.diff(values) > 1e-12 * max(float(np.max(np.abs(values))), float(np.ptp(values)))
    group = np.append(0, np.cumsum(apart))
    return values[np.append(True, apart)], group[where]


def span_of(points: np.ndarray) -> float:
    """Largest d of which all differences of points are whole multiples, 0 where there is none."""
    gaps = np.diff(np.sort(points))
    wide = float(np.sum(gaps))
    d = float(gaps[0])
    for gap in gaps[1:]:
        a, b = max(d, float(gap)), min(d, float(gap))
        while b > WHOLE * d and b > 1e-9 * wide:
            a, b = b, a - b * np.round(a / b)
            b = abs(b)
        d = a
    k = (points - points[0]) / d
    return d if d > 1e-9 * wide and np.all(np.abs(k - np.round(k)) < WHOLE) else 0.0


def in_double(value):
    """A parameter in double precision, with the arithmetic that PyMC did to it in single."""
    value = pt.as_tensor_variable(value)
    if isinstance(value, TensorConstant):
        return pt.constant(np.asarray(value.data, dtype=np.float64))
    node = value.owner
    if node is not None and isinstance(node.op, Elemwise):
        inputs = [in_double(v) for v in node.inputs]
        is_cast = isinstance(node.op.scalar_op, Cast)
        return inputs[0] if is_cast else node.op.make_node(*inputs).outputs[0]
    return pt.cast(value, "float64")


def is_known(*values) -> bool:
    """Whether tensors hang on constants alone, so that they have a value now."""
    found = ancestors([v for v in values if isinstance(v, Variable)])
    return all(
        isinstance(v, Constant) if v.owner is None else not isinstance(v.owner.op, RandomVariable)
        for v in found
    )


def numbers_of(*values) -> list[np.ndarray]:
    """Values of tensors that hang on constants alone.

    Raises
    ------
    CumulantError
        parameters that are random or not given.
    """
    if not is_known(*values):
        raise CumulantError(
            "parameters are random variables or inputs of a graph, where this takes numbers: give "
            "a distribution of constants, such as pm.Gamma.dist(2, 1)."
        )
    return [
        np.asarray(v.eval(mode=PLAIN) if isinstance(v, Variable) else v, dtype=np.float64)
        for v in values
    ]
