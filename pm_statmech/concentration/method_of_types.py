r"""Frequencies of independent draws: the method of types, exactly, for any number of draws.

.. math:: P(n_1, ..., n_K) = \frac{n!}{\prod_i n_i!} \prod_i p_i^{n_i}
          = e^{-n \mathrm{KL}(q, p) - O(\log n)}, \qquad q_i = n_i / n

Logarithms are sums of deviances and of Stirling's remainders, so that nothing cancels: they keep
their digits to n = 1e9, where factorials would have lost half of them.

Sources: Csiszar and Koerner (2011), Information Theory, chapter 2; Cover and Thomas (2006),
Elements of Information Theory, chapters 3 and 11; Loader (2000), Fast and accurate computation of
binomial probabilities, for the deviances.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb, factorial
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from pm_statmech.concentration.divergences import entropy, probabilities_of
from pm_statmech.errors import LatticeError

MOST_TYPES = 5_000_000
# log n! less Stirling's formula, of small n exactly
_SMALL = np.array(
    [np.inf]
    + [
        np.log(factorial(n)) - (n * np.log(n) - n + 0.5 * np.log(2 * np.pi * n))
        for n in range(1, 16)
    ]
)
_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)


class Bounds(NamedTuple):
    """Logarithms between which a probability, or a size, lies."""

    lower: np.ndarray
    upper: np.ndarray


class TypicalSet(NamedTuple):
    """Probability of a typical set, the log of how many sequences it holds, and bounds of that."""

    probability: float
    log_size: float
    log_size_bounds: Bounds


def _counts(counts, n_letters: int) -> np.ndarray:
    counts = np.asarray(counts, dtype=np.float64)
    if counts.ndim == 0 or counts.shape[-1] != n_letters:
        raise LatticeError(f"counts of shape {counts.shape} of {n_letters} letters: the last axis.")
    if not (np.all(counts >= 0) and np.all(counts == np.floor(counts)) and np.all(counts < 2**53)):
        raise LatticeError(f"counts are whole numbers, at least 0; these are {counts.ravel()[:5]}.")
    if np.any(np.sum(counts, axis=-1) == 0):
        raise LatticeError("counts that are all 0 have no frequencies.")
    return counts


def _stirling_remainder(n: np.ndarray) -> np.ndarray:
    """Log n! less n log n - n + log(2 pi n) / 2, for n > 0."""
    square = 1.0 / np.maximum(n, 16.0) ** 2
    series = np.zeros_like(square)
    for coefficient in _SERIES[::-1]:
        series = coefficient + square * series
    small = _SMALL[np.minimum(n, 15).astype(int)]
    return np.where(n < 16, small, series / np.maximum(n, 16.0))


def _deviance(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Deviance x log(x / m) + m - x, at least 0, with all digits where x is near m."""
    with np.errstate(divide="ignore", invalid="ignore"):
        v = (x - mean) / (x + mean)
        far = np.where(x == 0, mean, x * np.log(x / mean) + mean - x)
        series = np.zeros_like(v)
        for j in range(10, 0, -1):
            series = (series + 2.0 / (2 * j + 1)) * v**2
        near = (x - mean) * v + x * v * series
    return np.where((x == 0) & (mean == 0), 0.0, np.where(np.abs(v) < 0.1, near, far))


def _weight(counts: np.ndarray, smooth: bool) -> np.ndarray:
    """Half of log(2 pi n), with Stirling's remainder or without, 0 at n = 0."""
    n = np.maximum(counts, 1.0)
    value = 0.5 * np.log(2 * np.pi * n) + (0.0 if smooth else _stirling_remainder(n))
    return np.where(counts > 0, value, 0.0)


