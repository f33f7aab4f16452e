r"""Empirical means along a Markov chain: the theorem of Gärtner and Ellis.

.. math:: K(t) = \lim_n \frac1n \log E\left[e^{t \sum_i f(X_i)}\right] = \log \rho(P_t), \qquad
          P_t(i, j) = P(i, j)\, e^{t f(j)}, \qquad I(x) = \sup_t\; t x - K(t)

with rho the Perron root. With its right and left eigenvectors r and l

.. math:: K'(t) = \frac{\sum_i l_i f_i r_i}{\sum_i l_i r_i}

the mean of f under the chain that is tilted. All tilts go at once, by Arnoldi's iteration, whose
products with P are matrix products; where a gap is too small for it, one by one by Noda's inverse
iteration, which converges for every irreducible chain.

Sources: Dembo and Zeitouni (1998), Large Deviations Techniques and Applications, section 3.1;
Noda (1971), Numer. Math. 17, 382-386; Karp (1978), Discrete Math. 23, 309-311, for the ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import lu_factor, lu_solve
from scipy.sparse import csc_array, eye_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from pm_statmech.errors import CumulantError

KRYLOV, RESTARTS, RESIDUAL, ROOT_FOUND = 12, 6, 1e-12, 4e-14
MOST_STEPS, MEAN_FOUND, TILT_FOUND, TOO_FAR = 120, 1e-9, 4e-15, 600.0
SPARSE = 0.1


class MarkovRate(NamedTuple):
    """Rates (m,) of empirical means, their tilts (m,), and the stationary mean, of rate 0."""

    value: np.ndarray
    tilt: np.ndarray
    stationary_mean: float


class MarkovCumulant(NamedTuple):
    """K(t) (m,) and K'(t) (m,)."""

    value: np.ndarray
    mean: np.ndarray


def _checked(transition, values) -> tuple[np.ndarray, np.ndarray]:
    P = np.asarray(transition, dtype=np.float64)
    f = np.asarray(values, dtype=np.float64)
    if P.ndim != 2 or P.shape[0] != P.shape[1] or f.shape != (len(P),):
        raise CumulantError(
            f"a transition matrix of shape {P.shape} with values {f.shape}: (S, S) and (S,)."
        )
    if not (np.all(P >= 0) and np.allclose(P.sum(axis=1), 1.0, rtol=0, atol=1e-6)):
        row = int(np.argmax(np.abs(P.sum(axis=1) - 1) + np.any(P < 0, axis=1)))
        raise CumulantError(
            f"row {row} of the transition matrix sums to {P[row].sum():.9g}, or has a negative "
            f"entry ({P[row].min():.3g}): rows are probabilities of the next state."
        )
    if not np.all(np.isfinite(f)):
        raise CumulantError("a value of a state is not finite.")
    parts, labels = connected_components(P > 0, connection="strong")
    if parts > 1:
        smallest = np.flatnonzero(labels == np.argmin(np.bincount(labels)))[:5].tolist()
        raise CumulantError(
            f"the chain is reducible: of {parts} classes one is that of states {smallest}. Which "
            "class it ends in decides its means; take each class as a chain of its own."
        )
    return P / P.sum(axis=1, keepdims=True), f


