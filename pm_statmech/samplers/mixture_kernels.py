"""Densities of Gaussian mixtures and the steps that fit them, compiled, in blocks of points."""

from __future__ import annotations

import numpy as np
from numba import njit

BLOCK = 64
# sums over a block in any order, so that they are taken several at a time
SUMS = {"reassoc", "contract"}


@njit(cache=True)
def mixture_log_density(x, log_weights, means, inverse_factors):
    """Log q(x) of one point, from log w_k - log |L_k| - (d/2) log 2 pi and inverses of L_k."""
    d = x.shape[0]
    highest = -np.inf
    total = 0.0
    for k in range(log_weights.shape[0]):
        distance = 0.0
        for i in range(d):
            white = 0.0
            for j in range(i + 1):
                white += inverse_factors[k, i, j] * (x[j] - means[k, j])
            distance += white * white
        term = log_weights[k] - 0.5 * distance
        if term > highest:
            total = total * np.exp(highest - term) + 1.0
            highest = term
        else:
            total += np.exp(term - highest)
    return highest + np.log(total)


@njit(cache=True, nogil=True, fastmath=SUMS)
def log_components(x, log_weights, means, inverse_factors):
    """Return log w_k N(x; mu_k, S_k) of points (n, d): (n, K).

    From log w_k - log |L_k| - (d/2) log 2 pi, and the inverses (K, d, d) of the factors L_k.
    """
    n, d = x.shape
    n_components = log_weights.shape[0]
    parts = np.empty((n, n_components))
    centred = np.zeros((d, BLOCK))
    white = np.empty(BLOCK)
    distance = np.empty(BLOCK)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for k in range(n_components):
            for i in range(d):
                for p in range(size):
                    centred[i, p] = x[start + p, i] - means[k, i]
            distance[:] = 0.0
            for i in range(d):
                white[:] = 0.0
                for j in range(i + 1):
                    for p in range(BLOCK):
                        white[p] += inverse_factors[k, i, j] * centred[j, p]
                for p in range(BLOCK):
                    distance[p] += white[p] * white[p]
            for p in range(size):
                parts[start + p, k] = log_weights[k] - 0.5 * distance[p]
    return parts


@njit(cache=True, nogil=True)
def share(log_parts):
    """Log of the sum (n,) of exp(log_parts) (n, K), and the share (n, K) of each in it.

    Far from everything all parts are -inf, and so is their sum; the shares are then NaN.
    """
    n, n_components = log_parts.shape
    log_sum, shares = np.empty(n), np.empty((n, n_components))
    for p in range(n):
        highest = -np.inf
        for k in range(n_components):
            highest = max(highest, log_parts[p, k])
        total = 0.0
        for k in range(n_components):
            shares[p, k] = np.exp(log_parts[p, k] - highest)
            total += shares[p, k]
        for k in range(n_components):
            shares[p, k] /= total
        log_sum[p] = highest + np.log(total) if highest > -np.inf else -np.inf
    return log_sum, shares


@njit(cache=True, nogil=True, fastmath=SUMS)
def weighted_moments(x, shares):
    """Sums of shares (K,), and the means (K, d) and covariances (K, d, d) that they give x."""
    n, d = x.shape
    n_components = shares.shape[1]
    counts = np.zeros(n_components)
    means = np.zeros((n_components, d))
    covariances = np.zeros((n_components, d, d))
    centred = np.zeros((d, BLOCK))
    weighted = np.zeros(BLOCK)
    for p in range(n):
        for k in range(n_components):
            counts[k] += shares[p, k]
            for i in range(d):
                means[k, i] += shares[p, k] * x[p, i]
    for k in range(n_components):
        means[k] /= counts[k]
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for k in range(n_components):
            for i in range(d):
                for p in range(size):
                    centred[i, p] = x[start + p, i] - means[k, i]
                centred[i, size:] = 0.0
            weighted[size:] = 0.0
            for i in range(d):
                for p in range(size):
                    weighted[p] = shares[start + p, k] * centred[i, p]
                for j in range(i + 1):
                    total = 0.0
                    for p in range(BLOCK):
                        total += weighted[p] * centred[j, p]
                    covariances[k, i, j] += total
    for k in range(n_components):
        for i in range(d):
            for j in range(i + 1):
                covariances[k, i, j] /= counts[k]
                covariances[k, j, i] = covariances[k, i, j]
    return counts, means, covariances
