r"""Forecasting as a game: maximum entropy is what an adversary does, and minimax loss what answers.

.. math:: \max_{p \in \Gamma} H(p) = \max_{p \in \Gamma} \min_a E_p[L(X, a)]
          = \min_a \max_{p \in \Gamma} E_p[L(X, a)]

for all distributions with given means, Gamma, and a proper loss with entropy
:math:`H(p) = \min_a E_p[L(X, a)]`. Each game comes with a certificate: the largest expected loss
that any member of Gamma inflicts on the answer, by a linear programme, less the value.

Sources: Topsoe (1979), Kybernetika 15, 8-27; Grunwald and Dawid (2004), Ann. Statist. 32(4),
1367-1433; Wolfe (1976), Math. Program. 11, 128-149, for the nearest point of a polytope.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import lstsq
from scipy.optimize import linprog

from pm_statmech.concentration.constraints import (
    Constraints,
    constraints_of,
    homogeneous_rows,
    largest_mean,
    outside_message,
)
from pm_statmech.concentration.divergences import probabilities_of
from pm_statmech.concentration.projections import i_projection, statistics_at
from pm_statmech.errors import ProjectionError

MOST_STEPS = 10_000


class Game(NamedTuple):
    """A game between a forecaster and an adversary who must respect means.

    `value` in the unit of the loss; `adversary` (S,) the distribution of largest entropy;
    `answer` (S,) the forecast whose worst loss is least; `worst_loss` the largest expected loss of
    the answer over Gamma, by a linear programme; `gap` that less the value, 0 up to rounding.
    """

    value: float
    adversary: np.ndarray
    answer: np.ndarray
    worst_loss: float
    gap: float


def brier_entropy(p) -> np.ndarray:
    r"""Entropy (...) of Brier's loss :math:`\sum_j (1\{j = x\} - q_j)^2`.

    .. math:: H(p) = 1 - \sum_i p_i^2

    Examples
    --------
    >>> float(brier_entropy([0.5, 0.5]))
    0.5
    """
    return 1.0 - np.sum(probabilities_of(p) ** 2, axis=-1)


def spherical_entropy(p) -> np.ndarray:
    r"""Entropy (...) of the spherical loss :math:`1 - q_x / \|q\|`.

    .. math:: H(p) = 1 - \|p\|_2

    Examples
    --------
    >>> round(float(spherical_entropy([0.5, 0.5])), 6)
    0.292893
    """
    return 1.0 - np.sqrt(np.sum(probabilities_of(p) ** 2, axis=-1))


def zero_one_entropy(p) -> np.ndarray:
    r"""Entropy (...) of the zero-one loss, the probability of a wrong guess.

    .. math:: H(p) = 1 - \max_i p_i

    Examples
    --------
    >>> float(zero_one_entropy([0.5, 0.25, 0.25]))
    0.5
    """
    return 1.0 - np.max(probabilities_of(p), axis=-1)


def _gamma(points, statistics, moments, lower, upper):
    points, T = statistics_at(points, statistics)
    return points, T, constraints_of(T.shape[1], moments, lower, upper, None, None)


def minimax_log_loss(
    points,
    weights=None,
    *,
    statistics: Callable | np.ndarray,
    moments=None,
    lower=None,
    upper=None,
) -> Game:
    r"""The game of the log loss, relative to a base: both play the information projection.

    .. math:: L(x, q) = -\log\frac{q(x)}{b(x)}, \qquad
              \max_{p \in \Gamma} -\mathrm{KL}(p, b) = \min_q \max_{p \in \Gamma} E_p[L(X, q)]

    Parameters
    ----------
    points
        (S,) or (S, d) states.
    weights
        (S,) base b, not normalised, by default 1, so that the value is Shannon's entropy.
    statistics, moments, lower, upper
        Gamma, as `i_projection` takes it.

    Raises
    ------
    ProjectionError
        a Gamma without members, or none of finite relative entropy.

    Examples
    --------
    >>> found = minimax_log_loss([1, 2, 3, 4, 5, 6], statistics=lambda x: [x], moments=[4.5])
    >>> round(found.value, 6), abs(found.gap) < 1e-9
    (1.613581, True)
    """
    points, T, constraints = _gamma(points, statistics, moments, lower, upper)
    b = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=np.float64)
    found = i_projection(points, b, statistics=T, moments=moments, lower=lower, upper=upper)
    value = float(np.log(np.sum(b))) - found.relative_entropy
    q, there = found.probabilities, found.support
    # a state that no member of Gamma can have costs nothing
    log_ratio = T[there] @ found.natural_parameters - found.log_partition
    loss = np.log(np.sum(b)) - log_ratio
    worst, _ = largest_mean(loss, T[there], constraints)
    return Game(value, q, q, worst, worst - value)


def _nearest_to_zero(T: np.ndarray, constraints: Constraints) -> np.ndarray:
    """The member of Gamma with the least sum of squares: Wolfe's nearest point of a polytope.

    Vertices come from linear programmes; the point is a convex combination of a few of them, and
    the nearest of the affine hull of those.
    """
    _, first = largest_mean(-np.arange(len(T)), T, constraints)
    vertices, weights = first[None, :], np.ones(1)
    for _ in range(MOST_STEPS):
        p = weights @ vertices
        least, vertex = largest_mean(-p, T, constraints)
        if p @ p + least <= 1e-14 or np.any(np.all(np.abs(vertices - vertex) < 1e-12, axis=1)):
            return p
        vertices = np.vstack([vertices, vertex])
        weights = np.append(weights, 0.0)
        while True:
            # the nearest point of the affine hull: gram w = mu 1 with weights of sum 1
            n = len(weights)
            system = np.zeros((n + 1, n + 1))
            system[:n, :n], system[:n, n], system[n, :n] = vertices @ vertices.T, 1.0, 1.0
            affine = lstsq(system, np.append(np.zeros(n), 1.0))[0][:n]
            if np.all(affine > -1e-13):
                weights = np.maximum(affine, 0.0)
                kept = weights > 0
                break
            falling = affine <= 0
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(falling, weights / (weights - affine), np.inf)
            step = min(float(np.min(share)), 1.0)
            weights = (1 - step) * weights + step * affine
            kept = weights > 1e-14
            vertices, weights = vertices[kept], weights[kept]
        vertices, weights = vertices[kept], weights[kept] / np.sum(weights[kept])
    raise ProjectionError("the nearest point of the constraint set was not found.")


def minimax_brier(
    points, *, statistics: Callable | np.ndarray, moments=None, lower=None, upper=None
) -> Game:
    r"""The game of Brier's loss: both play the member of Gamma with the least sum of squares.

    .. math:: L(x, q) = 1 - 2 q_x + \sum_j q_j^2, \qquad H(p) = 1 - \sum_i p_i^2

    Parameters
    ----------
    points, statistics, moments, lower, upper
        Gamma, as `i_projection` takes it.

    Examples
    --------
    >>> found = minimax_brier([1, 2, 3, 4, 5, 6], statistics=lambda x: [x], moments=[4.5])
    >>> round(found.value, 6), found.answer.round(4).tolist()
    (0.77619, [0.0238, 0.081, 0.1381, 0.1952, 0.2524, 0.3095])
    """
    points, T, constraints = _gamma(points, statistics, moments, lower, upper)
    p = _nearest_to_zero(T, constraints)
    value = float(brier_entropy(p))
    worst, _ = largest_mean(1 - 2 * p + p @ p, T, constraints)
    return Game(value, p, p, worst, worst - value)


def minimax_spherical(
    points, *, statistics: Callable | np.ndarray, moments=None, lower=None, upper=None
) -> Game:
    r"""The game of the spherical loss, played with the same distribution as Brier's.

    .. math:: L(x, q) = 1 - \frac{q_x}{\|q\|_2}, \qquad H(p) = 1 - \|p\|_2

    Parameters
    ----------
    points, statistics, moments, lower, upper
        Gamma, as `i_projection` takes it.

    Examples
    --------
    >>> found = minimax_spherical([1, 2, 3, 4, 5, 6], statistics=lambda x: [x], moments=[4.5])
    >>> round(found.value, 6), abs(found.gap) < 1e-9
    (0.526915, True)
    """
    points, T, constraints = _gamma(points, statistics, moments, lower, upper)
    p = _nearest_to_zero(T, constraints)
    value = float(spherical_entropy(p))
    worst, _ = largest_mean(1 - p / np.linalg.norm(p), T, constraints)
    return Game(value, p, p, worst, worst - value)


def minimax_zero_one(
    points, *, statistics: Callable | np.ndarray, moments=None, lower=None, upper=None
) -> Game:
    r"""The game of guessing the state: the answer is a guess at random.

    .. math:: E[L(x, q)] = 1 - q_x, \qquad H(p) = 1 - \max_i p_i

    The adversary's p and the guess q are a linear programme and its dual; they differ.

    Parameters
    ----------
    points, statistics, moments, lower, upper
        Gamma, as `i_projection` takes it.

    Examples
    --------
    >>> found = minimax_zero_one([1, 2, 3, 4, 5, 6], statistics=lambda x: [x], moments=[5.0])
    >>> round(found.value, 6), found.answer.round(3).tolist()
    (0.666667, [0.0, 0.0, 0.0, 0.167, 0.333, 0.5])
    """
    points, T, constraints = _gamma(points, statistics, moments, lower, upper)
    n = len(points)
    below, equal = homogeneous_rows(T, constraints)
    # p and its largest entry z, of which z is least
    A_ub = np.vstack(
        [np.column_stack([np.eye(n), -np.ones(n)]), *(np.append(row, 0.0)[None] for row in below)]
    )
    A_eq = np.vstack([np.append(np.ones(n), 0.0)[None], *(np.append(r, 0.0)[None] for r in equal)])
    found = linprog(
        np.append(np.zeros(n), 1.0), A_ub, np.zeros(len(A_ub)), A_eq,
        np.append(1.0, np.zeros(len(equal))), bounds=[(0, None)] * (n + 1), method="highs",
    )  # fmt: skip
    if found.status != 0:
        raise ProjectionError(outside_message(T, constraints))
    guess = np.maximum(-found.ineqlin.marginals[:n], 0.0)
    guess /= np.sum(guess)
    p = np.maximum(found.x[:n], 0.0)
    value = float(zero_one_entropy(p))
    worst, _ = largest_mean(1 - guess, T, constraints)
    return Game(value, p / np.sum(p), guess, worst, worst - value)
