r"""Spins on planar graphs without a field, by the determinant of Kac and Ward.

.. math:: Z = 2^n \prod_e \cosh K_e\; \sqrt{\det(I - W)}, \qquad
          W_{e f} = \tanh K_e\; e^{i \angle(e, f) / 2}

where e and f are edges with a direction, of which f begins where e ends and does not lead straight
back, and the angle, between -pi and pi, is that of the turn from e to f in a drawing with straight
lines that do not cross. Couplings may have any sign. With G the inverse of I - W,

.. math:: E[x_u x_v] = \frac{\partial \log Z}{\partial K_e}
          = \tanh K_e - \frac{1}{2 \cosh^2 K_e} \sum_{e, f} e^{i \angle(e, f) / 2}\, G_{f e}

over both directions of the edge (u, v). Edges are put in layers by the distance of their end from
one node, so that W couples neighbouring layers only: the determinant and the entries of the inverse
that count go layer by layer, with work in proportion to the sum of the cubes of their sizes.

The determinant is a positive number. What rounding leaves of its phase tells when spins are
frustrated, and so cold, that digits were lost: log Z is then NaN. On lattices with couplings of
either sign that begins at strengths of 2 to 4; without frustration nothing is lost at any.

Sources: Kac and Ward (1952), Phys. Rev. 88, 1332-1337; Kager, Lis, Meester (2013), The signed loop
approach to the Ising model, J. Stat. Phys. 152, 353-387, for all planar graphs; Golub and Van Loan,
Matrix Computations, 4.5, for block tridiagonal systems.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from pm_statmech.log_partition.networks import Network
from pm_statmech.log_partition.operations import CompiledFunction, connected

# the largest phase of a determinant that is one by rounding alone
ROUNDED = 1e-10
# raise this when the compiled code changes: the disk cache knows nothing of it
VERSION = 2


@dataclass(frozen=True, eq=False)
class PlanarEdges:
    """Directed edges of a planar graph in layers, and the turns between them.

    Parameters
    ----------
    edge
        (2 m,) numbers of the edges that they are directions of; starts : (L + 1,) where layers
        begin.
    turns
        (T, 2) directed edges e and f of every turn, by the layer of e; angles : (T,) of these.
    """

    edge: np.ndarray
    starts: np.ndarray
    turns: np.ndarray
    angles: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Directed edges in each layer."""
        return np.diff(self.starts)


def planar_edges(network: Network) -> PlanarEdges | None:
    """Directed edges of a network whose graph can be drawn without crossings, else None."""
    import networkx as nx

    planar, embedding = nx.check_planarity(network.graph)
    if not planar or network.m == 0:
        return None
    drawn = nx.planar_layout(embedding)
    place = np.array([complex(*drawn[i]) for i in range(network.n)])
    # a node at the rim, from which layers are thin
    far = list(nx.bfs_layers(network.graph, 0))[-1][0]
    level = np.empty(network.n, dtype=np.int64)
    for k, nodes in enumerate(nx.bfs_layers(network.graph, far)):
        level[nodes] = k
    tails = np.concatenate([network.edges[:, 0], network.edges[:, 1]])
    heads = np.concatenate([network.edges[:, 1], network.edges[:, 0]])
    order = np.argsort(level[heads], kind="stable")
    tails, heads = tails[order], heads[order]
    edge = np.tile(np.arange(network.m), 2)[order]
    starts = np.searchsorted(level[heads], np.arange(level.max() + 2))
    begins_at = np.argsort(tails, kind="stable")
    first = np.searchsorted(tails[begins_at], np.arange(network.n + 1))
    step = place[heads] - place[tails]
    turns = np.array(
        [
            (e, f)
            for e in range(len(heads))
            for f in begins_at[first[heads[e]] : first[heads[e] + 1]]
            if edge[f] != edge[e]
        ],
        dtype=np.int64,
    ).reshape(-1, 2)
    angles = np.angle(step[turns[:, 1]] / step[turns[:, 0]])
    # layers without an edge that ends there: that of the first node of a tree, at most
    return PlanarEdges(edge, np.unique(starts), turns, angles)


