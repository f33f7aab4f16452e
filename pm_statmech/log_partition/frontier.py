"""The order in which a transfer matrix takes the nodes of a network, and what it does at each.

Nodes enter one by one. The frontier holds those that have entered and whose last neighbour has
not: given their states, past and future are independent. The work at a node is q to the power of
the frontier's size, so orders are compared by the sum of that. What a table over the frontier goes
through at each step is written down once, as integers that a compiled loop reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pm_statmech.log_partition.networks import Network

if TYPE_CHECKING:
    import networkx as nx

# columns of a step: who enters, who leaves, the place it had; the edges between them, and to the
# last who entered before; and the rows of further edges
ENTERS, LEAVES, PLACE, EDGE, EDGE_TO_LAST, FROM, TO = range(7)
MOST_STARTS = 24


@dataclass(frozen=True, eq=False)
class Sweep:
    """Steps (T, 7), further edges (X, 2) with the place of their older end, and sizes (T + 1,).

    A size is the number of nodes in the frontier before and after each step. Places count from the
    fastest digit of a table; who enters becomes the slowest.
    """

    steps: np.ndarray
    further: np.ndarray
    sizes: np.ndarray

    @property
    def width(self) -> int:
        """Most nodes in the frontier at once."""
        return int(self.sizes.max())

    def entries(self, q: int) -> float:
        """Numbers in all tables together."""
        return float(np.sum(float(q) ** self.sizes))

    def operations(self, q: int) -> float:
        """Multiplications of a sweep forth and back."""
        tables = float(q) ** self.sizes
        passes = 3.0 + 2.0 * (self.steps[:, TO] - self.steps[:, FROM])
        return float(np.sum((tables[:-1] + tables[1:]) * passes))


def greedy_order(graph: nx.Graph, start: int) -> list[int]:
    """Nodes from a start on, always the one after which the frontier is smallest.

    Among equals the one whose neighbours have waited longest.
    """
    ahead = {v: set(graph[v]) for v in graph}
    entered: dict[int, int] = {}
    candidates = {start}

    def growth(v: int) -> tuple:
        behind = [u for u in graph[v] if u in entered]
        leaving = sum(ahead[u] == {v} for u in behind)
        oldest = min((entered[u] for u in behind), default=0)
        return (bool(ahead[v]) - leaving, oldest, v)

    while candidates:
        v = min(candidates, key=growth)
        candidates.discard(v)
        entered[v] = len(entered)
        for u in graph[v]:
            ahead[u].discard(v)
            if u not in entered:
                candidates.add(u)
    return list(entered)


def orders(network: Network) -> Iterable[list[int]]:
    """Orders worth comparing: as the nodes are numbered, by bandwidth, and greedy ones."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    yield list(range(network.n))
    graph, (i, j) = network.graph, network.edges.T
    ends = np.concatenate([i, j]), np.concatenate([j, i])
    table = coo_array((np.ones(2 * network.m), ends), shape=(network.n, network.n)).tocsr()
    yield reverse_cuthill_mckee(table, True).tolist()
    # from the nodes with the fewest neighbours, which lie at the rim
    starts = sorted(graph, key=lambda v: (graph.degree[v], v))
    for start in starts[: MOST_STARTS if network.n < 500 else 3]:
        yield greedy_order(graph, start)


def sweep_of(network: Network, order: list[int]) -> Sweep:
    """What happens to a table over the frontier in an order."""
    number = {frozenset(edge): e for e, edge in enumerate(network.edges.tolist())}
    graph = network.graph
    left = {v: graph.degree[v] for v in graph}
    places: list[int] = []
    steps: list[list[int]] = []
    further: list[list[int]] = []
    sizes = [0]
    for v in order:
        here = [u for u in places if u in graph[v]]
        for u in here:
            left[u] -= 1
            left[v] -= 1
        leaving = [u for u in places if left[u] == 0]
        last = places[-1] if places else None
        first = len(further)
        row = [v, -1, -1, -1, -1, first, first]
        handled: set[int] = set()
        if leaving:
            u = leaving.pop(0)
            row[LEAVES], row[PLACE] = u, places.index(u)
            row[EDGE] = number.get(frozenset((u, v)), -1)
            handled.add(u)
        if last is not None and last in here and last not in handled:
            row[EDGE_TO_LAST] = number[frozenset((last, v))]
            handled.add(last)
        places = [u for u in places if u != row[LEAVES]]
        further += [[number[frozenset((u, v))], places.index(u)] for u in here if u not in handled]
        row[TO] = len(further)
        places.append(v)
        steps.append(row)
        sizes.append(len(places))
        if left[v] == 0:
            leaving.append(v)
        for u in leaving:
            steps.append([-1, u, places.index(u), -1, -1, len(further), len(further)])
            places.remove(u)
            sizes.append(len(places))
    return Sweep(
        np.array(steps, dtype=np.int64), np.array(further, dtype=np.int64).reshape(-1, 2),
        np.array(sizes, dtype=np.int64),
    )  # fmt: skip


def best_sweep(network: Network) -> Sweep:
    """The sweep with the fewest operations among those of `orders`."""
    sweeps = (sweep_of(network, order) for order in orders(network))
    return min(sweeps, key=lambda sweep: sweep.operations(network.q))
