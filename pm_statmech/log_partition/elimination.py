r"""The order in which nodes are summed out one by one, each from a table over its neighbours.

A node that is summed out leaves its neighbours coupled to each other. Node v with those of its
neighbours that are left is a bag; the bags of all nodes are a tree, in which the parent of v is who
of its bag goes first. The largest bag, less one, is the width of the order; the least of any order
is the graph's treewidth. Greedy orders take the node that couples the fewest new pairs.

Sources: Bertele and Brioschi (1972), Nonserial dynamic programming; Kjaerulff (1990), Triangulation
of graphs, Aalborg University, R 90-09, for the greedy order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from pm_statmech.log_partition.networks import Network

if TYPE_CHECKING:
    import networkx as nx

# a bag so large that nobody can hold its table
HOPELESS = 40


@dataclass(frozen=True, eq=False)
class Elimination:
    """Bags in the order in which their first nodes are summed out.

    Parameters
    ----------
    members, begins
        nodes of bag k are members[begins[k]:begins[k + 1]], who is summed out first, the others in
        the order in which they go.
    parent
        (n,) number of the bag that the message goes to, -1 for the last.
    places
        (len(members),) place of a member of the separator in the parent's bag.
    edges, edge_begins
        the couplings of bag k are edges[edge_begins[k]:edge_begins[k + 1]]: (edge, place).
    """

    members: np.ndarray
    begins: np.ndarray
    parent: np.ndarray
    places: np.ndarray
    edges: np.ndarray
    edge_begins: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Nodes in each bag."""
        return np.diff(self.begins)

    @property
    def tables(self) -> tuple[np.ndarray, ...]:
        """What compiled code reads."""
        return (
            self.members, self.begins, self.parent, self.places, self.edges, self.edge_begins,
        )  # fmt: skip

    @property
    def width(self) -> int:
        """Nodes of the largest bag, less one."""
        return int(self.sizes.max()) - 1

    def entries(self, q: int) -> float:
        """Numbers in all tables together."""
        return float(np.sum(float(q) ** self.sizes))


def greedy_elimination(graph: nx.Graph) -> list[int] | None:
    """Nodes in the order of least fill, of equals that with fewer neighbours; None if hopeless."""
    around = {v: set(graph[v]) for v in graph}

    def cost(v):
        missing = sum(1 for a, b in combinations(around[v], 2) if b not in around[a])
        return missing, len(around[v]), v

    costs = {v: cost(v) for v in graph}
    order = []
    while costs:
        v = min(costs.values())[2]
        if len(around[v]) >= HOPELESS:
            return None
        order.append(v)
        del costs[v]
        near = around.pop(v)
        touched = set(near)
        for a in near:
            around[a].discard(v)
            around[a] |= near - {a}
            touched |= around[a]
        for a in touched:
            costs[a] = cost(a)
    return order


def elimination_of(network: Network) -> Elimination | None:
    """Bags of the greedy order of a network, or None where a bag is hopelessly large."""
    order = greedy_elimination(network.graph)
    if order is None:
        return None
    rank = np.empty(network.n, dtype=np.int64)
    rank[order] = np.arange(network.n)
    around = {v: set(network.graph[v]) for v in order}
    bags: list[list[int]] = []
    for v in order:
        rest = sorted((w for w in around[v] if rank[w] > rank[v]), key=lambda w: rank[w])
        for a in rest:
            around[a] |= set(rest) - {a}
        bags.append([v, *rest])
    of_first: list[list[tuple[int, int]]] = [[] for _ in order]
    for e, (i, j) in enumerate(network.edges.tolist()):
        k = min(rank[i], rank[j])
        other = j if rank[i] == k else i
        of_first[k].append((e, bags[k].index(other)))
    parent = np.array([rank[bag[1]] if len(bag) > 1 else -1 for bag in bags])
    places = [
        [-1, *(bags[parent[k]].index(w) for w in bag[1:])] for k, bag in enumerate(bags)
    ]  # fmt: skip
    begins = np.concatenate([[0], np.cumsum([len(bag) for bag in bags])])
    edge_begins = np.concatenate([[0], np.cumsum([len(found) for found in of_first])])
    flat = [pair for found in of_first for pair in found]
    return Elimination(
        np.concatenate(bags).astype(np.int64), begins.astype(np.int64), parent.astype(np.int64),
        np.concatenate(places).astype(np.int64),
        np.array(flat, dtype=np.int64).reshape(-1, 2), edge_begins.astype(np.int64),
    )  # fmt: skip
