"""Many sweeps of many rows: chains of states, by numba's random numbers from one seed.

Numba's generator is one a thread, so that rows of two threads do not meet.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pm_statmech.log_partition.operations import CompiledFunction
from pm_statmech.network_kernels import block_gibbs, heat_bath
from pm_statmech.network_kernels.clusters import swendsen_wang, wolff


@njit(cache=True)
def bond_probabilities(K, gain):
    """1 - exp(-Delta) of every edge (m,)."""
    return -np.expm1(-gain * K)


@njit(cache=True, nogil=True)
def by_heat_bath(seed, x, theta, K, G, begins, nodes, edges, n_sweeps):
    """Rows (N, n) of state numbers after sweeps of the heat bath."""
    np.random.seed(seed)
    x = x.copy()
    for row in range(len(x)):
        for _ in range(n_sweeps):
            u = np.random.random(x.shape[1])
            heat_bath.sweep(x[row], theta, K, G, begins, nodes, edges, u)
    return x


@njit(cache=True, nogil=True)
def by_clusters(seed, x, theta, K, gain, ends, n_sweeps):
    """Rows (N, n) of state numbers after sweeps of Swendsen and Wang's."""
    np.random.seed(seed)
    x, bonds = x.copy(), bond_probabilities(K, gain)
    for row in range(len(x)):
        for _ in range(n_sweeps):
            u_bonds, u = np.random.random(len(bonds)), np.random.random(x.shape[1])
            swendsen_wang(x[row], theta, bonds, ends, u_bonds, u)
    return x


@njit(cache=True, nogil=True)
def by_single_clusters(seed, x, theta, K, gain, begins, nodes, edges, n_moves):
    """Rows (N, n) of state numbers after Wolff moves.

    Their number is fixed beforehand: to stop by the nodes they touched would prefer large clusters.
    """
    np.random.seed(seed)
    x, bonds = x.copy(), bond_probabilities(K, gain)
    u, at = np.random.random(4 * (len(bonds) + 1)), 0
    for row in range(len(x)):
        for _ in range(n_moves):
            if at + len(bonds) + 1 > len(u):
                u, at = np.random.random(len(u)), 0
            start = np.random.randint(x.shape[1])
            at += wolff(x[row], theta, bonds, begins, nodes, edges, start, u[at:])
    return x


@njit(cache=True, nogil=True)
def by_blocks(seed, v, W, b, c, n_sweeps):
    """Rows (N, n) of visible units, and (N, k) of hidden ones, after sweeps over both layers."""
    np.random.seed(seed)
    v, h = v.copy(), np.zeros((len(v), len(c)))
    for row in range(len(v)):
        for _ in range(n_sweeps):
            u = np.random.random(len(b) + len(c))
            block_gibbs.sweep(v[row], h[row], W, b, c, u)
    return v, h


@njit(cache=True)
def statistics(x, G, ends):
    """Counts (n, q) of the states of every node, and sums (m,) of the interactions, over rows."""
    counts, sums = np.zeros((x.shape[1], G.shape[0])), np.zeros(len(ends))
    for row in range(len(x)):
        for i in range(x.shape[1]):
            counts[i, x[row, i]] += 1.0
        for e in range(len(ends)):
            sums[e] += G[x[row, ends[e, 0]], x[row, ends[e, 1]]]
    return counts, sums


# sweeps of a draw that no engine gives exactly
CLUSTER_SWEEPS, HEAT_BATH_SWEEPS = 200, 2000


@njit(cache=True)
def approximate_draws(theta, K, G, gain, ends, begins, nodes, edges, u):
    """Rows (N, n) of state numbers: sweeps from random states.

    Of Swendsen and Wang's where no coupling makes neighbours differ, else of the heat bath.

    Parameters
    ----------
    gain
        of equal states, or NaN where clusters do not apply; see `clusters.equality_gain`.
    u
        (N, n + 1) uniform numbers: the first states, and in the first row's last one the seed.
    """
    n = u.shape[1] - 1
    x = np.empty((len(u), n), dtype=np.int64)
    seed = int(u[0, n] * 2.0**32)
    for row in range(len(u)):
        for i in range(n):
            x[row, i] = int(u[row, i] * G.shape[0])
    if np.all(gain * K >= 0.0):
        return by_clusters(seed, x, theta, K, gain, ends, CLUSTER_SWEEPS)
    return by_heat_bath(seed, x, theta, K, G, begins, nodes, edges, HEAT_BATH_SWEEPS)


class ApproximateDraws(CompiledFunction):
    """States after many sweeps, see `approximate_draws`."""

    gufunc_signature = "(n,q),(m),(q,q),(),(m,e),(b),(d),(d),(k,u)->(k,n)"
    kernel = staticmethod(approximate_draws)
    version = 1

    def pullback(self, inputs, outputs, cotangents):
        """Draws have no derivative."""
        return self.no_derivatives(inputs, "a draw's derivative")
