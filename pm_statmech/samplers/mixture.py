r"""Gaussian mixtures fitted to draws, as normalised references.

.. math:: q(x) = \sum_k w_k\, N(x; \mu_k, L_k L_k^\top)

Sources: Dempster, Laird, Rubin (1977), JRSS B 39, for expectation maximisation; Arthur and
Vassilvitskii (2007), SODA, for the seeding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from pm_statmech.samplers.mixture_kernels import log_components, share, weighted_moments

COMPONENTS = (2, 3, 4, 6, 8, 12)
TRIAL_ITERATIONS, MORE_ITERATIONS = 8, 16
TOLERANCE = 1e-3
LEAST_GAIN = 0.003
SUBSAMPLE = 2500


@dataclass(frozen=True)
class Mixture:
    """Weights (K,), means (K, d), and lower Cholesky factors (K, d, d) of the covariances."""

    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray

    @property
    def n_components(self) -> int:
        """K."""
        return len(self.weights)

    def log_components(self, x: np.ndarray) -> np.ndarray:
        """Return log w_k N(x; mu_k, S_k) of points (n, d): (n, K)."""
        return log_components(np.ascontiguousarray(x), *compiled_parameters(self))

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log q(x) of points (n, d)."""
        return share(self.log_components(x))[0]

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return n independent draws (n, d)."""
        chosen = rng.choice(self.n_components, size=n, p=self.weights)
        noise = rng.standard_normal((n, self.means.shape[1]))
        return self.means[chosen] + np.einsum("nij,nj->ni", self.factors[chosen], noise)

    def restricted(self, members: np.ndarray) -> Mixture:
        """The components where `members` is true, as a normalised mixture."""
        weights = self.weights[members]
        return Mixture(weights / np.sum(weights), self.means[members], self.factors[members])


def compiled_parameters(mixture: Mixture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the kernels of `mixture_kernels` read."""
    d = mixture.means.shape[1]
    diagonals = np.diagonal(mixture.factors, axis1=1, axis2=2)
    # a mode that the bridges found empty has weight 0
    with np.errstate(divide="ignore"):
        log_weights = np.log(mixture.weights) - np.sum(np.log(diagonals), axis=1)
    log_weights -= 0.5 * d * np.log(2 * np.pi)
    inverses = np.stack([solve_triangular(f, np.eye(d), lower=True) for f in mixture.factors])
    return log_weights, np.ascontiguousarray(mixture.means), np.ascontiguousarray(inverses)


