r"""Networks of nodes with a few states each, coupled along edges.

.. math:: Z(\theta, K) = \sum_x \exp\Big(\sum_i \theta_i(x_i)
          + \sum_{e = (i, j)} K_e\, G(x_i, x_j)\Big)

theta (n, q) are the potentials of every node's states, K (m,) one coupling an edge, and G (q, q) a
symmetric matrix common to all: the product of the values for Ising, Blume-Capel and ordinal
models, the unit matrix for Potts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytensor.tensor as pt

from pm_statmech.errors import NetworkError

if TYPE_CHECKING:
    import networkx as nx


class Neighbours(NamedTuple):
    """Neighbours of node i, nodes[begins[i]:begins[i + 1]], and the edges to them."""

    begins: np.ndarray
    nodes: np.ndarray
    edges: np.ndarray


@dataclass(frozen=True, eq=False)
class Network:
    """Who is coupled to whom, and how.

    Parameters
    ----------
    n
        number of nodes; edges : (m, 2) pairs of nodes i < j; interaction : G (q, q).

    Raises
    ------
    NetworkError
        fewer than two states, an edge from a node to itself, one that is there twice or that leads
        out of the network, or nodes that no path connects.
    """

    n: int
    edges: np.ndarray
    interaction: np.ndarray

    def __post_init__(self) -> None:
        if self.q < 2:
            raise NetworkError(f"q = {self.q}: a node with fewer than two states says nothing.")
        if self.edges.size and not (self.edges.min() >= 0 and self.edges.max() < self.n):
            outside = self.edges[np.any((self.edges < 0) | (self.edges >= self.n), axis=1)][0]
            raise NetworkError(f"edge {tuple(outside.tolist())} leads out of {self.n} nodes.")
        for i, j in self.edges.tolist():
            if i == j:
                raise NetworkError(f"edge ({i}, {j}) couples a node to itself.")
        _, first, count = np.unique(
            np.sort(self.edges, axis=1), axis=0, return_index=True, return_counts=True
        )
        if np.any(count > 1):
            i, j = self.edges[first[count > 1][0]].tolist()
            raise NetworkError(f"edge ({i}, {j}) is there more than once.")
        parts = self.parts
        if len(parts) > 1:
            shown = ", ".join(str(v) for v in parts[0][:5])
            raise NetworkError(
                f"the graph is in {len(parts)} parts, the smallest of which holds node {shown}"
                f"{', ...' if len(parts[0]) > 5 else ''}: model each as a variable of its own."
            )

    @property
    def q(self) -> int:
        """Number of states of a node."""
        return len(self.interaction)

    @property
    def m(self) -> int:
        """Number of edges."""
        return len(self.edges)

    @property
    def parts(self) -> list[list[int]]:
        """Nodes of each part that no edge leaves, the smallest part first."""
        # what takes long to import waits until somebody has a network
        import networkx as nx

        return sorted((sorted(part) for part in nx.connected_components(self.graph)), key=len)

    @cached_property
    def graph(self) -> nx.Graph:
        """Of node numbers."""
        import networkx as nx

        graph = nx.Graph()
        graph.add_nodes_from(range(self.n))
        graph.add_edges_from(self.edges.tolist())
        return graph

    @property
    def key(self) -> tuple:
        """Equal for equal networks."""
        return (self.n, self.edges.tobytes(), self.q, self.interaction.tobytes())

    @cached_property
    def neighbours(self) -> Neighbours:
        """Of every node."""
        ends, others = self.edges.T.ravel(), self.edges[:, ::-1].T.ravel()
        order = np.argsort(ends, kind="stable")
        begins = np.searchsorted(ends[order], np.arange(self.n + 1))
        return Neighbours(begins, others[order], np.tile(np.arange(self.m), 2)[order])

    def as_spins(self, theta, K):
        """Fields (..., n), couplings (..., m) and constant (...) of spins -1, 1 for two states."""
        G = self.interaction
        first = pt.constant(self.incidence)
        # G(s, t) = g + l (s + t) + k s t
        k, l, g = (
            (G[1, 1] - 2 * G[0, 1] + G[0, 0]) / 4, (G[1, 1] - G[0, 0]) / 4,
            (G[1, 1] + 2 * G[0, 1] + G[0, 0]) / 4,
        )  # fmt: skip
        fields = (theta[..., 1] - theta[..., 0]) / 2
        if l:
            fields = fields + l * pt.dot(K, first)
        constant = pt.sum(theta, axis=(-2, -1)) / 2 + (g * pt.sum(K, axis=-1) if g else 0.0)
        return fields, k * K, constant

    @cached_property
    def incidence(self) -> np.ndarray:
        """1 where an edge ends at a node, (m, n)."""
        incidence = np.zeros((self.m, self.n))
        incidence[np.arange(self.m)[:, None], self.edges] = 1.0
        return incidence


def natural_digest(network: Network, theta: np.ndarray, K: np.ndarray) -> str:
    """Name of a network with its potentials (n, q) and couplings (m,) or (): equal for equal ones.

    What is added to all potentials of a node changes nothing, and does not count.
    """
    own = theta - theta[:, :1]
    couplings = np.broadcast_to(K, network.m)
    content = repr(network.key).encode() + own.tobytes() + np.ascontiguousarray(couplings).tobytes()
    return sha256(content).hexdigest()
