r"""Clusters of equal neighbours that change their state together.

Where an edge's interaction is larger for equal states, by Delta_e = K_e (G(s, s) - G(s, t)) >= 0
for all s and t that differ, the edge between equal states is a bond with probability

.. math:: 1 - e^{-\Delta_e}

independently of all others. Given the bonds, the states of clusters are independent: one is s with
a probability in proportion to exp(sum of theta_i(s) over its nodes), and any fields are allowed.
Swendsen and Wang draw all clusters, Wolff that of one node.

Clusters are found by Rem's union of sets, in which nodes point to smaller ones.

Sources: Fortuin and Kasteleyn (1972), Physica 57, 536-564; Swendsen and Wang (1987), Phys. Rev.
Lett. 58, 86-88; Wolff (1989), Phys. Rev. Lett. 62, 361-364; Dijkstra (1976), A Discipline of
Programming, chapter 23, for Rem's union.
"""

from __future__ import annotations

import numpy as np
from numba import njit


def equality_gain(interaction: np.ndarray) -> float | None:
    """G(s, s) - G(s, t), the same for all s and t, or None where there is no such number."""
    diagonal = np.diag(interaction)
    apart = interaction[~np.eye(len(interaction), dtype=bool)]
    same = np.ptp(diagonal) == 0 and np.ptp(apart) == 0
    return float(diagonal[0] - apart[0]) if same else None


@njit(cache=True)
def _join(parents, i, j):
    """Make two nodes' clusters one, by Rem's algorithm; no parent has a larger number."""
    of_i, of_j = parents[i], parents[j]
    while of_i != of_j:
        if of_i > of_j:
            parents[i] = of_j
            if i == of_i:
                return
            i, of_i = of_i, parents[of_i]
        else:
            parents[j] = of_i
            if j == of_j:
                return
            j, of_j = of_j, parents[of_j]


@njit(cache=True)
def _state(weights, u):
    """State number by its log weights (q,) and a uniform number."""
    q = len(weights)
    top, total = np.max(weights), 0.0
    for s in range(q):
        total += np.exp(weights[s] - top)
    left, s = u * total, 0
    while s < q - 1:
        left -= np.exp(weights[s] - top)
        if left < 0.0:
            break
        s += 1
    return s


@njit(cache=True)
def swendsen_wang(x, theta, bonds, ends, u_bonds, u):
    """Draw all clusters of x (n,), state numbers, in place.

    Parameters
    ----------
    theta
        (n, q) potentials; bonds : (m,) probabilities of a bond between equal states; ends : (m, 2)
        of the edges; u_bonds, u : (m,) and (n,) uniform numbers.
    """
    n, q = theta.shape
    m = len(ends)
    parents = np.arange(n, dtype=np.int32)
    # bonds are listed without a branch, which would be foretold wrongly half of the time
    active, n_active = np.empty(m + 1, dtype=np.int32), 0
    for e in range(m):
        active[n_active] = e
        n_active += (x[ends[e, 0]] == x[ends[e, 1]]) & (u_bonds[e] < bonds[e])
    for k in range(n_active):
        _join(parents, ends[active[k], 0], ends[active[k], 1])
    # a parent has a smaller number, and is flat already
    for i in range(n):
        parents[i] = parents[parents[i]]
    if np.all(theta == theta[0, 0]):
        for i in range(n):
            root = parents[i]
            x[i] = min(int(u[i] * q), q - 1) if root == i else x[root]
        return
    weights = np.zeros((n, q))
    for i in range(n):
        for s in range(q):
            weights[parents[i], s] += theta[i, s]
    for i in range(n):
        root = parents[i]
        x[i] = _state(weights[i], u[i]) if root == i else x[root]


@njit(cache=True)
def wolff(x, theta, bonds, begins, nodes, edges, seed, u):
    """Draw the cluster of one node of x (n,) in place; return how many numbers of u that took.

    Parameters
    ----------
    theta, bonds
        as for `swendsen_wang`; begins, nodes, edges : `networks.Neighbours`; seed : the node; u :
        at least m + 1 uniform numbers, of which one is used a tested edge and one at the end.
    """
    n, q = theta.shape
    inside, waiting = np.zeros(n, dtype=np.bool_), np.empty(n, dtype=np.int64)
    inside[seed], waiting[0] = True, seed
    done, size, used = 0, 1, 0
    weights = np.zeros(q)
    while done < size:
        i = waiting[done]
        done += 1
        for s in range(q):
            weights[s] += theta[i, s]
        for k in range(begins[i], begins[i + 1]):
            j = nodes[k]
            if not inside[j] and x[j] == x[seed]:
                if u[used] < bonds[edges[k]]:
                    inside[j], waiting[size] = True, j
                    size += 1
                used += 1
    state = _state(weights, u[used])
    for k in range(size):
        x[waiting[k]] = state
    return used + 1