def _seeds(x: np.ndarray, n_components: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of centres, each drawn in proportion to its squared distance from the others."""
    centres = [int(rng.integers(len(x)))]
    distance = np.sum((x - x[centres[0]]) ** 2, axis=1)
    for _ in range(n_components - 1):
        centres.append(int(rng.choice(len(x), p=distance / np.sum(distance))))
        distance = np.minimum(distance, np.sum((x - x[centres[-1]]) ** 2, axis=1))
    return np.array(centres)


def _covariance(x: np.ndarray) -> np.ndarray:
    """Covariance (d, d) of draws (n, d), positive even in directions that do not vary."""
    covariance = np.atleast_2d(np.cov(x, rowvar=False))
    variances = np.diag(covariance)
    return covariance + np.diag(1e-10 * np.maximum(variances, np.mean(variances) + 1e-300))


def _maximise(x: np.ndarray, shares: np.ndarray, floor: np.ndarray) -> Mixture:
    """Maximisation step: weights, means and covariances of shares (n, K)."""
    n, d = x.shape
    counts, means, covariances = weighted_moments(x, shares)
    factors = np.empty((len(counts), d, d))
    widths = np.diag(floor)
    for k, (count, covariance) in enumerate(zip(counts, covariances, strict=True)):
        # a component of few draws leans on the covariance of the whole, scaled down
        lean = min(1.0, (d + 1) / count)
        ratios = np.maximum(np.diag(covariance) / widths, 1e-12)
        scale = max(float(np.exp(np.mean(np.log(ratios)))), 1e-8)
        factors[k] = np.linalg.cholesky((1 - lean) * covariance + lean * scale * floor)
    return Mixture(counts / n, means, factors)


def improve(mixture: Mixture, x: np.ndarray, n_iterations: int) -> Mixture:
    """Expectation maximisation from a mixture, until the mean log density gains under .001."""
    floor = _covariance(x)
    last = -np.inf
    for _ in range(n_iterations):
        log_parts = mixture.log_components(x)
        log_density, shares = share(log_parts)
        alive = np.sum(shares, axis=0) > 1.0
        if not np.all(alive):
            # in logs, since a draw that only a dropped component described has shares of zero
            _, shares = share(np.ascontiguousarray(log_parts[:, alive]))
        mixture = _maximise(x, shares, floor)
        value = float(np.mean(log_density))
        if value - last < TOLERANCE:
            break
        last = value
    return mixture


def gaussian(x: np.ndarray) -> Mixture:
    """The one Gaussian with the mean and covariance of draws (n, d)."""
    factor = np.linalg.cholesky(_covariance(x))
    return Mixture(np.ones(1), np.mean(x, axis=0)[None], factor[None])


def leaning(x: np.ndarray) -> Mixture:
    """One Gaussian of few draws (n, d), whose covariance leans on its diagonal by (d + 1) / n."""
    return _maximise(x, np.ones((len(x), 1)), np.diag(np.diag(_covariance(x))))


def _grown(mixture: Mixture, x: np.ndarray, white: np.ndarray) -> Mixture:
    """One component more, on the fiftieth of the draws nearest to the one it describes worst."""
    log_density, shares = share(mixture.log_components(x))
    worst = np.argsort(log_density)[len(x) // 100]
    near = np.argsort(np.sum((white - white[worst]) ** 2, axis=1))[: max(len(x) // 50, 2)]
    shares = np.column_stack([shares, np.zeros(len(x))])
    shares[near] = 0.0
    shares[near, -1] = 1.0
    covariance = _covariance(x)
    return _maximise(x, shares[:, np.sum(shares, axis=0) > 0], covariance)


def fit(x: np.ndarray, n_components: int, rng: np.random.Generator, last: Mixture) -> Mixture:
    """Mixture of draws (n, d) with at most n_components: the better of two starts.

    One start is seeded afresh, the other adds components to `last` where that fits worst.
    """
    whole = gaussian(x)
    white = solve_triangular(whole.factors[0], (x - whole.means[0]).T, lower=True).T
    centres = white[_seeds(white, n_components, rng)]
    distances = -2 * white @ centres.T + np.sum(centres**2, axis=1)
    shares = np.eye(n_components)[np.argmin(distances, axis=1)]
    covariance = _covariance(x)
    fresh = _maximise(x, shares[:, np.sum(shares, axis=0) > 0], covariance)
    grown = last
    for _ in range(n_components - last.n_components):
        grown = _grown(grown, x, white)
    found = [improve(start, x, TRIAL_ITERATIONS) for start in (fresh, grown)]
    best = max(found, key=lambda mixture: float(np.mean(mixture.log_density(x))))
    return improve(best, x, MORE_ITERATIONS)


def extended(mixture: Mixture, x: np.ndarray, n_iterations: int) -> Mixture:
    """Mixture improved on draws (n, d), with one component more where that is worth it."""
    whole = gaussian(x)
    white = solve_triangular(whole.factors[0], (x - whole.means[0]).T, lower=True).T
    plain = improve(mixture, x, n_iterations)
    grown = improve(_grown(plain, x, white), x, n_iterations)
    gain = float(np.mean(grown.log_density(x)) - np.mean(plain.log_density(x)))
    # a component of one part in 1/n of the draws, far from all others, gains that much
    n_parameters = x.shape[1] * (x.shape[1] + 3) / 2 + 1
    return grown if gain > LEAST_GAIN + n_parameters / len(x) else plain


def select(train: np.ndarray, test: np.ndarray, rng: np.random.Generator) -> Mixture:
    """Mixture of `train` whose number of components serves `test` best.

    The number grows through 2, 3, 4, 6, 8, 12 while the mean log density of `test` gains 0.003
    nats a component; two failures in a row end the search.
    """
    train = train[rng.permutation(len(train))[:SUBSAMPLE]]
    test = test[rng.permutation(len(test))[:SUBSAMPLE]]
    best = last = gaussian(train)
    best_value = float(np.mean(best.log_density(test)))
    failures = 0
    for n_components in COMPONENTS:
        last = fit(train, n_components, rng, last)
        value = float(np.mean(last.log_density(test)))
        if value - best_value > LEAST_GAIN * (n_components - best.n_components):
            best, best_value, failures = last, value, 0
        else:
            failures += 1
        if failures == 2:
            break
    return best
