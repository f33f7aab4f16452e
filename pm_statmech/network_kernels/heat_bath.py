r"""The heat bath: every node in turn is drawn given its neighbours.

.. math:: P(x_i = s \mid x_{-i})
          \propto \exp\Big(\theta_i(s) + \sum_{e = (i, j)} K_e\, G(x_j, s)\Big)

Sources: Glauber (1963), J. Math. Phys. 4, 294-307; Geman and Geman (1984), IEEE PAMI 6, 721-741.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def sweep(x, theta, K, G, begins, nodes, edges, u):
    """Draw every node of x (n,), state numbers, in place, by uniform numbers u (n,)."""
    q = G.shape[0]
    p = np.empty(q)
    for i in range(len(x)):
        if q == 2:
            # half of the exponentials
            log_odds = theta[i, 1] - theta[i, 0]
            for k in range(begins[i], begins[i + 1]):
                s = x[nodes[k]]
                log_odds += K[edges[k]] * (G[s, 1] - G[s, 0])
            x[i] = 0 if u[i] * (1.0 + np.exp(log_odds)) < 1.0 else 1
            continue
        top = -np.inf
        for s in range(q):
            p[s] = theta[i, s]
        for k in range(begins[i], begins[i + 1]):
            coupling, neighbour = K[edges[k]], x[nodes[k]]
            for s in range(q):
                p[s] += coupling * G[neighbour, s]
        for s in range(q):
            top = max(top, p[s])
        total = 0.0
        for s in range(q):
            p[s] = np.exp(p[s] - top)
            total += p[s]
        left, s = u[i] * total, 0
        while s < q - 1:
            left -= p[s]
            if left < 0.0:
                break
            s += 1
        x[i] = s


@njit(cache=True, fastmath={"reassoc"})
def half_sweep(own, other, black, thresholds, u):
    """Draw one colour (R, C / 2) of a periodic square lattice of spins given the other, in place.

    Black sites are those with an even sum of row and column; site k of a row of black ones is
    column 2k in even rows and 2k + 1 in odd ones.

    Parameters
    ----------
    own, other
        spins -1 and 1 of either colour; black : whether own is; thresholds : (5,) of the
        probability of 1 given a sum -4, -2, 0, 2, 4 of neighbours; u : (R, C / 2), below which
        thresholds have their probabilities.
    """
    rows, half = own.shape
    for r in range(rows):
        up, down, level = other[r - 1], other[r + 1 - rows], other[r]
        # in even rows the neighbours of a black site are the other colour's k - 1 and k
        shift = -1 if (r % 2 == 0) == black else 1
        edge = 0 if shift == -1 else half - 1
        beyond = half - 1 if shift == -1 else 0
        around = up[edge] + down[edge] + level[edge] + level[beyond]
        own[r, edge] = 1 if u[r, edge] < thresholds[(around + 4) >> 1] else -1
        first, last = (1, half) if shift == -1 else (0, half - 1)
        for k in range(first, last):
            around = up[k] + down[k] + level[k] + level[k + shift]
            own[r, k] = 1 if u[r, k] < thresholds[(around + 4) >> 1] else -1
