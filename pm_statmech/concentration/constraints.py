"""Constraints on means of statistics, and whether any distribution meets them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

from pm_statmech.errors import ProjectionError

# of the share of a face that a linear programme gives a state
POSITIVE = 1e-7


class Constraints(NamedTuple):
    """Ends (K,) between which means lie, and variances (K,) of those that are measurements."""

    lower: np.ndarray
    upper: np.ndarray
    variance: np.ndarray


def constraints_of(n: int, moments, lower, upper, slack, variance) -> Constraints:
    """Constraints on n means, as `i_projection` takes them.

    Raises
    ------
    ProjectionError
        nothing to constrain, or both kinds; a lower end above its upper; negative slack.
    """

    def filled(value, name: str, default: float) -> np.ndarray:
        if value is None:
            return np.full(n, default)
        found = np.asarray(value, dtype=np.float64)
        if found.ndim == 0:
            found = np.full(n, float(found))
        if found.shape != (n,) or np.any(np.isnan(found)):
            raise ProjectionError(f"{name} = {value} for {n} statistics: one number each.")
        return found

    epsilon, v = filled(slack, "slack", 0.0), filled(variance, "variance", 0.0)
    if np.any(epsilon < 0) or np.any(v < 0):
        raise ProjectionError("slack and variance are not negative.")
    if moments is not None:
        if lower is not None or upper is not None:
            raise ProjectionError("moments say that means are equal: give lower and upper alone.")
        mean = filled(moments, "moments", 0.0)
        if not np.all(np.isfinite(mean)):
            raise ProjectionError(f"moments = {mean} are not finite.")
        return Constraints(mean - epsilon, mean + epsilon, v)
    if lower is None and upper is None:
        raise ProjectionError("no constraint: give moments, or lower and upper ends of means.")
    if slack is not None or variance is not None:
        raise ProjectionError("slack and variance are of moments; ends of means have none.")
    low, high = filled(lower, "lower", -np.inf), filled(upper, "upper", np.inf)
    if np.any(low > high):
        k = int(np.argmax(low > high))
        raise ProjectionError(f"statistic {k}: its lower end {low[k]} is above {high[k]}.")
    return Constraints(low, high, v)


def homogeneous_rows(T: np.ndarray, constraints: Constraints) -> tuple[np.ndarray, np.ndarray]:
    """Rows (m, S) of what is at most 0, and of what is 0, for weights w >= 0 of any sum.

    Means of measurements are no constraints.
    """
    hard = constraints.variance == 0
    low, high, T = constraints.lower[hard], constraints.upper[hard], T[:, hard]
    spread = np.ptp(T, axis=0)
    # a statistic that is the same everywhere but for rounding is as large as it is
    scale = np.maximum(spread, 1e-6 * np.max(np.abs(T), axis=0) + 1e-300)
    below, equal = [], []
    for k in range(T.shape[1]):
        if low[k] == high[k]:
            equal.append((T[:, k] - low[k]) / scale[k])
            continue
        if np.isfinite(low[k]):
            below.append((low[k] - T[:, k]) / scale[k])
        if np.isfinite(high[k]):
            below.append((T[:, k] - high[k]) / scale[k])
    return np.reshape(below, (-1, len(T))), np.reshape(equal, (-1, len(T)))


def largest_mean(values, T: np.ndarray, constraints: Constraints) -> tuple[float, np.ndarray]:
    """Largest mean of values (S,) among distributions that meet constraints, and where it is.

    Raises
    ------
    ProjectionError
        constraints that none meets.
    """
    below, equal = homogeneous_rows(T, constraints)
    found = linprog(
        -np.asarray(values), below, np.zeros(len(below)), np.vstack([np.ones(len(T)), equal]),
        np.append(1.0, np.zeros(len(equal))), bounds=(0, None), method="highs",
    )  # fmt: skip
    if found.status != 0:
        raise ProjectionError(outside_message(T, constraints))
    return -float(found.fun), found.x


def _positive_states(T: np.ndarray, constraints: Constraints) -> np.ndarray:
    """States (S,) that are positive in some distribution that meets constraints.

    Weights are u + s with s <= 1, and the sum of s is largest where all are positive that can be.
    """
    n = len(T)
    below, equal = (np.hstack([rows, rows]) for rows in homogeneous_rows(T, constraints))
    found = linprog(
        np.repeat([0.0, -1.0], n), below, np.zeros(len(below)), equal, np.zeros(len(equal)),
        bounds=[(0, None)] * n + [(0, 1)] * n, method="highs",
    )  # fmt: skip
    return found.x[n:] > POSITIVE if found.status == 0 else np.zeros(n, dtype=bool)


def outside_message(T: np.ndarray, constraints: Constraints) -> str:
    """What is wrong with constraints that no distribution meets."""
    low, high = (np.array2string(v, precision=6) for v in (T.min(axis=0), T.max(axis=0)))
    lower, upper = (np.array2string(v, precision=6) for v in constraints[:2])
    ends = lower if lower == upper else f"{lower} to {upper}"
    return (
        f"no distribution on these points has means {ends}: they lie outside the convex hull "
        f"of the statistics, which range from {low} to {high}."
    )


def face_of(T: np.ndarray, base: np.ndarray, constraints: Constraints) -> np.ndarray:
    """States (S,) that are positive in some distribution that meets constraints and has base > 0.

    Raises
    ------
    ProjectionError
        there is no such distribution.
    """
    there = base > 0
    face = np.zeros(len(base), dtype=bool)
    face[there] = _positive_states(T[there], constraints)
    if np.any(face):
        return face
    if not np.all(there) and np.any(_positive_states(T, constraints)):
        missing = np.flatnonzero(~there)[:5].tolist()
        raise ProjectionError(
            f"the base is 0 at states that these means need: at points number {missing} it is 0, "
            "and without them no distribution meets the constraints. The relative entropy is "
            "infinite; give those points some weight."
        )
    raise ProjectionError(outside_message(T, constraints))