@njit(cache=True)
def kac_ward(K, edge, starts, turns, angles):
    """Log Z less n log 2, and mean products of the spins at both ends of every edge (m,).

    Parameters
    ----------
    K
        (m,) couplings; edge, starts, turns, angles : `PlanarEdges`.
    """
    m, n_layers = len(K), len(starts) - 1
    t = np.tanh(K)
    layer = np.empty(len(edge), dtype=np.int64)
    for l in range(n_layers):
        layer[starts[l] : starts[l + 1]] = l
    first_turn = np.zeros(n_layers + 1, dtype=np.int64)
    for k in range(len(turns)):
        first_turn[layer[turns[k, 0]] + 1] = k + 1
    for l in range(n_layers):
        first_turn[l + 1] = max(first_turn[l + 1], first_turn[l])

    log_z, phase = 0.0, 0.0
    mean = np.full(m, np.nan)
    if not np.all(np.isfinite(K)):
        return np.nan, mean
    for e in range(m):
        size = abs(K[e])
        log_z += size + np.log1p(np.exp(-2.0 * size)) - np.log(2.0)
    # forth: inverses of Schur complements, and the blocks beside the diagonal
    inverses = [np.empty((0, 0), dtype=np.complex128) for _ in range(n_layers)]
    above = [np.empty((0, 0), dtype=np.complex128) for _ in range(n_layers)]
    below = [np.empty((0, 0), dtype=np.complex128) for _ in range(n_layers)]
    for l in range(n_layers):
        size = starts[l + 1] - starts[l]
        size_next = starts[l + 2] - starts[l + 1] if l + 1 < n_layers else 0
        size_last = starts[l] - starts[l - 1] if l > 0 else 0
        S = np.eye(size).astype(np.complex128)
        up = np.zeros((size, size_next), dtype=np.complex128)
        down = np.zeros((size, size_last), dtype=np.complex128)
        for k in range(first_turn[l], first_turn[l + 1]):
            e, f = turns[k, 0], turns[k, 1]
            w = -t[edge[e]] * np.exp(0.5j * angles[k])
            if layer[f] == l:
                S[e - starts[l], f - starts[l]] += w
            elif layer[f] > l:
                up[e - starts[l], f - starts[l + 1]] += w
            else:
                down[e - starts[l], f - starts[l - 1]] += w
        if l > 0:
            S -= down @ (inverses[l - 1] @ above[l - 1])
        if not np.all(np.isfinite(S)):
            return np.nan, mean
        sign, log_det = np.linalg.slogdet(S)
        if not np.isfinite(log_det):
            return np.nan, mean
        log_z += 0.5 * log_det
        phase += np.angle(sign)
        inverses[l] = np.ascontiguousarray(np.linalg.inv(S))
        above[l], below[l] = up, down
    phase = phase - 2.0 * np.pi * np.round(phase / (2.0 * np.pi))
    if not abs(phase) < ROUNDED:
        return np.nan, mean
    # back: blocks of the inverse, and what the turns take of them
    taken = np.zeros(m)
    G = inverses[n_layers - 1]
    for l in range(n_layers - 1, -1, -1):
        for k in range(first_turn[l], first_turn[l + 1]):
            e, f = turns[k, 0], turns[k, 1]
            if layer[f] == l:
                entry = G[f - starts[l], e - starts[l]]
                taken[edge[e]] += (np.exp(0.5j * angles[k]) * entry).real
        if l == 0:
            break
        right = inverses[l - 1] @ above[l - 1]
        left = below[l] @ inverses[l - 1]
        G_up, G_down = -(right @ G), -(G @ left)
        for k in range(first_turn[l - 1], first_turn[l]):
            e, f = turns[k, 0], turns[k, 1]
            if layer[f] == l:
                entry = G_down[f - starts[l], e - starts[l - 1]]
                taken[edge[e]] += (np.exp(0.5j * angles[k]) * entry).real
        for k in range(first_turn[l], first_turn[l + 1]):
            e, f = turns[k, 0], turns[k, 1]
            if layer[f] == l - 1:
                entry = G_up[f - starts[l - 1], e - starts[l]]
                taken[edge[e]] += (np.exp(0.5j * angles[k]) * entry).real
        G = inverses[l - 1] - G_up @ left
    for e in range(m):
        mean[e] = t[e] - 0.5 * (1.0 - t[e] * t[e]) * taken[e]
    return log_z, mean


class KacWard(CompiledFunction):
    """Log Z less n log 2, and mean products along edges, see `kac_ward`."""

    gufunc_signature = "(m),(d),(l),(t,p),(t)->(),(m)"
    kernel = staticmethod(kac_ward)
    version = VERSION

    def pullback(self, inputs, outputs, cotangents):
        """Mean products for the couplings; second derivatives are not offered."""
        if any(connected(cotangents)[1:]):
            return self.no_derivatives(inputs, "second derivatives of Kac and Ward's form")
        others = self.no_derivatives(inputs, "a drawing is constant")[1:]
        return [cotangents[0] * outputs[1], *others]