def log_type_probability(counts, p) -> np.ndarray:
    r"""Log probability (...) of the counts of n draws of K letters: the multinomial law.

    .. math:: \log\frac{n!}{\prod_i n_i!} + \sum_i n_i \log p_i
              = -n\,\mathrm{KL}(q, p) + w(n) - \sum_i w(n_i)

    with :math:`w(n) = \log n! - n \log n + n`.

    Parameters
    ----------
    counts
        (..., K) n_i, whole numbers, to 1e9 and beyond; p : (K,) probabilities.

    Raises
    ------
    LatticeError
        counts that are negative, not whole, or of another number of letters.

    Examples
    --------
    >>> round(float(log_type_probability([40, 30, 30], [0.2, 0.3, 0.5])), 6)
    -17.188853
    """
    p = probabilities_of(p)
    counts = _counts(counts, len(p))
    n = np.sum(counts, axis=-1)
    exponent = np.sum(_deviance(counts, n[..., None] * p), axis=-1)
    return -exponent + _weight(n, False) - np.sum(_weight(counts, False), axis=-1)


def log_type_probability_stirling(counts, p) -> np.ndarray:
    r"""The same (...) by Stirling's formula, which is off by 1/12n_i at most in each letter.

    .. math:: -n\,\mathrm{KL}(q, p) + \tfrac12 \log 2\pi n - \tfrac12 \sum_{n_i > 0} \log 2\pi n_i

    Examples
    --------
    >>> round(float(log_type_probability_stirling([40, 30, 30], [0.2, 0.3, 0.5])), 6)
    -17.182048
    """
    p = probabilities_of(p)
    counts = _counts(counts, len(p))
    n = np.sum(counts, axis=-1)
    exponent = np.sum(_deviance(counts, n[..., None] * p), axis=-1)
    return -exponent + _weight(n, True) - np.sum(_weight(counts, True), axis=-1)


def type_probability_bounds(counts, p) -> Bounds:
    r"""The method of types' bounds (...) of the log probability of counts.

    .. math:: (n + 1)^{-K} e^{-n \mathrm{KL}(q, p)} \le P \le e^{-n \mathrm{KL}(q, p)}

    Examples
    --------
    >>> found = type_probability_bounds([40, 30, 30], [0.2, 0.3, 0.5])
    >>> round(float(found.lower), 4), round(float(found.upper), 4)
    (-26.2465, -12.4011)
    """
    p = probabilities_of(p)
    counts = _counts(counts, len(p))
    n = np.sum(counts, axis=-1)
    upper = -np.sum(_deviance(counts, n[..., None] * p), axis=-1)
    return Bounds(upper - len(p) * np.log1p(n), upper)


def number_of_types(n: int, n_letters: int) -> int:
    r"""How many vectors of counts n draws of K letters can have, :math:`\binom{n + K - 1}{K - 1}`.

    Examples
    --------
    >>> number_of_types(100, 6)
    96560646
    """
    return comb(int(n) + n_letters - 1, n_letters - 1)


def all_types(n: int, n_letters: int) -> np.ndarray:
    """All vectors of counts (T, K) of n draws of K letters.

    Raises
    ------
    LatticeError
        more than five million.

    Examples
    --------
    >>> all_types(2, 2).tolist()
    [[0, 2], [1, 1], [2, 0]]
    """
    many = number_of_types(n, n_letters)
    if many > MOST_TYPES:
        raise LatticeError(
            f"{n} draws of {n_letters} letters have {many:.4g} types, above {MOST_TYPES}: take "
            "fewer draws, merge letters, or take a sum along one statistic, see "
            "`log_tail_probability`."
        )
    columns: list[np.ndarray] = []
    left = np.array([n], dtype=np.int64)
    for _ in range(n_letters - 1):
        which = np.repeat(np.arange(len(left)), left + 1)
        begins = np.repeat(np.cumsum(left + 1) - (left + 1), left + 1)
        taken = np.arange(len(which)) - begins
        columns = [column[which] for column in columns] + [taken]
        left = left[which] - taken
    return np.column_stack([*columns, left])


