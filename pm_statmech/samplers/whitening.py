r"""Gaussians that look like draws and their scores: preconditioners and references.

With covariance C of the draws and covariance G of the scores :math:`g = \nabla\log\pi`, the
Gaussian whose score is nearest to the draws' in squared distance under its own metric has

.. math:: S\, G\, S = C, \qquad \mu = \bar x + S\, \bar g

S is the geometric mean of C and :math:`G^{-1}`. Where the target is Gaussian it is its covariance
exactly, however few the draws, because the noise of C and of G is the same noise.

Source: Seyboldt, Carlson, Carpenter (2026), arXiv:2603.18845, for preconditioning by Fisher
divergence.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

DENSE_LIMIT = 200


def scores_at(values: np.ndarray, beta: float) -> np.ndarray:
    """Gradients of log pi_0 - beta E (..., d) from energy function values (..., 2 + 2 d)."""
    d = (values.shape[-1] - 2) // 2
    prior = values[..., 2 : 2 + d]
    return prior if beta == 0 else prior - beta * values[..., 2 + d :]


def _moments(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean (d,) and deviations scaled so that their product is the covariance."""
    mean = weights @ x
    return mean, (x - mean) * np.sqrt(weights)[:, None]


def _shrunk(deviations: np.ndarray, shrink: float) -> np.ndarray:
    """Covariance with its off-diagonal part shrunk."""
    covariance = deviations.T @ deviations
    diagonal = np.diag(covariance).copy()
    covariance *= 1.0 - shrink
    covariance[np.diag_indices(len(diagonal))] = diagonal
    return covariance


def geometric_mean(covariance: np.ndarray, score_covariance: np.ndarray) -> np.ndarray:
    """Positive solution S (d, d) of S G S = C, scaled so that it does not depend on units."""
    scale = (np.diag(covariance) / np.diag(score_covariance)) ** 0.25
    c = covariance / np.outer(scale, scale)
    g = score_covariance * np.outer(scale, scale)
    values, vectors = eigh(g)
    values = np.maximum(values, 1e-12 * values[-1])
    root = (vectors * np.sqrt(values)) @ vectors.T
    inverse_root = (vectors / np.sqrt(values)) @ vectors.T
    values, vectors = eigh(root @ c @ root)
    middle = (vectors * np.sqrt(np.maximum(values, 1e-14 * values[-1]))) @ vectors.T
    return np.outer(scale, scale) * (inverse_root @ middle @ inverse_root)


def _informative(variances: np.ndarray) -> bool:
    return bool(np.all(np.isfinite(variances)) and np.all(variances > 1e-300))


def fisher_gaussian(x: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean (d,) and covariance factor (d, d) nearest to draws x (n, d) with scores (n, d).

    None where the scores do not vary, or the solution is not positive.
    """
    n, d = x.shape
    weights = np.full(n, 1.0 / n)
    mean, deviations = _moments(x, weights)
    mean_score, score_deviations = _moments(scores, weights)
    c, g = deviations.T @ deviations, score_deviations.T @ score_deviations
    if n < 3 * d or not (_informative(np.diag(c)) and _informative(np.diag(g))):
        return None
    solution = geometric_mean(c, g)
    try:
        factor = np.linalg.cholesky(0.5 * (solution + solution.T))
    except np.linalg.LinAlgError:
        return None
    return mean + solution @ mean_score, factor


def preconditioner(
    x: np.ndarray,
    scores: np.ndarray,
    discrete: np.ndarray,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Factor L of S = L L' for weighted draws x (n, d) and their scores (n, d).

    (d, d) lower triangular, or (d, 1) beyond 200 dimensions or with fewer than 2 d effective
    draws, where a dense one would be noise. Both covariances are shrunk towards their diagonals
    by d / (d + n), n the effective number. Integer coordinates, whose positions are `discrete`,
    keep their own sd and are uncorrelated: no momentum moves them. Scores that do not vary are
    left out.
    """
    n, d = x.shape
    weights = np.full(n, 1.0 / n) if weights is None else weights
    _, deviations = _moments(x, weights)
    variances = np.sum(deviations**2, axis=0)
    variances = np.where(np.isfinite(variances) & (variances > 0), variances, 1.0)
    usable = np.all(np.isfinite(scores), axis=1)
    own = np.where(usable, weights, 0.0)
    own = own / max(np.sum(own), 1e-300)
    _, score_deviations = _moments(np.where(usable[:, None], scores, 0.0), own)
    score_variances = np.sum(score_deviations**2, axis=0)
    continuous = np.setdiff1d(np.arange(d), discrete)
    by_scores = (
        len(continuous) > 0 and _informative(score_variances[continuous]) and np.sum(usable) > n / 2
    )
    scales = np.sqrt(variances)
    if by_scores:
        ratio = np.sqrt(variances[continuous] / score_variances[continuous])
        scales[continuous] = np.sqrt(ratio)
    n_effective = 1.0 / np.sum(weights**2)
    if d == 1 or d > DENSE_LIMIT or n_effective < 2 * d:
        return np.ascontiguousarray(scales[:, None])
    shrink = d / (d + n_effective)
    covariance = np.diag(variances)
    block = np.ix_(continuous, continuous)
    inner = _shrunk(deviations[:, continuous], shrink)
    if by_scores:
        inner = geometric_mean(inner, _shrunk(score_deviations[:, continuous], shrink))
    covariance[block] = 0.5 * (inner + inner.T)
    try:
        return np.ascontiguousarray(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError:
        return np.ascontiguousarray(scales[:, None])
