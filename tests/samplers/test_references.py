"""References: nothing of what they are bridged to is in them, and folding keeps the integral."""

from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from pm_statmech.bridges import bridge_modes, join_halves
from pm_statmech.samplers import mixture, reference_bridges
from pm_statmech.samplers.reference_bridges import bridge_draws
from pm_statmech.samplers.references import Draws, Partition, TargetDensity

Z_LIMIT = 5.5


class Modes:
    """Two normal modes of equal weight, d dimensions, 20 apart: [log density, 0, gradients]."""

    def __init__(self, d):
        self.centres = np.stack([np.full(d, -10 / np.sqrt(d)), np.full(d, 10 / np.sqrt(d))])

    def __call__(self, x):
        parts = np.stack([stats.multivariate_normal(c).logpdf(x) for c in self.centres], axis=-1)
        own = logsumexp(parts, axis=-1) - np.log(2)
        shares = np.exp(parts - np.log(2) - own[:, None])
        scores = shares @ self.centres - x
        return np.column_stack([own, np.zeros(len(x)), scores, np.zeros_like(x)])

    def draw(self, n, rng):
        """n draws of each mode."""
        noise = rng.standard_normal((2, n, self.centres.shape[1]))
        return (noise + self.centres[:, None]).reshape(-1, self.centres.shape[1])


def log_z(modes, n, rng, components=1):
    """log Z of the two modes by bridges from n draws of each in each half; the truth is 0."""
    x = tuple(modes.draw(n, rng) for _ in range(2))
    labels = np.repeat([0, 1], n)
    # the partition has seen both halves, as in a run
    parts = [mixture.gaussian(np.concatenate([half[labels == m] for half in x])) for m in (0, 1)]
    both = mixture.Mixture(
        np.full(2, 0.5),
        np.concatenate([p.means for p in parts]),
        np.concatenate([p.factors for p in parts]),
    )
    if components > 1:
        grown = mixture.fit(np.concatenate(x), 2 * components, rng, both)
        both = mixture.improve(grown, np.concatenate(x), 30)
    mode = (both.means @ modes.centres[1] > 0).astype(int)
    density = TargetDensity(modes, 1.0, Partition(both, mode))
    # by their scores these modes would be exact: without them only what was fitted can be wrong
    draws = tuple(Draws(h, np.full_like(h, np.nan), density.everywhere(h)[0]) for h in x)
    log_ratio, found, drawn = bridge_draws(density, draws, 4, rng)
    halves = [bridge_modes(log_ratio[s], found[s], drawn[s]) for s in (0, 1)]
    return join_halves(*halves).log_z


@pytest.mark.parametrize(("d", "n", "components"), [(20, 150, 1), (10, 300, 3)])
def test_no_bias_from_what_the_partition_has_seen(d, n, components):
    modes, rng = Modes(d), np.random.default_rng(11)
    found = np.array([log_z(modes, n, rng, components) for _ in range(24)])
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found)) < Z_LIMIT * error


def test_a_reference_that_has_seen_the_draws_would_bias_low():
    """Control: the partition's own components, which both halves were fitted on."""
    modes, rng = Modes(20), np.random.default_rng(12)
    with patch.object(
        reference_bridges, "fit_mode", lambda density, m, *_: density.partition.of_mode(m)
    ):
        found = np.array([log_z(modes, 150, rng) for _ in range(24)])
    assert np.mean(found) < -Z_LIMIT * np.std(found, ddof=1) / np.sqrt(len(found))


class Curved:
    """A normal x[0] and x[1] about c x[0]^2, which no Gaussian describes; log Z = log 2 pi."""

    def __init__(self, c):
        self.c = c

    def __call__(self, x):
        bent = x[:, 1] - self.c * x[:, 0] ** 2
        own = -0.5 * (x[:, 0] ** 2 + bent**2)
        scores = np.column_stack([-x[:, 0] + 2 * self.c * bent * x[:, 0], -bent])
        return np.column_stack([own, np.zeros(len(x)), scores, np.zeros_like(x)])

    def draws(self, n, rng, density):
        """n draws, for bridges."""
        x = rng.standard_normal((n, 2))
        x[:, 1] += self.c * x[:, 0] ** 2
        own, scores = density.everywhere(x)
        return Draws(x, scores, own)


def bridged(target, n, ratio, rng, run=map):
    """Bridges of both halves, n draws each, of a target of one mode."""
    one = mixture.gaussian(target.draws(1000, rng, TargetDensity(target, 1.0, None)).x)
    density = TargetDensity(target, 1.0, Partition(one, np.zeros(1, dtype=int)))
    halves = tuple(target.draws(n, rng, density) for _ in range(2))
    log_ratio, mode, drawn = bridge_draws(density, halves, ratio, rng, run)
    return [bridge_modes(log_ratio[s], mode[s], drawn[s]) for s in (0, 1)], drawn.shape[2]


def test_references_that_overlap_less_are_drawn_more_often():
    _, few = bridged(Curved(0.3), 20_000, 4, np.random.default_rng(13))
    halves, many = bridged(Curved(2.0), 20_000, 4, np.random.default_rng(13))
    assert few == reference_bridges.FIRST_DRAWS
    assert 20_000 < many < 80_000
    joined = join_halves(*halves)
    error = np.sqrt(sum(h.reference_variance[0] + np.var(h.on_target) / 20_000 for h in halves)) / 2
    assert abs(joined.log_z - np.log(2 * np.pi)) < Z_LIMIT * error
    # no more often than the ratio says, which is what they may cost
    assert bridged(Curved(2.0), 20_000, 1, np.random.default_rng(13))[1] == 20_000


def test_threads_change_nothing():
    with ThreadPoolExecutor(2) as pool:
        threads = bridged(Curved(0.5), 3000, 4, np.random.default_rng(14), pool.map)
    one = bridged(Curved(0.5), 3000, 4, np.random.default_rng(14))
    assert threads[1] == one[1]
    for a, b in zip(threads[0], one[0], strict=True):
        np.testing.assert_array_equal(a.log_z, b.log_z)
        np.testing.assert_array_equal(a.on_target, b.on_target)