def log_event_probability(p, *, n: int, event: Callable) -> float:
    r"""Exact log probability that the frequencies of n draws lie in a set: Sanov at finite n.

    .. math:: \log P(q_n \in E) \approx -n \min_{q \in E} \mathrm{KL}(q, p)

    Parameters
    ----------
    p
        (K,) probabilities; n : draws.
    event
        frequencies (T, K) -> (T,) whether they lie in E.

    Raises
    ------
    LatticeError
        more than five million types.

    Examples
    --------
    Ten throws of a die with a mean of 4.5 or more:

    >>> import numpy as np
    >>> die, faces = np.ones(6) / 6, np.arange(1, 7)
    >>> found = log_event_probability(die, n=10, event=lambda q: q @ faces > 4.5 - 1e-9)
    >>> round(float(found), 6)
    -3.244334
    """
    p = probabilities_of(p)
    counts = all_types(n, len(p))
    inside = np.asarray(event(counts / n))
    if inside.shape != (len(counts),) or inside.dtype != bool:
        raise LatticeError(
            f"event gave {inside.dtype} of shape {inside.shape}: it takes frequencies (T, K) and "
            f"gives (T,) booleans, here {len(counts)}."
        )
    if not np.any(inside):
        return -np.inf
    return float(logsumexp(log_type_probability(counts[inside], p)))


def typical_set(p, *, n: int, epsilon: float) -> TypicalSet:
    r"""The sequences whose log loss is within epsilon of the entropy: the weakly typical set.

    .. math:: \Bigl\{x^n : \Bigl|-\tfrac1n \log p(x^n) - H(p)\Bigr| \le \epsilon\Bigr\}, \qquad
              P\, e^{n(H - \epsilon)} \le \text{size} \le P\, e^{n(H + \epsilon)}

    Parameters
    ----------
    p
        (K,) probabilities, of which at most two differ where n is large (equal ones are counted
        together); n : length, to 1e9 for two.
    epsilon
        nats.

    Raises
    ------
    LatticeError
        more than five million types, of three or more different probabilities.

    Examples
    --------
    >>> found = typical_set([0.3, 0.7], n=100, epsilon=0.1)
    >>> round(found.probability, 6), round(found.log_size / 100, 6)
    (0.988304, 0.661982)
    """
    p = probabilities_of(p)
    values, multiples = np.unique(p[p > 0], return_counts=True)
    h = float(entropy(p))
    if len(values) == 1:
        counts = np.array([[n]])
    elif len(values) == 2:
        counts = _typical_counts(values, multiples, n, h, epsilon)
    else:
        counts = all_types(n, len(values))
    loss = counts @ -np.log(values) / n
    counts = counts[np.abs(loss - h) <= epsilon + 1e-12 * (1 + h)]
    if len(counts) == 0:
        none = np.asarray(-np.inf)
        return TypicalSet(0.0, -np.inf, Bounds(none, none))
    log_probability = logsumexp(log_type_probability(counts, values * multiples))
    shares = multiples / np.sum(multiples)
    log_size = n * np.log(np.sum(multiples)) + logsumexp(log_type_probability(counts, shares))
    bounds = Bounds(log_probability + n * (h - epsilon), log_probability + n * (h + epsilon))
    return TypicalSet(float(np.exp(min(log_probability, 0.0))), float(log_size), bounds)


def _typical_counts(values, multiples, n: int, h: float, epsilon: float) -> np.ndarray:
    """Counts (T, 2) in a typical set, without those that weigh nothing beside others.

    Both sums are over log-concave terms, and 40 standard deviations from the largest there is
    nothing that double precision would see.
    """
    a, b = -np.log(values)
    ends = np.sort([(n * (h + s * epsilon) - n * b) / (a - b) for s in (-1.0, 1.0)])
    low, high = max(np.ceil(ends[0] - 1e-6), 0), min(np.floor(ends[1] + 1e-6), n)
    if low > high:
        return np.zeros((0, 2))
    wide = 40 * np.sqrt(n / 4) + 100
    kept = []
    for share in ((values * multiples)[0], multiples[0] / np.sum(multiples)):
        centre = np.clip(n * share, low, high)
        kept.append(np.arange(max(low, np.floor(centre - wide)), min(high, centre + wide) + 1))
    k = np.unique(np.concatenate(kept))
    return np.column_stack([k, n - k])
