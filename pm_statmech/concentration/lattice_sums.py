r"""Sums of independent draws from a lattice, exactly: tails, conditional laws, and their logs.

.. math:: P(\bar X_n \ge x) = e^{n K(t) - t s} \sum_{j \ge s} e^{-t (j - s)} P_t(S_n = j)

with s the first value of the sum at or above nx, and t the tilt that centres the sum there. The
convolution of the tilted law, by a fast Fourier transform, has no small numbers in it, so that
probabilities of any size keep their digits.

Source: Dembo and Zeitouni (1998), Large Deviations Techniques and Applications, sections 2.2 and
7.3; for the conditional law, Csiszar (1984), Ann. Probab. 12, 768-793.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import binom

from pm_statmech.concentration.divergences import relative_entropy
from pm_statmech.concentration.laws import Atoms, numbers_of, span_of
from pm_statmech.concentration.named_laws import law_of
from pm_statmech.errors import LatticeError

MOST_VALUES, MOST_DIRECT = 2**24, 20_000
# of a probability that a fast Fourier transform still gives to some digits
FAINT = 1e-6
# of those distributions of finitely many integers whose cumulants are known
PROBABILITIES: dict[str, Callable] = {
    "DiscreteUniform": lambda k, low, high: np.ones_like(k),
    "Binomial": lambda k, n, p: binom.pmf(k, n, p),
    "Bernoulli": lambda k, p: binom.pmf(k, 1, p),
    "Categorical": lambda k, p: p[k.astype(int)],
}


class Lattice(NamedTuple):
    """Points low + span k for whole numbers k (S,), with probabilities (S,)."""

    low: float
    span: float
    k: np.ndarray
    probabilities: np.ndarray

    @property
    def most(self) -> int:
        """The largest k."""
        return int(self.k[-1])


class GibbsConditioning(NamedTuple):
    """The law of one draw given the mean of all.

    `law` (S,) at finite n and `limit` (S,), the tilted law; their `total_variation` and the
    `relative_entropy` of the first to the second; `log_probability` of what is conditioned on.
    """

    points: np.ndarray
    law: np.ndarray
    limit: np.ndarray
    total_variation: float
    relative_entropy: float
    log_probability: float


def atoms_of(dist) -> Atoms:
    """Points and probabilities of a distribution of finitely many numbers.

    Raises
    ------
    LatticeError
        a distribution of infinitely many values, or whose parameters are not known.
    """
    if isinstance(dist, Atoms):
        return dist
    law = law_of(dist)
    ends = [float(v) for v in numbers_of(*law.support)]
    if law.name not in PROBABILITIES or not np.all(np.isfinite(ends)):
        raise LatticeError(
            f"{law.name} has infinitely many values: an exact sum takes `Atoms`, or a distribution "
            "of finitely many numbers such as DiscreteUniform, Binomial or Categorical."
        )
    if law.name == "Categorical":
        [p] = numbers_of(*law.parameters)
        return Atoms(np.arange(len(p)), p)
    points = np.arange(ends[0], ends[1] + 1)
    return Atoms(points, PROBABILITIES[law.name](points, *numbers_of(*law.parameters)))


def lattice_of(atoms: Atoms) -> Lattice:
    """The lattice that points lie on.

    Raises
    ------
    LatticeError
        points on no lattice that a sum can be listed on.
    """
    d = span_of(atoms.points)
    if d == 0.0:
        raise LatticeError(
            f"the points {np.array2string(atoms.points[:6])} lie on no lattice: their differences "
            "are not whole multiples of one number. Round them, or take `saddlepoint_tail`."
        )
    k = np.round((atoms.points - atoms.points[0]) / d).astype(np.int64)
    return Lattice(float(atoms.points[0]), d, k, atoms.probabilities)


def tilted(lattice: Lattice, t: float) -> np.ndarray:
    """Probabilities (S,) tilted by exp(t k)."""
    exponents = t * lattice.k + np.log(lattice.probabilities)
    return np.exp(exponents - logsumexp(exponents))


def cumulant_on(lattice: Lattice, t: float) -> float:
    """Log of E[exp(t k)]."""
    return float(logsumexp(t * lattice.k + np.log(lattice.probabilities)))


def tilt_on(lattice: Lattice, mean: float) -> float:
    """The t whose tilted mean of k is `mean`, strictly inside."""

    def gap(t: float) -> float:
        return float(tilted(lattice, t) @ lattice.k) - mean

    wide = 1.0 / lattice.most
    while gap(wide) < 0:
        wide *= 2
    narrow = -1.0 / lattice.most
    while gap(narrow) > 0:
        narrow *= 2
    return float(brentq(gap, narrow, wide, xtol=1e-15, rtol=1e-15, maxiter=500))


def _sum_probabilities(lattice: Lattice, n: int, t: float) -> np.ndarray:
    """Probabilities of the sum of n tilted k, 0 to n most.

    Raises
    ------
    LatticeError
        more than 16 million values.
    """
    size = n * lattice.most + 1
    if size > MOST_VALUES:
        raise LatticeError(
            f"the sum of {n} draws has {size} values, above {MOST_VALUES}: take a coarser lattice, "
            "or `bahadur_rao` or `saddlepoint_tail`, whose errors are small there."
        )
    p = np.zeros(lattice.most + 1)
    np.add.at(p, lattice.k, tilted(lattice, t))
    if n == 0:
        return np.ones(1)
    length = 1 << (size - 1).bit_length()
    transform = np.fft.rfft(p, length) ** n
    return np.maximum(np.fft.irfft(transform, length)[:size], 0.0)


def first_above(n: int, low: float, span: float, threshold: float) -> int:
    """Least k with n low + span k at or above n threshold, up to rounding."""
    return int(np.ceil(n * (threshold - low) / span - _rounding(n, low, span, threshold)))


def _rounding(n: int, low: float, span: float, value: float) -> float:
    """By how many steps of a lattice n values are off that are as large as these."""
    return 1e-9 + 1e-15 * n * (abs(value) + abs(low)) / span


def _log_tail(lattice: Lattice, n: int, k: int) -> float:
    """Log probability that the sum of n values of k is at least `k`."""
    most = n * lattice.most
    if k <= 0:
        return 0.0
    if k > most:
        return -np.inf
    if k == most:
        return n * float(np.log(lattice.probabilities[-1]))
    mean = float(lattice.probabilities @ lattice.k)
    t = tilt_on(lattice, k / n) if k > n * mean else 0.0
    above = _sum_probabilities(lattice, n, t)[k:]
    return (
        n * cumulant_on(lattice, t)
        - t * k
        + float(np.log(np.sum(above * np.exp(-t * np.arange(len(above))))))
    )


def _log_equal(lattice: Lattice, n: int, k: int) -> float:
    """Log probability that the sum of n values of k is `k`."""
    if not 0 <= k <= n * lattice.most:
        return -np.inf
    if k == 0 or k == n * lattice.most:
        return n * float(np.log(lattice.probabilities[0 if k == 0 else -1]))
    # what is larger than the sum cannot be in it, from either end
    can = (lattice.k <= k) & (lattice.most - lattice.k <= n * lattice.most - k)
    if not np.any(can):
        return -np.inf
    if not np.all(can):
        share, first = float(np.sum(lattice.probabilities[can])), int(lattice.k[can][0])
        rest = Lattice(0.0, 1.0, lattice.k[can] - first, lattice.probabilities[can] / share)
        if rest.most == 0:
            return n * float(np.log(share)) if k == n * first else -np.inf
        return n * float(np.log(share)) + _log_equal(rest, n, k - n * first)
    t = tilt_on(lattice, k / n)
    p = _sum_probabilities(lattice, n, t)[k]
    if p < FAINT:
        # few ways lead there, or none: too little for what a transform rounds off
        p = _directly(lattice, n, t, k)
    return n * cumulant_on(lattice, t) - t * k + float(np.log(p)) if p > 0 else -np.inf


def _directly(lattice: Lattice, n: int, t: float, k: int) -> float:
    """Probability that the sum of n tilted k is `k`, by products and sums of what is positive.

    Raises
    ------
    LatticeError
        more than 20,000 values on the way.
    """
    p = np.zeros(lattice.most + 1)
    np.add.at(p, lattice.k, tilted(lattice, t))
    if k > n * lattice.most - k:
        # from the nearer end
        p, k = p[::-1], n * lattice.most - k
    if k > MOST_DIRECT:
        raise LatticeError(
            f"the sum is a value that few of {n} draws reach, {k} steps from the end, above "
            f"{MOST_DIRECT}: an exact sum takes too long. Take a coarser lattice, or fewer draws."
        )
    power, result, left = p[: k + 1], np.ones(1), n
    while left:
        if left % 2:
            result = np.convolve(result, power)[: k + 1]
        power = np.convolve(power, power)[: k + 1]
        left //= 2
    return float(result[k]) if k < len(result) else 0.0


def whole_number(n, value) -> int:
    """Return n as an int; LatticeError unless it is whole and above 0, and a mean is finite."""
    if np.ndim(n) or np.ndim(value) or not (n >= 1 and n == int(n) and np.isfinite(value)):
        raise LatticeError(
            f"n = {n} and {value}: a whole number of draws above 0, and one finite mean."
        )
    return int(n)


def log_tail_probability(dist, *, n: int, threshold: float) -> float:
    r"""Exact log probability that the mean of n draws is at or above a threshold.

    .. math:: \log P(\bar X_n \ge x) = -n I(x) + O(\log n)

    Parameters
    ----------
    dist
        `Atoms` on a lattice, or a PyMC distribution of finitely many integers.
    n
        number of draws; threshold : x, in the unit of X.

    Raises
    ------
    LatticeError
        points on no lattice, infinitely many values, or a sum of more than 16 million values.

    Examples
    --------
    >>> die = Atoms([1, 2, 3, 4, 5, 6])
    >>> round(log_tail_probability(die, n=100, threshold=4.5), 9)
    -20.305202752
    """
    n, lattice = whole_number(n, threshold), lattice_of(atoms_of(dist))
    return _log_tail(lattice, n, first_above(n, lattice.low, lattice.span, threshold))


def log_mean_probability(dist, *, n: int, mean: float) -> float:
    r"""Exact log probability that the mean of n draws is `mean`, -inf where no sum has it.

    Parameters
    ----------
    dist
        see `log_tail_probability`; n : number of draws; mean : in the unit of X.

    Examples
    --------
    >>> round(log_mean_probability(Atoms([0, 1], [0.5, 0.5]), n=10, mean=0.5), 6)
    -1.402043
    """
    n, lattice = whole_number(n, mean), lattice_of(atoms_of(dist))
    k = _whole(lattice, n, mean)
    return -np.inf if k is None else _log_equal(lattice, n, k)


def _whole(lattice: Lattice, n: int, mean: float) -> int | None:
    k = n * (mean - lattice.low) / lattice.span
    nearest = round(k)
    slack = _rounding(n, lattice.low, lattice.span, mean)
    return nearest if abs(k - nearest) <= slack else None


def gibbs_conditioning(dist, *, n: int, threshold: float) -> GibbsConditioning:
    r"""The law of one draw, given that the mean of n is at or above a threshold above E[X].

    .. math:: P(X_1 = x \mid \bar X_n \ge a) = p(x)
              \frac{P(S_{n - 1} \ge na - x)}{P(S_n \ge na)} \longrightarrow p(x)\, e^{tx - K(t)},
              \qquad K'(t) = a

    as n grows: what is improbable happens in the least improbable way, and that is an exponential
    family.

    Parameters
    ----------
    dist
        see `log_tail_probability`; n : number of draws; threshold : a.

    Returns
    -------
    `GibbsConditioning`, whose distance falls like 1 / n.

    Raises
    ------
    LatticeError
        a threshold that no mean reaches, or at or below E[X], where nothing is conditioned on.

    Examples
    --------
    >>> die = Atoms([1, 2, 3, 4, 5, 6])
    >>> found = gibbs_conditioning(die, n=50, threshold=4.5)
    >>> found.law.round(4).tolist(), round(found.total_variation, 4)
    ([0.0498, 0.075, 0.112, 0.1658, 0.2433, 0.3541], 0.0105)
    """
    n, atoms = whole_number(n, threshold), atoms_of(dist)
    lattice = lattice_of(atoms)
    if not atoms.mean < threshold:
        raise LatticeError(
            f"threshold = {threshold:g} is not above the mean {atoms.mean:g}: the mean of many "
            "draws is there anyhow, and the law of one is what it was."
        )
    k = first_above(n, lattice.low, lattice.span, threshold)
    total = _log_tail(lattice, n, k)
    rest = np.array([_log_tail(lattice, n - 1, k - int(j)) for j in lattice.k])
    return _conditioned(atoms, lattice, total, rest, threshold)


def microcanonical_conditioning(dist, *, n: int, mean: float) -> GibbsConditioning:
    r"""The law of one draw, given that the mean of n is exactly `mean`.

    .. math:: P(X_1 = x \mid \bar X_n = a) = p(x) \frac{P(S_{n - 1} = na - x)}{P(S_n = na)}

    Boltzmann's microcanonical ensemble, whose limit is the canonical one.

    Parameters
    ----------
    dist
        see `log_tail_probability`; n : number of draws; mean : a.

    Raises
    ------
    LatticeError
        a mean that no n draws have.

    Examples
    --------
    >>> found = microcanonical_conditioning(Atoms([1, 2, 3, 4, 5, 6]), n=100, mean=4.5)
    >>> round(found.total_variation, 4)
    0.0022
    """
    n, atoms = whole_number(n, mean), atoms_of(dist)
    lattice = lattice_of(atoms)
    k = _whole(lattice, n, mean)
    total = -np.inf if k is None else _log_equal(lattice, n, k)
    if k is None or total == -np.inf:
        raise LatticeError(
            f"no {n} draws have a mean of {mean:g}: take a value that their sum has."
        )
    rest = np.array([_log_equal(lattice, n - 1, k - int(j)) for j in lattice.k])
    return _conditioned(atoms, lattice, total, rest, mean)


def _conditioned(atoms: Atoms, lattice: Lattice, total, rest, mean: float) -> GibbsConditioning:
    if total == -np.inf:
        raise LatticeError(f"no mean of these draws reaches {mean:g}.")
    law = atoms.probabilities * np.exp(rest - total)
    at = (mean - lattice.low) / lattice.span
    if at < lattice.most and at > 0:
        limit = tilted(lattice, tilt_on(lattice, at))
    else:
        limit = (lattice.k == round(at)) * 1.0
    apart = float(relative_entropy(law, limit)) if np.all(limit[law > 0] > 0) else np.inf
    distance = 0.5 * float(np.sum(np.abs(law - limit)))
    return GibbsConditioning(atoms.points, law, limit, distance, apart, float(total))