def _arnoldi(apply: Callable, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Perron roots (B,), vectors (S, B) and residuals (B,) of B matrices, from vectors (S, B)."""
    V = np.empty((KRYLOV + 1, *start.shape))
    H = np.zeros((start.shape[1], KRYLOV + 1, KRYLOV))
    V[0] = start / np.linalg.norm(start, axis=0)
    for j in range(KRYLOV):
        w = apply(V[j])
        for _ in range(2):
            # twice is enough to be orthogonal
            h = np.einsum("isb,sb->ib", V[: j + 1], w)
            w = w - np.einsum("isb,ib->sb", V[: j + 1], h)
            H[:, : j + 1, j] += h.T
        size = np.linalg.norm(w, axis=0)
        H[:, j + 1, j] = size
        V[j + 1] = w / np.maximum(size, 1e-300)
    roots, vectors = np.linalg.eig(H[:, :KRYLOV])
    best = np.argmax(roots.real, axis=1)
    which = np.arange(len(best))
    y = vectors[which, :, best].real
    found = np.abs(np.einsum("isb,bi->sb", V[:KRYLOV], y))
    found /= np.sum(found, axis=0)
    image = apply(found)
    rho = np.sum(image, axis=0)
    return rho, found, np.sum(np.abs(image - rho * found), axis=0) / rho


class _Tilted(NamedTuple):
    """The chain at one tilt: K, K', K'', log r (S,), and its derivative g in the tilt (S,)."""

    value: float
    mean: float
    variance: float
    log_right: np.ndarray
    slope: np.ndarray


def _noda(P: np.ndarray, f: np.ndarray, t: float, log_x: np.ndarray) -> _Tilted:
    """One tilt, from a start of log r (S,).

    In coordinates where the last vector is of ones, so that vectors may span any number of orders
    of magnitude. There the matrix divided by its root is the tilted chain Q, whose stationary law
    is l r, and g - Q g = f - K' gives :math:`K'' = E[g^2 - (Q g)^2]`.
    """
    n = len(f)
    rows, columns = np.nonzero(P)
    exponents = t * f
    highest = np.max(exponents)
    entries = P[rows, columns] * np.exp(exponents[columns] - highest)
    start, last, steps = log_x, np.inf, 0
    while True:
        scaled = entries * np.exp(log_x[columns] - log_x[rows])
        ratio = np.bincount(rows, scaled, n)
        high, low = float(np.max(ratio)), float(np.min(ratio))
        gap = (high - low) / high
        # a hair above the root, so that the matrix stays regular
        solve = _inverse(n, rows, columns, scaled, high * (1 + 1e-14))
        # the root lies between low and high, which close in on it until rounding
        steps += 1
        if gap <= ROOT_FOUND or (gap < 1e-10 and gap > 0.5 * last) or steps == MOST_STEPS:
            break
        last = gap
        log_x = log_x + np.log(np.maximum(solve(np.ones(n), False), 1e-300))
        log_x = log_x - np.max(log_x)
    if gap > 100 * ROOT_FOUND and np.any(start):
        # a start from too far away: from nowhere it converges
        return _noda(P, f, t, np.zeros(n))
    weights = np.abs(solve(np.abs(solve(np.ones(n), True)), True))
    total = np.sum(weights)
    if not (0 < total < np.inf and gap < 1e-6):
        # so far that steps of the chain underflow
        return _Tilted(np.nan, np.nan, np.nan, log_x, log_x)
    weights /= total
    # l M r / l r, whose error is the product of both
    root = float(weights @ ratio)
    mean = float(weights @ f)
    g = solve(root * (f - mean), False)
    g = g - weights @ g
    onward = np.bincount(rows, scaled * g[columns], n) / root
    return _Tilted(
        float(highest + np.log(root)), mean, float(weights @ (g**2 - onward**2)), log_x, g
    )  # fmt: skip


def _inverse(n: int, rows, columns, entries, shift: float) -> Callable:
    """Function (b (n,), transposed) -> solution of (shift - M) y = b."""
    if len(rows) < SPARSE * n * n:
        block = csc_array((-entries, (rows, columns)), (n, n)) + csc_array(shift * eye_array(n))
        factors = splu(block)
        return lambda b, transposed: factors.solve(b, "T" if transposed else "N")
    block = np.zeros((n, n))
    block[rows, columns] = -entries
    block[np.diag_indices(n)] += shift
    dense = lu_factor(block, check_finite=False)
    return lambda b, transposed: lu_solve(dense, b, trans=int(transposed), check_finite=False)


class _AtOnce:
    """The chain at many tilts, with its eigenvectors as starts of the next ones."""

    def __init__(self, P: np.ndarray, f: np.ndarray, many: int) -> None:
        self.P, self.f = P, f
        self.right = np.ones((len(f), many))
        self.left = np.ones((len(f), many))
        # how often the tilted chain is in each state
        self.weights = np.ones((len(f), many))

    def at(self, t: np.ndarray) -> MarkovCumulant | None:
        """K and K' at tilts (B,), None where Arnoldi's iteration is too slow."""
        exponents = self.f[:, None] * t
        highest = np.max(exponents, axis=0)
        E = np.exp(exponents - highest)
        for _ in range(RESTARTS):
            rho, self.right, gap = _arnoldi(lambda v: self.P @ (E * v), self.right)
            _, self.left, other = _arnoldi(lambda v: E * (self.P.T @ v), self.left)
            # a mean is off by as many residuals as the vectors are far from each other
            both = self.left * self.right
            apart = np.linalg.norm(self.left, axis=0) * np.linalg.norm(self.right, axis=0)
            if np.all(np.maximum(gap, other) * apart <= RESIDUAL * np.sum(both, axis=0)):
                self.weights = both / np.sum(both, axis=0)
                return MarkovCumulant(highest + np.log(rho), self.f @ self.weights)
        return None


def _by_continuation(P, f, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tilts, K (m,) and whether means (m,) have them, each from its neighbour's.

    Where a chain hardly passes between two parts its mean jumps at one tilt, and no double is
    close enough to it; the rate, which is a line there, does not need one.
    """
    first = _noda(P, f, 0.0, np.zeros(len(f)))
    wide = float(np.ptp(f))
    t, k, met = (np.zeros(len(wanted)) for _ in range(3))
    for side in (wanted >= first.mean, wanted < first.mean):
        here, at = first, 0.0
        for i in sorted(np.flatnonzero(side), key=lambda i: abs(wanted[i] - first.mean)):
            low, high = -np.inf, np.inf
            for _ in range(MOST_STEPS):
                gap = here.mean - wanted[i]
                met[i] = abs(gap) <= MEAN_FOUND * wide or high - low <= TILT_FOUND * abs(at)
                if met[i] or not abs(at) * wide <= TOO_FAR or np.isnan(gap):
                    break
                low, high = (low, at) if gap > 0 else (at, high)
                reach = 4.0 / wide + abs(at)
                new = at + float(np.clip(-gap / max(here.variance, 1e-300), -reach, reach))
                new = float(np.clip(new, -1.1 * TOO_FAR / wide, 1.1 * TOO_FAR / wide))
                if not low < new < high:
                    new = (low + high) / 2
                # the vector moves by its derivative, where that is of use
                change = np.clip((new - at) * here.slope, -10.0, 10.0)
                here, at = _noda(P, f, new, here.log_right + change), new
            t[i], k[i] = at, here.value
    return t, k, met > 0


def _all_at_once(P, f, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The same by secants of all at a time, None where Arnoldi's iteration is too slow."""
    chain = _AtOnce(P, f, len(wanted))
    wide = float(np.ptp(f))
    t = np.zeros(len(wanted))
    found = chain.at(t)
    if found is None:
        return None
    k, mean = found
    there = np.zeros(len(t), dtype=bool)
    # the first step as if states were independent
    slope = np.full(len(t), float((f - mean[0]) ** 2 @ chain.weights[:, 0]))
    low, high = np.full(len(t), -np.inf), np.full(len(t), np.inf)
    last_t, last_mean = t, mean
    for _ in range(MOST_STEPS):
        gap = mean - wanted
        there = np.abs(gap) <= MEAN_FOUND * wide
        if np.all(there) or np.any(np.abs(t) * wide > TOO_FAR):
            break
        high, low = np.where(gap > 0, t, high), np.where(gap > 0, low, t)
        moved = t - last_t
        with np.errstate(divide="ignore", invalid="ignore"):
            secant = (mean - last_mean) / moved
        slope = np.where((moved != 0) & (secant > 0), secant, slope)
        reach = 4.0 / wide + np.abs(t)
        new = np.where(there, t, t + np.clip(-gap / slope, -reach, reach))
        with np.errstate(invalid="ignore"):
            new = np.where(~there & ((new <= low) | (new >= high)), (low + high) / 2, new)
        new = np.clip(new, -1.1 * TOO_FAR / wide, 1.1 * TOO_FAR / wide)
        last_t, last_mean, t = t, mean, new
        found = chain.at(t)
        if found is None:
            return None
        k, mean = found
    return t, k, there


def markov_cumulant(transition, values, t) -> MarkovCumulant:
    r"""Cumulant of the mean of f along a chain, :math:`K(t) = \log \rho(P_t)`, and its slope.

    Parameters
    ----------
    transition
        (S, S) P, rows of sum 1, irreducible; values : (S,) f.
    t
        (m,) tilts, in 1 / the unit of f.

    Raises
    ------
    CumulantError
        rows that are not probabilities, a reducible chain.

    Examples
    --------
    >>> found = markov_cumulant([[0.9, 0.1], [0.2, 0.8]], [0.0, 1.0], [0.0])
    >>> abs(round(float(found.value[0]), 9)), round(float(found.mean[0]), 6)
    (0.0, 0.333333)
    """
    P, f = _checked(transition, values)
    tilts = np.atleast_1d(np.asarray(t, dtype=np.float64))
    found = _AtOnce(P, f, len(tilts)).at(tilts)
    if found is not None:
        return found
    each = [_noda(P, f, v, np.zeros(len(f))) for v in tilts]
    return MarkovCumulant(np.array([v.value for v in each]), np.array([v.mean for v in each]))


def largest_cycle_mean(transition, values) -> float:
    """Largest mean of values (S,) along a cycle of possible steps: what no empirical mean exceeds.

    Examples
    --------
    >>> largest_cycle_mean([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0])
    0.5
    """
    P, f = _checked(transition, values)
    n = len(f)
    weights = np.where(P > 0, f[None, :], -np.inf)
    longest = np.full((n + 1, n), -np.inf)
    longest[0, 0] = 0.0
    for k in range(1, n + 1):
        longest[k] = np.max(longest[k - 1][:, None] + weights, axis=0)
    with np.errstate(invalid="ignore"):
        means = (longest[n] - longest[:n]) / (n - np.arange(n))[:, None]
    means = np.where(np.isneginf(longest[:n]), np.inf, means)
    return float(np.max(np.min(means, axis=0)[np.isfinite(longest[n])]))


def markov_rate_function(transition, values, x) -> MarkovRate:
    r"""Rate function of the mean of f along a chain, at many means at once.

    .. math:: \frac1n \log P\Bigl(\frac1n \sum_{i \le n} f(X_i) \approx x\Bigr) \to -I(x)

    from wherever the chain begins.

    Parameters
    ----------
    transition
        (S, S) P, rows of sum 1, irreducible; values : (S,) f.
    x
        (m,) means between the least and the largest mean of f along a cycle.

    Raises
    ------
    CumulantError
        rows that are not probabilities, a reducible chain, or means that no tilt has.

    Examples
    --------
    >>> found = markov_rate_function([[0.9, 0.1], [0.2, 0.8]], [0.0, 1.0], [0.5, 0.8])
    >>> found.value.round(6).tolist(), round(found.stationary_mean, 6)
    ([0.010101, 0.078731], 0.333333)
    """
    P, f = _checked(transition, values)
    wanted = np.atleast_1d(np.asarray(x, dtype=np.float64)).ravel()
    if len(wanted) == 0 or not np.all(np.isfinite(wanted)):
        raise CumulantError(f"x = {x}: finite means, at least one.")
    wide = float(np.ptp(f))
    if wide == 0:
        raise CumulantError("the values of all states are equal: their mean never deviates.")
    found = _all_at_once(P, f, wanted)
    t, k, met = _by_continuation(P, f, wanted) if found is None else found
    if not np.all(met):
        ends = -largest_cycle_mean(P, -f), largest_cycle_mean(P, f)
        raise CumulantError(
            f"no tilt of the chain has the mean {wanted[~met][0]:.6g}: means along cycles, and "
            f"with them empirical means of long chains, go from {ends[0]:.6g} to {ends[1]:.6g}."
        )
    return MarkovRate(t * wanted - k, t, float(markov_cumulant(P, f, [0.0]).mean[0]))
