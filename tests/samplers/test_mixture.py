import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal

from pm_statmech.samplers.mixture import Mixture, extended, gaussian, improve, select
from pm_statmech.samplers.mixture_kernels import share, weighted_moments
from pm_statmech.samplers.references import merge


def draws(n, seed, d=3, separation=8.0):
    rng = np.random.default_rng(seed)
    right = rng.random(n) < 0.7
    return (
        rng.normal(size=(n, d)) * np.where(right, 1.0, 0.5)[:, None] + separation * right[:, None]
    )


def test_separate_bumps_are_found_with_their_weights_and_widths():
    rng = np.random.default_rng(0)
    q = select(draws(3000, 1), draws(3000, 2), rng)
    assert q.n_components == 2
    order = np.argsort(q.means[:, 0])
    np.testing.assert_allclose(q.weights[order], [0.3, 0.7], atol=0.03)
    np.testing.assert_allclose(q.means[order], [[0] * 3, [8] * 3], atol=0.1)
    widths = np.sqrt(np.diagonal(q.factors @ np.swapaxes(q.factors, 1, 2), axis1=1, axis2=2))
    np.testing.assert_allclose(widths[order], [[0.5] * 3, [1.0] * 3], rtol=0.08)


def test_one_gaussian_stays_one():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4000, 4)) @ rng.normal(size=(4, 4))
    assert select(x[:2000], x[2000:], rng).n_components == 1


def test_six_modes_are_found():
    """A start that seeds two centres in one mode must not end the search."""
    rng = np.random.default_rng(4)
    centres = np.array([[a, b] for a in (-10, 0, 10) for b in (-6, 6)], dtype=float)
    for seed in range(5):
        x = centres[rng.integers(6, size=6000)] + rng.normal(size=(6000, 2))
        q = select(x[:3000], x[3000:], np.random.default_rng(seed))
        nearest = np.min(np.linalg.norm(q.means[:, None] - centres, axis=-1), axis=0)
        assert np.all(nearest < 1.0)


def test_the_density_is_normalised_and_draws_follow_it():
    rng = np.random.default_rng(5)
    q = select(draws(2000, 6), draws(2000, 7), rng)
    wide = Mixture(np.ones(1), np.full((1, 3), 5.0), np.eye(3)[None] * 6.0)
    x = wide.draw(400_000, rng)
    weights = np.exp(q.log_density(x) - wide.log_density(x))
    assert np.mean(weights) == pytest.approx(1.0, abs=5.5 * np.std(weights) / np.sqrt(len(x)))
    own = q.draw(50_000, rng)
    mean = q.weights @ q.means
    assert np.all(np.abs(own.mean(axis=0) - mean) < 5.5 * own.std(axis=0) / np.sqrt(len(own)))


def test_improving_never_lowers_the_density():
    x = draws(2000, 8)
    q = Mixture(np.array([0.5, 0.5]), np.array([[1.0] * 3, [3.0] * 3]), np.stack([np.eye(3)] * 2))
    last = -np.inf
    for _ in range(8):
        q = improve(q, x, 1)
        value = np.mean(q.log_density(x))
        assert value >= last - 1e-3
        last = value


def test_a_component_may_vanish_and_flat_directions_do_not_break_it():
    rng = np.random.default_rng(9)
    x = np.column_stack([rng.normal(size=500), np.zeros(500)])
    q = select(x[:250], x[250:], rng)
    assert np.all(np.isfinite(q.means))


def test_components_between_which_moves_pass_are_one_mode():
    stay = np.tile([0, 1, 2], (10, 200))
    assert len(set(merge(stay, 3))) == 3
    passing = stay.copy()
    passing[::2, :60] = np.where(passing[::2, :60] == 0, 1, passing[::2, :60])
    modes = merge(passing, 3)
    assert modes[0] == modes[1] != modes[2]
    assert modes[0] == 0  # the heavier one comes first
    stray = stay.copy()
    stray[5, 0] = 1  # one stray passage is none
    assert len(set(merge(stray, 3))) == 3


def test_a_draw_far_from_all_others_does_not_end_the_fit():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = np.concatenate([rng.normal(size=(2499, 2)), [[60.0, 0.0]]])
        q = select(x, rng.normal(size=(500, 2)), rng)
        assert np.all(np.isfinite(q.log_density(x)))
        np.testing.assert_allclose(np.sum(q.weights), 1.0, rtol=1e-12)


def test_a_mode_of_the_other_half_is_added():
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=(4000, 2)), rng.normal([20.0, 0.0], 0.5, (120, 2))])
    assert extended(gaussian(x[:4000]), x, 5).n_components == 2
    assert extended(gaussian(x[:4000]), x[:4000], 5).n_components == 1


@pytest.mark.parametrize(("n", "d"), [(1, 1), (63, 2), (64, 5), (200, 3)])
def test_kernels_agree_with_numpy_and_scipy(n, d):
    rng = np.random.default_rng(9)
    factors = np.linalg.cholesky(np.stack([np.cov(rng.normal(size=(d, 50))) + np.eye(d)] * 3))
    q = Mixture(np.array([0.2, 0.3, 0.5]), rng.normal(size=(3, d)), factors * [[[1]], [[2]], [[3]]])
    x = q.draw(n, rng)
    parts = np.stack(
        [
            np.log(w) + multivariate_normal(m, f @ f.T).logpdf(x)
            for w, m, f in zip(q.weights, q.means, q.factors, strict=True)
        ],
        axis=-1,
    ).reshape(n, 3)
    np.testing.assert_allclose(q.log_components(x), parts, rtol=1e-12, atol=1e-12)
    log_sum, shares = share(parts)
    np.testing.assert_allclose(log_sum, logsumexp(parts, axis=1), rtol=1e-14)
    np.testing.assert_allclose(shares, softmax(parts, axis=1), rtol=1e-13)
    counts, means, covariances = weighted_moments(x, shares)
    np.testing.assert_allclose(counts, shares.sum(axis=0), rtol=1e-13)
    for k in range(3):
        np.testing.assert_allclose(
            means[k], np.average(x, axis=0, weights=shares[:, k]), rtol=1e-11
        )
        expected = np.atleast_2d(np.cov(x, rowvar=False, aweights=shares[:, k], bias=True))
        np.testing.assert_allclose(covariances[k], expected, rtol=1e-11, atol=1e-14)


def test_points_that_no_component_reaches_have_density_zero():
    q = gaussian(draws(100, 10))
    assert q.log_density(np.full((1, 3), 1e200)) == -np.inf
