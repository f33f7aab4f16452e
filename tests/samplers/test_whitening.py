"""Preconditioners: exact for a Gaussian, sensible for few draws, steps and integers."""

import numpy as np

from pm_statmech.samplers.whitening import (
    fisher_gaussian,
    geometric_mean,
    preconditioner,
    scores_at,
)

NO_INTEGERS = np.empty(0, dtype=np.int64)
COVARIANCE = np.array([[4.0, 1.2, 0.0], [1.2, 1.0, -0.3], [0.0, -0.3, 0.25]])
MEAN = np.array([1.0, -2.0, 30.0])


def gaussian(n, seed):
    rng = np.random.default_rng(seed)
    x = MEAN + rng.normal(size=(n, 3)) @ np.linalg.cholesky(COVARIANCE).T
    return x, -(x - MEAN) @ np.linalg.inv(COVARIANCE)


def test_geometric_mean_solves_its_equation():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 5, 9))
    c, g = a @ a.T * 1e6, b @ b.T * 1e-4
    s = geometric_mean(c, g)
    np.testing.assert_allclose(s @ g @ s, c, rtol=1e-9, atol=1e-9 * np.max(np.abs(c)))


def test_a_gaussian_is_found_exactly_from_few_draws():
    x, scores = gaussian(20, 2)
    mean, factor = fisher_gaussian(x, scores)
    np.testing.assert_allclose(mean, MEAN, rtol=1e-8)
    np.testing.assert_allclose(factor @ factor.T, COVARIANCE, rtol=1e-7, atol=1e-9)
    # a control: the draws' own covariance is far off
    assert np.max(np.abs(np.cov(x.T) - COVARIANCE)) > 0.1


def test_preconditioner_dense_diagonal_and_without_scores():
    x, scores = gaussian(5000, 3)
    factor = preconditioner(x, scores, NO_INTEGERS)
    np.testing.assert_allclose(factor @ factor.T, COVARIANCE, atol=0.01)
    blind = preconditioner(x, np.zeros_like(x), NO_INTEGERS)
    np.testing.assert_allclose(blind @ blind.T, np.cov(x.T, ddof=0), rtol=0.01, atol=0.01)
    few = preconditioner(x[:5], scores[:5], NO_INTEGERS)
    assert few.shape == (3, 1)
    # a coordinate at a time: between the sd of the draws and that given the others
    conditional = 1 / np.sqrt(np.diag(np.linalg.inv(COVARIANCE)))
    whole = preconditioner(x, scores, NO_INTEGERS, np.r_[np.full(4, 0.25), np.zeros(4996)])
    assert np.all(few[:, 0] < 3 * np.sqrt(np.diag(COVARIANCE)))
    assert np.all(few[:, 0] > conditional / 3)
    assert whole.shape == (3, 1)
    np.testing.assert_array_equal(
        preconditioner(np.ones((50, 1)), np.zeros((50, 1)), NO_INTEGERS), [[1.0]]
    )


def test_integers_keep_their_own_width():
    x, scores = gaussian(2000, 4)
    x[:, 1] = np.round(x[:, 1])
    scores[:, 1] = 0.0
    factor = preconditioner(x, scores, np.array([1]))
    assert factor[1, 0] == factor[2, 1] == 0.0
    np.testing.assert_allclose(factor[1, 1], np.std(x[:, 1]))


def test_scores_at_reads_both_gradients():
    values = np.array([[0.5, 2.0, 1.0, -1.0, 3.0, np.inf]])
    np.testing.assert_array_equal(scores_at(values, 0.0), [[1.0, -1.0]])
    np.testing.assert_array_equal(scores_at(values[:, [0, 1, 2, 4]], 0.5), [[1.0 - 1.5]])
