"""Posteriors of resampled data sets, and what their intervals and regions hold of an estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pm_statmech.samplers.refits import COUNTS, Fit, Refits
from pm_statmech.samplers.workers import in_parallel

# share of the effective draws of a fit that weights must leave, or it is drawn again; and how much
# hotter than it a beta may be, since far hotter weights have no variance and do not show it
LEAST_SHARE, LEAST_SHARE_OF_CURVE, HOTTEST = 0.5, 0.1, 0.75


class Covered(NamedTuple):
    """What the intervals of every resampled data set held of the estimate, at one beta.

    `rank` (B, d) is the posterior probability below it, in each coordinate; `mass` (B,) that of
    the region in which the density is higher than at it.
    """

    rank: np.ndarray
    mass: np.ndarray

    def marginal(self, level: float) -> np.ndarray:
        """Whether equal-tailed intervals cover each coordinate (B, d)."""
        return np.abs(self.rank - 0.5) <= level / 2

    def joint(self, level: float) -> np.ndarray:
        """Whether the region of highest density covers the estimate (B,)."""
        return self.mass <= level


class Resamples:
    """Posteriors of resampled data, reweighted from one beta to the next while that is safe.

    Parameters
    ----------
    refits
        the compiled model; first : its posterior for the data themselves.
    estimate
        flat (d,).
    n_observations, draws
        of the data, and of each posterior.
    seeds
        one a resample, for its counts and its draws.
    report
        called after each posterior that is drawn.
    """

    def __init__(
        self, refits: Refits, first: Fit, estimate: np.ndarray, n_observations: int, draws: int,
        seeds: Sequence[np.random.SeedSequence], report: Callable[[], None],
    ) -> None:  # fmt: skip
        self.refits, self.estimate, self.draws, self.report = refits, estimate, draws, report
        self.generators = [np.random.default_rng(seed) for seed in seeds]
        share = np.full(n_observations, 1.0 / n_observations)
        self.data = [
            {COUNTS: rng.multinomial(n_observations, share).astype(float)}
            for rng in self.generators
        ]
        self.fits = [first] * len(seeds)
        self.drawn = [False] * len(seeds)
        self.at_estimate = np.concatenate(
            [refits.values(estimate[None], data)[:, :2] for data in self.data]
        )
        self.n_drawn = 0

    def _drawn_again(self, b: int, beta: float) -> tuple[Fit, np.ndarray]:
        fit = self.refits.again(self.fits[b], beta, self.data[b], self.draws, self.generators[b])
        return fit, fit.log_weights(beta)[0]

    def covered(self, beta: float, pool, share: float = LEAST_SHARE) -> Covered:
        """Ranks and masses at a beta; draws again those whose weights do not reach it."""
        weights: dict[int, np.ndarray] = {}
        stale = []
        for b, fit in enumerate(self.fits):
            if self.drawn[b] and beta >= HOTTEST * fit.beta:
                log_w, effective = fit.log_weights(beta)
                if effective >= share * float(np.min(fit.ess)):
                    weights[b] = log_w
                    continue
            stale.append(b)
        for number, found in in_parallel(self._drawn_again, ((b, beta) for b in stale), pool):
            b = stale[number]
            self.fits[b], weights[b] = found  # type: ignore[misc]
            self.drawn[b] = True
            self.n_drawn += 1
            self.report()
        rank = np.empty((len(self.fits), len(self.estimate)))
        mass = np.empty(len(self.fits))
        for b, fit in enumerate(self.fits):
            w = np.exp(weights[b])
            rank[b] = w @ (fit.pooled() < self.estimate) + 0.5 * (
                w @ (fit.pooled() == self.estimate)
            )
            values = fit.values.reshape(-1, fit.values.shape[-1])
            log_density = values[:, 0] - beta * values[:, 1]
            here = self.at_estimate[b, 0] - beta * self.at_estimate[b, 1]
            mass[b] = w @ (log_density > here)
        return Covered(rank, mass)

    @property
    def n_failed(self) -> int:
        """Fits that did not pass their checks."""
        return sum(not fit.converged for fit in self.fits)
