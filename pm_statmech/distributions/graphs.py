"""Graphs, couplings, fields and data as users give them, and what can be wrong with them."""

from __future__ import annotations

from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor import TensorConstant

from pm_statmech.distributions.constants import known
from pm_statmech.errors import NetworkError

SYMMETRIC = CheckAndRaise(
    NetworkError,
    "coupling is not symmetric with a diagonal of 0. Fill both triangles: with values of the pairs "
    "i < j, J = pt.zeros((n, n))[i, j].set(values), and J + J.T.",
)


class Nodes(NamedTuple):
    """Shape of all nodes together, and the edges (m, 2) between their numbers, row by row."""

    shape: tuple[int, ...]
    edges: np.ndarray

    @property
    def n(self) -> int:
        """How many nodes."""
        return int(np.prod(self.shape))


def nodes_of_graph(graph) -> Nodes:
    """Nodes and edges of a `networkx.Graph` or of an array (m, 2) of node numbers.

    Nodes of a graph are numbered as its iteration gives them, unless they are 0 to n - 1, which
    stay what they are, or all (row, column) of a lattice, which go row by row and make a variable
    of two axes. Edges come in the graph's own order.

    Raises
    ------
    NetworkError
        a directed graph or one with parallel edges; an array of another shape.
    """
    if isinstance(graph, nx.Graph):
        if graph.is_directed() or graph.is_multigraph():
            raise NetworkError(
                "the graph is directed or has parallel edges: take a networkx.Graph."
            )
        labels = list(graph)
        shape: tuple[int, ...] = (len(labels),)
        if set(labels) == set(range(len(labels))):
            labels = list(range(len(labels)))
        elif all(isinstance(v, tuple) and len(v) == 2 for v in labels):
            rows, columns = (1 + max(v[k] for v in labels) for k in range(2))
            full = [(r, c) for r in range(rows) for c in range(columns)]
            if set(full) == set(labels):
                labels, shape = full, (rows, columns)
        number = {v: k for k, v in enumerate(labels)}
        numbered = [(number[u], number[v]) for u, v in graph.edges]
        return Nodes(shape, np.array(numbered, dtype=np.int64).reshape(-1, 2))
    edges = np.asarray(graph)
    if edges.ndim != 2 or edges.shape[1] != 2 or not np.issubdtype(edges.dtype, np.integer):
        raise NetworkError(
            f"graph is an array of {edges.dtype} of shape {edges.shape}: it is a networkx.Graph, "
            "or (m, 2) node numbers, an edge a row."
        )
    return Nodes((int(edges.max()) + 1,), edges.astype(np.int64))


class Couplings(NamedTuple):
    """Nodes, couplings of edges K (..., m) or one K (...) common to all, and whether it is that."""

    nodes: Nodes
    K: Variable
    uniform: bool


def check_finite(name: str, value):
    """Parameter in float64; NetworkError where a constant is not finite."""
    if not isinstance(value, Variable):
        value = np.asarray(value, dtype=np.float64)
    value = pt.cast(pt.as_tensor_variable(value), "float64")
    if isinstance(value, TensorConstant) and not np.all(np.isfinite(value.data)):
        raise NetworkError(f"{name} has entries that are not finite: {value.data}.")
    return value


