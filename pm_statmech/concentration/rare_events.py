r"""Probabilities of rare sums by importance sampling under the optimal tilt.

.. math:: P(\bar X_n \ge x) = E_t\left[e^{n K(t) - t S_n}\, 1\{S_n \ge nx\}\right], \qquad
          K'(t) = x

The relative error of a plain mean grows like exp(nI/2); under this tilt, which for large n is
the law of the draws given the event, it grows like n^(1/4) only.

Sources: Siegmund (1976), Ann. Statist. 4, 673-684; Asmussen and Glynn (2007), Stochastic
Simulation, chapter 6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from scipy.special import logsumexp

from pm_statmech.concentration.cumulants import cumulant, rate_function
from pm_statmech.concentration.lattice_sums import first_above, whole_number
from pm_statmech.concentration.laws import numbers_of
from pm_statmech.concentration.named_laws import law_of
from pm_statmech.concentration.refinements import ends_of
from pm_statmech.concentration.tilted_draws import tilted_sums_of
from pm_statmech.concentration.tilts import slopes
from pm_statmech.errors import CumulantError


class TailProbability(NamedTuple):
    """A log probability, its relative error, how many draws count, and the tilt they had.

    `ess` is that of the weights, (sum w)^2 / sum w^2; `relative_error` the standard error of the
    probability divided by it.
    """

    log_probability: float
    relative_error: float
    ess: float
    tilt: float


def tail_probability_tilted(
    dist, *, n: int = 1, threshold: float, draws: int = 100_000, random_seed=None
) -> TailProbability:
    r"""Probability that the mean of n independent draws is at or above a threshold.

    .. math:: \hat P = \frac1R \sum_r e^{n K(t) - t S_r}\, 1\{S_r \ge nx\}, \qquad K'(t) = x

    Parameters
    ----------
    dist
        an unnamed PyMC distribution of numbers, `Atoms`, or a `CompoundSum`, for whose total n
        is 1.
    n
        numbers of a mean; threshold : x, in the unit of X. Below E[X] there is no tilt.
    draws
        R; random_seed : an int or a NumPy Generator.

    Raises
    ------
    CumulantError
        a tail heavier than any exponential; a threshold at or beyond the end of the support.

    Examples
    --------
    >>> import pymc as pm
    >>> found = tail_probability_tilted(
    ...     pm.Exponential.dist(1), n=10, threshold=5.0, draws=50_000, random_seed=1)
    >>> bool(abs(found.log_probability + 27.4002) < 0.05), found.relative_error < 0.02
    (True, True)
    """
    return _tail(dist, n, threshold, draws, random_seed, 1.0)


def lower_tail_probability_tilted(
    dist, *, n: int = 1, threshold: float, draws: int = 100_000, random_seed=None
) -> TailProbability:
    r"""Probability that the mean of n independent draws is at or below a threshold.

    The tilt is negative; see `tail_probability_tilted`, which names the distributions that are
    refused here as well.

    Examples
    --------
    >>> import pymc as pm
    >>> found = lower_tail_probability_tilted(
    ...     pm.Exponential.dist(1), n=10, threshold=0.1, draws=20_000, random_seed=1)
    >>> bool(abs(found.log_probability + 16.01) < 0.05)
    True
    """
    return _tail(dist, n, threshold, draws, random_seed, -1.0)


def _tail(dist, n: int, threshold: float, draws: int, random_seed, sign: float) -> TailProbability:
    if draws < 2:
        raise CumulantError(f"draws = {draws}: at least two.")
    n = whole_number(n, threshold)
    law = law_of(dist)
    low, high = ends_of(law)
    if not low < threshold < high:
        raise CumulantError(
            f"threshold = {threshold:g} is not inside the support {low:g} to {high:g} of "
            f"{law.name}: the probability is 0 or 1 there, or that of all draws at one end."
        )
    mean = _mean(law)
    t = 0.0
    if sign * (threshold - mean) > 0:
        [t] = (float(v) for v in numbers_of(rate_function(law, threshold).tilt))
    [k] = (float(v) for v in numbers_of(cumulant(law, t)))
    rng = np.random.default_rng(random_seed)
    sums = tilted_sums_of(dist)(rng, t, np.full(draws, float(n)))
    edge = n * threshold
    if law.span:
        # halfway to the value before, so that no rounding of a sum matters
        origin = low if law.origin is None else law.origin
        first = sign * first_above(n, sign * origin, law.span, sign * threshold)
        edge = n * origin + law.span * (first - sign * 0.5)
    inside = sign * (sums - edge) >= 0
    if not np.any(inside):
        raise CumulantError(
            f"none of {draws} draws is beyond {threshold:g}, though tilted to it: take more."
        )
    log_weights = n * k - t * sums[inside]
    total, square = logsumexp(log_weights), logsumexp(2 * log_weights)
    ess = float(np.exp(2 * total - square))
    error = float(np.sqrt(max(draws / ess - 1.0, 0.0) / (draws - 1)))
    return TailProbability(float(total - np.log(draws)), error, ess, t)


def _mean(law) -> float:
    [mean] = numbers_of(slopes(law.cumulant, pt.constant(0.0))[0])
    return float(mean)
