r"""Iterative proportional fitting, and alternating projections in general.

.. math:: p \leftarrow p\; \frac{m_A}{\sum_{\bar A} p}

for one margin A after another: each is the projection on the tables that have it, and their cycle
converges to the projection of the first table on those that have all.

Sources: Deming and Stephan (1940), Ann. Math. Statist. 11, 427-444; Csiszar (1975), Ann. Probab.
3, 146-158, theorem 3.2; Dykstra (1985), Ann. Probab. 13, 975-984, for inequalities; Fienberg
(1970), Ann. Math. Statist. 41, 907-917.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pm_statmech.concentration.constraints import Constraints, constraints_of
from pm_statmech.concentration.divergences import probabilities_of, relative_entropy
from pm_statmech.concentration.projections import projected, statistics_at
from pm_statmech.errors import ConvergenceWarning, ProjectionError

# sweeps without a hundredth of progress, after which fitting gives up
STALLED = 200


class Fitted(NamedTuple):
    """A table with given margins.

    `residual` is the largest difference of a margin from its target, relative to the total;
    `relative_entropy` that of the table to the first one, both divided by their totals.
    """

    table: np.ndarray
    residual: float
    sweeps: int
    converged: bool
    relative_entropy: float


class Alternated(NamedTuple):
    """Probabilities (S,) after cycles of projections, the farthest of its moves, and when."""

    probabilities: np.ndarray
    moved: float
    cycles: int
    converged: bool
    relative_entropy: float


def _checked_margins(table, margins) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Axes that are summed over and targets, which keep their axes at length one."""
    if not isinstance(margins, Mapping) or not margins:
        raise ProjectionError("no margins: give {axes: target}, such as {0: rows, 1: columns}.")
    found = []
    for axes, target in margins.items():
        named = axes if isinstance(axes, tuple) else (axes,)
        are_axes = all(isinstance(a, int | np.integer) and 0 <= a < table.ndim for a in named)
        if not are_axes or len(set(named)) < len(named):
            raise ProjectionError(
                f"a margin over axes {axes!r} of a table with {table.ndim}: axes are different "
                f"numbers from 0 to {table.ndim - 1}, alone or in a tuple. Labels are ignored."
            )
        target = np.asarray(target, dtype=np.float64)
        if target.ndim == len(named):
            # in the order that the key says
            target = np.transpose(target, np.argsort(named))
        kept = tuple(sorted(int(a) for a in named))
        wanted = tuple(table.shape[a] for a in kept)
        if target.shape != wanted:
            raise ProjectionError(
                f"the margin over axes {kept} has shape {target.shape}, and the table's {wanted}."
            )
        if not (np.all(np.isfinite(target)) and np.all(target >= 0)):
            raise ProjectionError(f"the margin over axes {kept} has a negative or infinite entry.")
        summed = tuple(a for a in range(table.ndim) if a not in kept)
        found.append((summed, np.expand_dims(target, summed)))
    _check_shared(table.ndim, found)
    return found


def _check_shared(ndim: int, margins) -> None:
    """Raise ProjectionError where two margins disagree on the sums that both have."""
    for i, (first, a) in enumerate(margins):
        for second, b in margins[:i]:
            gone = tuple(set(first) | set(second))
            of_a, of_b = a.sum(axis=gone, keepdims=True), b.sum(axis=gone, keepdims=True)
            gap = np.abs(of_a - of_b)
            if np.max(gap) > 1e-9 * np.max(np.abs(of_b)):
                at = np.unravel_index(np.argmax(gap), gap.shape)
                kept = tuple(k for k in range(ndim) if k not in gone)
                what = (
                    f"entry {tuple(int(at[k]) for k in kept)} of axes {kept}" if kept else "total"
                )
                raise ProjectionError(
                    f"margins disagree: the {what} is {of_a[at]:.8g} in one and {of_b[at]:.8g} in "
                    "another, so that no table has both."
                )