def couplings_on(graph, coupling) -> Couplings:
    """Couplings of a matrix (..., n, n) without a graph, or of numbers with one.

    Raises
    ------
    NetworkError
        a constant matrix that is not symmetric or has a diagonal, couplings of another shape.
    """
    coupling = check_finite("coupling", coupling)
    shape = coupling.type.shape
    if graph is not None:
        nodes = nodes_of_graph(graph)
        if coupling.type.ndim == 0:
            return Couplings(nodes, coupling, True)
        m = len(nodes.edges)
        if shape[-1] not in (m, None):
            raise NetworkError(
                f"coupling has {shape[-1]} entries and the graph {m} edges: give a number, or one "
                "entry an edge."
            )
        return Couplings(nodes, coupling, False)
    if coupling.type.ndim < 2 or shape[-1] != shape[-2] or shape[-1] is None:
        raise NetworkError(
            f"coupling has shape {shape}: without graph= it is a symmetric matrix (n, n) of known "
            "size."
        )
    n = shape[-1]
    constant = known(coupling)
    i, j = np.triu_indices(n, 1)
    if constant is None:
        transposed = pt.swapaxes(coupling, -1, -2)
        diagonal = pt.diagonal(coupling, axis1=-2, axis2=-1)
        K: Any = SYMMETRIC(
            coupling[..., i, j], pt.all(pt.eq(coupling, transposed)), pt.all(pt.eq(diagonal, 0.0))
        )
        return Couplings(Nodes((n,), np.column_stack([i, j])), K, False)
    if not np.array_equal(constant, np.swapaxes(constant, -1, -2)):
        raise NetworkError("coupling is not symmetric: every pair is there twice, J_ij = J_ji.")
    if np.any(np.diagonal(constant, axis1=-2, axis2=-1)):
        raise NetworkError("coupling has a diagonal that is not 0: no node is coupled to itself.")
    # pairs that are not coupled are no edges
    there = np.any(constant[..., i, j], axis=tuple(range(constant.ndim - 2)))
    network = nx.Graph(np.column_stack([i, j])[there].tolist())
    if not (len(network) == n and nx.is_connected(network)):
        there[:] = True
    i, j = i[there], j[there]
    return Couplings(Nodes((n,), np.column_stack([i, j])), coupling[..., i, j], False)


def field_on(nodes: Nodes, field, name: str = "field"):
    """Field of every node (..., n), of a number or one with the nodes' shape."""
    field = check_finite(name, field)
    n_axes = len(nodes.shape)
    if n_axes > 1 and field.type.ndim >= n_axes:
        batch = [field.shape[k] for k in range(field.type.ndim - n_axes)]
        field = pt.reshape(field, (*batch, nodes.n), ndim=len(batch) + 1)
    length = field.type.shape[-1] if field.type.ndim else 1
    if length not in (1, nodes.n, None):
        raise NetworkError(f"{name} has {length} entries and the network {nodes.n} nodes.")
    return field * pt.ones(nodes.n) if field.type.ndim == 0 or length == 1 else field


def potentials_on(nodes: Nodes, field, q: int, name: str = "field"):
    """Potentials (..., n, q) of a number 0, of (q,) common to all nodes, or of (..., *nodes, q)."""
    field = check_finite(name, field)
    if field.type.ndim == 0:
        return field * pt.ones((nodes.n, q))
    if field.type.shape[-1] not in (q, None):
        raise NetworkError(f"{name} has {field.type.shape[-1]} entries a node for {q} states.")
    if field.type.ndim == 1:
        return field * pt.ones((nodes.n, 1))
    n_axes = len(nodes.shape)
    if n_axes > 1:
        batch = [field.shape[k] for k in range(field.type.ndim - n_axes - 1)]
        field = pt.reshape(field, (*batch, nodes.n, q), ndim=len(batch) + 2)
    if field.type.shape[-2] not in (nodes.n, None):
        raise NetworkError(
            f"{name} has {field.type.shape[-2]} rows and the network {nodes.n} nodes."
        )
    return field


def check_states(name: str, observed, values, shape: tuple[int, ...]) -> None:
    """Raise NetworkError where data are not tables of states.

    Parameters
    ----------
    name
        of the distribution; values : states of a node; shape : of all nodes together.
    """
    if observed is None or isinstance(observed, Variable):
        return
    data = np.asarray(observed)
    if np.ma.isMaskedArray(observed) or not np.all(np.isfinite(data)):
        raise NetworkError(
            f"{name} has missing entries in observed: a node that was not seen has to be summed "
            "over, which is not offered. Leave those rows out."
        )
    if data.ndim < len(shape) or data.shape[data.ndim - len(shape) :] != shape:
        raise NetworkError(
            f"observed has shape {data.shape}: {name} has nodes of shape {shape}, and data "
            f"(N, {', '.join(map(str, shape))})."
        )
    strange = data[~np.isin(data, values)]
    if strange.size:
        hint = ""
        if name == "Ising" and set(np.unique(data)) <= {0, 1}:
            hint = (
                " Take BoltzmannMachine for states 0 and 1, whose parameters mean something else."
            )
        if name == "BoltzmannMachine" and set(np.unique(data)) <= {-1, 1}:
            hint = " Take Ising for states -1 and 1, whose parameters mean something else."
        shown = ", ".join(f"{v:g}" for v in values)
        raise NetworkError(
            f"observed has a state {strange.flat[0]:g}, and nodes of {name} have {shown}.{hint}"
        )
