r"""Thermodynamic length, and the path between two members of a family that is shortest.

.. math:: L = \int_0^1 \sqrt{\dot\eta \cdot \nabla^2 A(\eta)\, \dot\eta}\; ds, \qquad
          \ddot\eta = -\tfrac12 \left(\nabla^2 A\right)^{-1} \nabla^3 A[\dot\eta, \dot\eta]

The dissipation of n steps of equal length along a path is near L^2 / 2n, and least along the
geodesic of Fisher's metric.

Sources: Crooks (2007), Phys. Rev. Lett. 99, 100602; Sivak and Crooks (2012), Phys. Rev. Lett. 108,
190602; Amari (2016), Information Geometry and Its Applications, chapter 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from scipy.integrate import quad, solve_bvp
from scipy.optimize import brentq

from pm_statmech.errors import FamilyError
from pm_statmech.exponential_family import Family
from pm_statmech.log_partition.table import Table


class Geodesic(NamedTuple):
    """Natural parameters (steps + 1, K) at equal distances along the shortest path; its length."""

    path: np.ndarray
    length: float


def length_between(family: Family, start, end) -> float:
    r"""Thermodynamic length of the straight path between two natural parameters.

    .. math:: \int_0^1 \sqrt{\Delta \cdot \nabla^2 A(\eta_0 + s \Delta)\, \Delta}\; ds

    Parameters
    ----------
    family
        a `Family`; start, end : (K,) natural parameters.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> spring = pms.Family(lambda x: [-(x**2) / 2], pms.Interval(float("-inf"), float("inf")))
    >>> round(length_between(spring, [1.0], [10.0]), 6)
    1.628174
    """
    speed = _speed(family, np.asarray(start, np.float64), np.asarray(end, np.float64))
    return _distance(speed, 0.0, 1.0)


def _speed(family: Family, first: np.ndarray, last: np.ndarray) -> Callable[[float], float]:
    """Length per s along the straight path eta = first + s (last - first)."""
    gap = last - first
    s = pt.dscalar("s")
    direction = pt.constant(gap)
    eta = pt.constant(first) + s * direction
    slope: Any = pytensor.grad(family.log_partition(eta), s)
    square = pytensor.function([s], pytensor.grad(slope, s), mode="FAST_COMPILE")
    return lambda v: float(np.sqrt(max(float(square(v)), 0.0)))


def _distance(speed: Callable[[float], float], begin: float, end: float) -> float:
    return float(quad(speed, begin, end, epsabs=0, epsrel=1e-11)[0]) if begin != end else 0.0


def _second_and_third(family: Family) -> Callable:
    """Function (eta (K,), v (K,)) -> Cov(T) (K, K) and the third cumulants along v twice (K,)."""
    if isinstance(family.engine, Table):
        T, log_base = family.table.statistics[:, :-1], family.table.statistics[:, -1]

        def from_table(eta, v):
            exponents = T @ eta + log_base
            p = np.exp(exponents - np.max(exponents))
            p /= np.sum(p)
            centred = T - p @ T
            return (centred.T * p) @ centred, (p * (centred @ v) ** 2) @ centred

        return from_table
    eta, velocity = pt.dvector("eta"), pt.dvector("velocity")
    gradient = pytensor.grad(family.log_partition(eta), eta)
    along = pytensor.grad(pt.dot(gradient, velocity), eta)
    twice = pytensor.grad(pt.dot(along, velocity), eta)
    outputs: Any = [family.covariance(eta), twice]
    return pytensor.function([eta, velocity], outputs, mode="FAST_COMPILE")


def geodesic(family: Family, start, end, *, steps: int = 16) -> Geodesic:
    r"""The shortest path of Fisher's metric between two members of a family.

    Parameters
    ----------
    family
        a `Family` whose A has third derivatives, as those on lists of states have.
    start, end
        (K,) natural parameters; steps : of equal length, into which the path is cut.

    Raises
    ------
    FamilyError
        a path that was not found, as between members that are very far from each other.

    Examples
    --------
    Of two dice that are loaded in their mean:

    >>> import pm_statmech as pms
    >>> die = pms.Family(lambda x: [x], pms.Integers(1, 6))
    >>> found = geodesic(die, [0.0], [1.0], steps=4)
    >>> round(found.length, 6), found.path[:, 0].round(4).tolist()
    (1.366503, [0.0, 0.2025, 0.421, 0.6759, 1.0])
    """
    first, last = (np.asarray(v, dtype=np.float64) for v in (start, end))
    n = len(first)
    if n == 1:
        # there is one way only, at another pace
        speed = _speed(family, first, last)
        length = _distance(speed, 0.0, 1.0)
        at = [0.0]
        for _ in range(steps - 1):
            begin = at[-1]
            at.append(
                float(
                    brentq(lambda v, b=begin: _distance(speed, b, v) - length / steps, begin, 1.0)
                )
            )
        share = np.append(at, 1.0)[:, None]
        return Geodesic((1 - share) * first + share * last, length)
    derivatives = _second_and_third(family)
    metric, _ = derivatives(first, last - first)
    if np.linalg.matrix_rank(metric) < n:
        raise FamilyError(
            "some statistics follow from the others: leave those out, or lengths are 0."
        )

    def motion(s, state):
        out = np.empty_like(state)
        for i, (here, speed) in enumerate(zip(state[:n].T, state[n:].T, strict=True)):
            out[:n, i] = speed
            metric, third = derivatives(here, speed)
            out[n:, i] = -0.5 * np.linalg.solve(metric, third)
        return out

    def ends(a, b):
        return np.concatenate([a[:n] - first, b[:n] - last])

    s = np.linspace(0.0, 1.0, max(steps + 1, 9))
    guess = np.vstack(
        [
            first[:, None] + (last - first)[:, None] * s,
            np.repeat((last - first)[:, None], len(s), 1),
        ]
    )
    found = solve_bvp(motion, ends, s, guess, tol=1e-9, max_nodes=20_000)
    if not found.success:
        raise FamilyError(
            f"the geodesic was not found: {found.message} Go by way of a point between."
        )
    # the speed is the same everywhere
    path = found.sol(np.linspace(0.0, 1.0, steps + 1))[:n].T
    path[0], path[-1] = first, last
    begin = found.sol(0.0)[n:]
    return Geodesic(path, float(np.sqrt(begin @ derivatives(first, begin)[0] @ begin)))