def iterative_proportional_fitting(
    table, margins: Mapping, *, tolerance: float = 1e-10, sweeps: int = 10_000
) -> Fitted:
    r"""The table nearest to a first one, in relative entropy, among those with given margins.

    .. math:: \min_p \sum p \log \frac pb \quad\text{with}\quad \sum_{\bar A} p = m_A
              \text{ for all } A

    Parameters
    ----------
    table
        b, any number of axes, at least 0; where it is 0 the result is.
    margins
        {axes: target}: the number of an axis, or a tuple of them, that are kept, and the sums over
        the others, whose axes go in that order. Labels of pandas or xarray are not looked at.
    tolerance
        largest difference of a margin, relative to the total; sweeps : at most.

    Returns
    -------
    `Fitted`; with a `ConvergenceWarning` where it did not converge, as where zeros of the table
    leave no table with these margins: the sweeps then go round among several.

    Raises
    ------
    ProjectionError
        margins that disagree with each other; one that is positive where the table is all 0.

    Examples
    --------
    >>> found = iterative_proportional_fitting(
    ...     [[1, 2, 3], [4, 5, 6]], {0: [0.5, 0.5], 1: [0.2, 0.3, 0.5]})
    >>> found.table.round(6).tolist()[0], found.converged
    ([0.07602, 0.148566, 0.275414], True)
    """
    first = np.asarray(table, dtype=np.float64)
    if first.ndim == 0 or not (np.all(first >= 0) and np.all(np.isfinite(first))):
        raise ProjectionError("the table has negative or infinite entries, or no axes.")
    found = _checked_margins(first, margins)
    total = float(np.sum(found[0][1]))
    if not (total > 0 and np.sum(first) > 0):
        raise ProjectionError("the table or its margins are 0 everywhere.")
    p = first * (total / np.sum(first))
    best, since, residual, sweep = np.inf, 0, np.inf, 0
    # of all factors that a margin's entries had, whose means are the relative entropy
    logs = [np.zeros_like(target) for _, target in found]
    for sweep in range(1, sweeps + 1):
        residual = 0.0
        for log_factor, (summed, target) in zip(logs, found, strict=True):
            margin = np.sum(p, axis=summed, keepdims=True)
            residual = max(residual, float(np.max(np.abs(margin - target))) / total)
            if sweep == 1:
                _check_positive(margin, target, summed)
            with np.errstate(divide="ignore", invalid="ignore"):
                factor = np.where(target > 0, target / margin, 0.0)
                log_factor += np.log(factor)
            p *= factor
        if residual <= tolerance:
            break
        best, since = (residual, 0) if residual < 0.99 * best else (best, since + 1)
        if since >= STALLED or not np.isfinite(residual):
            break
    converged = residual <= tolerance
    if not converged:
        warnings.warn(
            f"proportional fitting did not converge: after {sweep} sweeps a margin still differs "
            f"by {residual:.2g} of the total. Either no table has these margins and the zeros of "
            "the first one, or such a table has more zeros than that.",
            ConvergenceWarning,
            stacklevel=2,
        )
    least = 0.0
    for log_factor, (summed, _) in zip(logs, found, strict=True):
        margin = np.sum(p, axis=summed, keepdims=True)
        least += float(np.sum(margin * np.where(margin > 0, log_factor, 0.0)))
    least /= float(np.sum(p))
    return Fitted(p, residual, sweep, converged, least)


def _check_positive(margin, target, summed) -> None:
    wrong = (margin == 0) & (target > 0)
    if np.any(wrong):
        at = tuple(int(v) for a, v in enumerate(np.argwhere(wrong)[0]) if a not in summed)
        raise ProjectionError(
            f"the margin of entry {at} is to be {target[wrong][0]:.6g}, where the table is all 0: "
            "no factor makes it positive. Give those cells some weight."
        )


def _set_of(points, constraint) -> tuple[np.ndarray, Constraints]:
    """Statistics (S, K) and ends of their means."""
    known = {"statistics", "moments", "lower", "upper", "slack"}
    if not isinstance(constraint, Mapping) or not {"statistics"} <= set(constraint) <= known:
        raise ProjectionError(
            f"a constraint is a mapping with statistics and moments, lower or upper (and slack), "
            f"as `i_projection` takes them; this is {constraint!r}."
        )
    _, T = statistics_at(points, constraint["statistics"])
    given = {name: constraint.get(name) for name in ("moments", "lower", "upper", "slack")}
    return T, constraints_of(T.shape[1], **given, variance=None)


def alternating_projections(
    points,
    weights=None,
    *,
    constraints: Sequence[Mapping],
    tolerance: float = 1e-12,
    cycles: int = 10_000,
) -> Alternated:
    r"""Project on one set of distributions after the other, until all are met.

    .. math:: p_{k + 1} = \arg\min_{p \in E_{k \bmod m}} \mathrm{KL}(p, p_k c_k)

    with Dykstra's corrections c, which undo what a set of inequalities did before it is met again;
    sets of equalities need none. Converges to the projection on all of them together.

    Parameters
    ----------
    points
        (S,) states; weights : (S,) base, by default equal.
    constraints
        of each set, what `i_projection` takes: ``{"statistics": ..., "moments": ...}`` or with
        ``lower`` and ``upper``.
    tolerance
        on the largest change of a probability by any projection of a cycle.

    Raises
    ------
    ProjectionError
        a set that no distribution is in, something else than a constraint, such as a variance, or
        sets so far apart that weights underflow on the way.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(1, 7.0)
    >>> found = alternating_projections(x, constraints=[
    ...     {"statistics": x[:, None], "moments": [4.5]},
    ...     {"statistics": x[:, None] == 6, "upper": [0.3]}])
    >>> found.probabilities.round(4).tolist(), found.converged
    ([0.0445, 0.0711, 0.1136, 0.1813, 0.2895, 0.3], True)
    """
    points = np.asarray(points)
    base = probabilities_of(np.ones(len(points)) if weights is None else weights)
    sets = [_set_of(points, c) for c in constraints]
    if not sets:
        raise ProjectionError("no constraints: give a list of what `i_projection` takes.")
    p = base
    corrections = [np.ones(len(points)) for _ in sets]
    moved, cycle = np.inf, 0
    while moved > tolerance and cycle < cycles:
        cycle += 1
        moved, begin = 0.0, p
        for k, (T, ends) in enumerate(sets):
            uncorrected = p * corrections[k]
            found = projected(points, T, probabilities_of(uncorrected), ends)
            moved = max(moved, float(np.max(np.abs(found.probabilities - p))))
            p = found.probabilities
            if np.array_equal(ends.lower, ends.upper):
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(p > 0, uncorrected / p, 1.0)
            corrections[k] = ratio / np.max(ratio)
        if moved > 1e3 * tolerance and np.max(np.abs(p - begin)) <= tolerance:
            # round and round between sets that do not meet
            break
    if moved > tolerance:
        warnings.warn(
            f"alternating projections did not converge: the last of {cycle} cycles moved a "
            f"probability by {moved:.2g}. Perhaps no distribution is in all sets.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return Alternated(p, moved, cycle, moved <= tolerance, float(relative_entropy(p, base)))
