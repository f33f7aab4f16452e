r"""Approximations of log Z of a network: mean field, Bethe, and tree-reweighted.

.. math:: \log Z \approx \max_b \Big[\sum_i \theta_i \cdot b_i + \sum_e K_e\, E_{b_e}[G]
          + \sum_i H(b_i) - \sum_e \rho_e I(b_e)\Big]

over probabilities of nodes and edges that agree. With b_e the product of its nodes' this is naive
mean field, a lower bound. With rho_e = 1 it is Bethe's, exact on trees and a bound of neither kind
elsewhere; with rho_e the probability that a random spanning tree has the edge it is an upper
bound. Stationary points of the last two are fixed points of messages,

.. math:: M_{ij}(t) \propto \sum_s e^{K_e G(s, t) / \rho_e + \theta_i(s)}
          \frac{\prod_{k \ne j} M_{ki}(s)^{\rho_{ki}}}{M_{ji}(s)^{1 - \rho_e}}

and there the derivatives of the bracket are b_i and E[G] themselves. Where messages do not settle
all is NaN.

Sources: Yedidia, Freeman, Weiss (2005), IEEE Trans. Inf. Theory 51, 2282-2312; Wainwright,
Jaakkola, Willsky (2005), same journal 51, 2313-2335.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.log_partition.networks import Network
from pm_statmech.log_partition.transfer_matrix import NetworkMoments

MOST_ROUNDS, AGREED, DAMPING = 20_000, 1e-12, 0.5
# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 1


def spanning_tree_probabilities(network: Network) -> np.ndarray:
    """Probability (m,) that a uniform spanning tree has each edge: its effective resistance."""
    i, j = network.edges.T
    ends = np.zeros((network.m, network.n))
    ends[np.arange(network.m), i], ends[np.arange(network.m), j] = 1.0, -1.0
    inverse = np.linalg.pinv(ends.T @ ends)
    return inverse[i, i] + inverse[j, j] - 2.0 * inverse[i, j]


@njit(cache=True)
def _nothing(theta, K):
    return np.nan, np.full(theta.shape, np.nan), np.full(len(K), np.nan)


@njit(cache=True)
def _normalised(p):
    """exp(p - log sum exp p) in place of p (q,), logs."""
    p -= np.max(p)
    p[:] = np.exp(p)
    p /= np.sum(p)


@njit(cache=True)
def _entropy(p):
    total = 0.0
    for value in p:
        if value > 0.0:
            total -= value * np.log(value)
    return total


@njit(cache=True)
def naive(theta, K, G, begins, nodes, edges, ends):
    """Mean field: the bound, probabilities (n, q) and E[G] (m,), by coordinate ascent."""
    n, q = theta.shape
    b = np.empty((n, q))
    for i in range(n):
        b[i] = theta[i]
        _normalised(b[i])
    moved = np.inf
    for _ in range(MOST_ROUNDS):
        moved = 0.0
        for i in range(n):
            p = theta[i].copy()
            for k in range(begins[i], begins[i + 1]):
                p += K[edges[k]] * np.dot(G, b[nodes[k]])
            _normalised(p)
            moved = max(moved, np.max(np.abs(p - b[i])))
            b[i] = p
        if moved < AGREED:
            break
    if not moved < AGREED:
        return _nothing(theta, K)
    bound, means = 0.0, np.empty(len(ends))
    for i in range(n):
        bound += np.dot(theta[i], b[i]) + _entropy(b[i])
    for e in range(len(ends)):
        means[e] = np.dot(b[ends[e, 0]], np.dot(G, b[ends[e, 1]]))
        bound += K[e] * means[e]
    return bound, b, means


@njit(cache=True)
def messages(theta, K, G, ends, rho):
    """Bethe and tree-reweighted: log Z, probabilities (n, q) and E[G] (m,) at the fixed point."""
    n, q = theta.shape
    m = len(ends)
    # logs of messages along edge e, to its second end and to its first; at a node their sum
    log_m = np.zeros((m, 2, q))
    at = theta.copy()
    moved = np.inf
    for _ in range(MOST_ROUNDS):
        moved = 0.0
        for e in range(m):
            for side in range(2):
                i, j = ends[e, side], ends[e, 1 - side]
                new = np.empty(q)
                # what i knows without the message from j
                known = at[i] - log_m[e, 1 - side]
                for t in range(q):
                    terms = known + K[e] * G[:, t] / rho[e]
                    top = np.max(terms)
                    new[t] = top + np.log(np.sum(np.exp(terms - top)))
                new -= np.max(new)
                change = new - log_m[e, side]
                moved = max(moved, np.max(np.abs(change)))
                log_m[e, side] += DAMPING * change
                at[j] += rho[e] * DAMPING * change
        if moved < AGREED:
            break
    if not moved < AGREED:
        return _nothing(theta, K)
    b, means, log_z = np.empty((n, q)), np.empty(m), 0.0
    for i in range(n):
        b[i] = at[i]
        _normalised(b[i])
        log_z += np.dot(theta[i], b[i]) + _entropy(b[i])
    for e in range(m):
        i, j = ends[e]
        first, second = at[i] - log_m[e, 1], at[j] - log_m[e, 0]
        joint = np.empty(q * q)
        for s in range(q):
            for t in range(q):
                joint[s * q + t] = first[s] + second[t] + K[e] * G[s, t] / rho[e]
        _normalised(joint)
        means[e] = np.sum(joint.reshape(q, q) * G)
        information = _entropy(b[i]) + _entropy(b[j]) - _entropy(joint)
        log_z += K[e] * means[e] - rho[e] * information
    return log_z, b, means


class MeanField(NetworkMoments):
    """A lower bound, see `naive`."""

    gufunc_signature = "(n,q),(m),(q,q),(b),(d),(d),(m,e)->(),(n,q),(m)"
    kernel = staticmethod(naive)
    version = VERSION
    said = "a mean field"


class Messages(NetworkMoments):
    """Bethe's approximation, or an upper bound, see `messages`."""

    gufunc_signature = "(n,q),(m),(q,q),(m,e),(m)->(),(n,q),(m)"
    kernel = staticmethod(messages)
    version = VERSION
    said = "messages"
