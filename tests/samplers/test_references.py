"""References: nothing of what they are bridged to is in them, and folding keeps the integral."""

from unittest.mock import patch

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from pm_statmech.bridges import bridge_modes, join_halves
from pm_statmech.samplers import mixture, references
from pm_statmech.samplers.references import Partition, TargetDensity, bridge_draws

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
    own = tuple(density.everywhere(half)[0] for half in x)
    # by their scores these modes would be exact: without them only what was fitted can be wrong
    scores = tuple(np.full_like(half, np.nan) for half in x)
    log_ratio, found, drawn = bridge_draws(density, x, scores, own, 4, rng)
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
    with patch.object(references, "fit_mode", lambda density, m, *_: density.partition.of_mode(m)):
        found = np.array([log_z(modes, 150, rng) for _ in range(24)])
    assert np.mean(found) < -Z_LIMIT * np.std(found, ddof=1) / np.sqrt(len(found))
