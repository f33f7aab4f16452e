r"""A small catalogue of sufficient statistics, for families and for maximum entropy.

======================== ==================== =====================================
`mean`                   x                    the mean
`power`                  x^n                  a moment
`log`                    log x                the logarithm of the geometric mean
`absolute`               abs(x - c)           the mean absolute deviation from c
`cdf`                    1 if x <= b, else 0  the probability to be at most b
======================== ==================== =====================================

`quantile_constraints` gives the last for several quantiles, because experts give quantiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt

from pm_statmech.errors import FamilyError


@dataclass(frozen=True)
class Statistic:
    """A function of one number.

    Parameters
    ----------
    name
        as it is written; function : symbolic x (...) -> tensor (...).
    breakpoints
        where it jumps or has a kink.
    """

    name: str
    function: Callable
    breakpoints: tuple[float, ...] = ()

    def __call__(self, x):
        """The statistic (...) of x (...)."""
        return self.function(x)


def mean() -> Statistic:
    """X itself."""
    return Statistic("x", lambda x: x)


def power(n: int) -> Statistic:
    """X to the power n, an integer above 0."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise FamilyError(f"power({n}): the exponent is an integer above 0.")
    return Statistic(f"x^{n}", lambda x: x**n)


def log() -> Statistic:
    """Log x, on positive supports."""
    return Statistic("log x", pt.log)


def absolute(centre: float) -> Statistic:
    """Distance from a centre."""
    centre = float(centre)
    return Statistic(f"|x - {centre:g}|", lambda x: pt.abs(x - centre), (centre,))


def cdf(at: float) -> Statistic:
    """1 where x is at most a number, else 0: its mean is the probability of that."""
    at = float(at)
    return Statistic(f"x <= {at:g}", lambda x: pt.cast(pt.le(x, at), "float64"), (at,))


class Constraints(NamedTuple):
    """Statistics, and the means they are to have."""

    statistics: tuple[Statistic, ...]
    moments: tuple[float, ...]


def quantile_constraints(quantiles: Mapping[float, float]) -> Constraints:
    """Constraints of given quantiles, level -> value.

    Raises
    ------
    FamilyError
        no quantile, levels outside (0, 1), or values that do not increase with their levels.

    Examples
    --------
    >>> import pm_statmech as pms
    >>> pms.quantile_constraints({0.1: 5, 0.9: 20}).moments
    (0.1, 0.9)
    """
    levels = sorted(quantiles)
    values = [float(quantiles[level]) for level in levels]
    if not levels or not all(0 < level < 1 for level in levels):
        raise FamilyError(f"levels {levels} of quantiles must lie between 0 and 1.")
    if not np.all(np.diff(values) > 0):
        raise FamilyError(f"quantiles {values} at levels {levels} must increase with the level.")
    return Constraints(tuple(map(cdf, values)), tuple(float(level) for level in levels))
