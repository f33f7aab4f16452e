"""Projections as PyMC variables, and draws of the statistics of a family's members."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytensor.tensor as pt
from pymc.pytensorf import compile as compile_with_seed

from pm_statmech.distributions.exponential import ExponentialFamily
from pm_statmech.errors import ProjectionError
from pm_statmech.exponential_family import Family
from pm_statmech.log_partition.table import Table, evaluator
from pm_statmech.supports import Finite

if TYPE_CHECKING:
    from pm_statmech.concentration.projections import Projection


class _LookedUp:
    """Statistics (S, K) of integer states (S,), by looking x up."""

    def __init__(self, states: np.ndarray, values: np.ndarray) -> None:
        order = np.argsort(states)
        self.states, self.values = states[order], values[order]

    def __call__(self, x) -> list:
        """Of one state."""
        where = pt.searchsorted(pt.constant(self.states), x)
        return [pt.constant(self.values)[where]]


class _LogBase(_LookedUp):
    def __call__(self, x):
        """Log base of one state."""
        return super().__call__(x)[0]


def variable_of(projection: Projection, name: str | None, **kwargs):
    """A variable of a model, or without a name an unnamed one, of a projection's probabilities.

    Raises
    ------
    ProjectionError
        points that are not different integers.
    """
    there = projection.support
    points = projection.points[there]
    if (
        points.ndim != 1
        or not np.array_equal(points, np.round(points))
        or len(np.unique(points)) < len(points)
    ):
        raise ProjectionError(
            "the points are not different integers, and a PyMC variable of them would be one of "
            "their numbers 0, 1, ...: take i = pm.Categorical(name, projection.probabilities), and "
            "projection.points[i] for the state."
        )
    states = points.astype(np.int64)
    eta, support = projection.natural_parameters, Finite(states)
    statistics = _LookedUp(states, projection.statistics[there])
    log_base = _LogBase(states, np.log(projection.base[there]))
    if name is None:
        return ExponentialFamily.dist(
            eta, statistics=statistics, support=support, log_base=log_base, **kwargs
        )
    return ExponentialFamily(
        name, eta, statistics=statistics, support=support, log_base=log_base, **kwargs
    )


def statistics_sampler(family: Family, draws: int, random_seed) -> Callable:
    """Function eta (K,) -> statistics (draws, K) of independent draws, other ones at each call."""
    rng = np.random.default_rng(random_seed)
    if isinstance(family.engine, Table):
        T = family.table.statistics

        def from_table(eta: np.ndarray) -> np.ndarray:
            exponents = T @ np.append(eta, 1.0)
            p = np.exp(exponents - np.max(exponents))
            return T[rng.choice(len(p), size=draws, p=p / np.sum(p)), :-1]

        return from_table
    eta = pt.dvector("eta")
    x = ExponentialFamily.dist(
        eta, statistics=family.statistics, support=family.support, log_base=family.log_base,
        shape=(draws, *family.support.shape),
    )  # fmt: skip
    draw = compile_with_seed([eta], x, random_seed=int(rng.integers(2**31)))
    evaluate = evaluator(family.statistics, family.log_base, family.support)

    def from_family(eta: np.ndarray) -> np.ndarray:
        return evaluate(np.asarray(draw(eta), dtype=np.float64))[0]

    return from_family
