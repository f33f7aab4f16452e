"""Graphs, couplings, fields and data as users give them, and what can be wrong with them."""

from __future__ import annotations

from typing import Any, NamedTuple

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
    import networkx as nx

    if isinstance(graph, nx.Graph):
        if graph.is_directed() or graph.is_multigraph():
            raise NetworkError(
                "the graph is directed or has parallel edges: take a networkx.Graph."
            )
        labels = list(graph)
        if not labels:
            raise NetworkError("the graph has no node.")
        shape: tuple[int, ...] = (len(labels),)
        if set(labels) == set(range(len(labels))):
            labels = list(range(len(labels)))
        elif all(
            isinstance(v, tuple) and len(v) == 2 and all(isinstance(k, int | np.integer) for k in v)
            for v in labels
        ):
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
    if not len(edges):
        raise NetworkError("graph has no edge, and so nobody knows how many nodes.")
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
        constant = known(coupling)
        if constant is not None and constant.shape[-2:] == (nodes.n, nodes.n):
            raise NetworkError(
                "coupling is a matrix (n, n) and there is a graph: give the matrix alone, or one "
                "entry an edge of the graph."
            )
        if shape[-1] not in (m, None):
            raise NetworkError(
                f"coupling has {shape[-1]} entries and the graph {m} edges: give a number, or one "
                "entry an edge."
            )
        lengths = (*[None] * (coupling.type.ndim - 1), m)
        return Couplings(nodes, pt.specify_shape(coupling, lengths), False)
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
    import networkx as nx

    network = nx.Graph(np.column_stack([i, j])[there].tolist())
    if not (len(network) == n and nx.is_connected(network)):
        there[:] = True
    i, j = i[there], j[there]
    return Couplings(Nodes((n,), np.column_stack([i, j])), coupling[..., i, j], False)


def on_nodes(nodes: Nodes, value, name: str, core: tuple[int, ...]):
    """Value (..., n, *core) of one with the nodes' own shape (..., *shape, *core), or with n.

    Raises
    ------
    NetworkError
        other lengths.
    """
    n_core = len(core)
    lengths = value.type.shape
    own = (*nodes.shape, *core)

    def fits(wanted):
        here = lengths[len(lengths) - len(wanted) :]
        return len(here) == len(wanted) and all(
            a in (b, None) for a, b in zip(here, wanted, strict=True)
        )

    if fits(own):
        # lengths that are not known yet are looked at when they are
        n_batch = len(lengths) - len(own)
        value = pt.specify_shape(value, (*[None] * n_batch, *own))
        batch = [value.shape[k] for k in range(n_batch)]
        return pt.reshape(value, (*batch, nodes.n, *core), ndim=n_batch + 1 + n_core)
    if fits((nodes.n, *core)):
        return pt.specify_shape(value, (*[None] * (len(lengths) - 1 - n_core), nodes.n, *core))
    more = f" and {core[0]} states" if core else ""
    raise NetworkError(
        f"{name} has shape {lengths}, and the network nodes of shape {nodes.shape}{more}."
    )


def field_on(nodes: Nodes, field, name: str = "field"):
    """Field of every node (..., n), of a number, None for 0, or one with the nodes' shape."""
    field = check_finite(name, 0.0 if field is None else field)
    if field.type.ndim == 0 or field.type.shape[-1] == 1:
        return field * pt.ones(nodes.n)
    return on_nodes(nodes, field, name, ())


def potentials_on(nodes: Nodes, field, q: int, name: str = "field"):
    """Potentials (..., n, q) of None or 0, of (q,) common to all nodes, or of (..., *nodes, q)."""
    field = check_finite(name, 0.0 if field is None else field)
    if known(field) is not None and field.type.ndim == 0 and np.any(known(field)):
        raise NetworkError(f"{name} is one number: give one for each of the {q} states.")
    if field.type.ndim == 0:
        return field * pt.ones((nodes.n, q))
    if field.type.shape[-1] not in (q, None):
        raise NetworkError(f"{name} has {field.type.shape[-1]} entries a node for {q} states.")
    if field.type.ndim == 1:
        return pt.specify_shape(field, (q,)) * pt.ones((nodes.n, 1))
    return on_nodes(nodes, field, name, (q,))


def check_states(name: str, observed, values, shape: tuple[int, ...]) -> None:
    """Raise NetworkError where data are not tables of states.

    Parameters
    ----------
    name
        of the distribution; values : states of a node; shape : of all nodes together.
    """
    if observed is None:
        return
    if isinstance(observed, Variable):
        if not hasattr(observed, "get_value"):
            return
        # what pm.Data holds now
        observed = observed.get_value()
    data = np.asarray(observed)
    if not np.issubdtype(data.dtype, np.number) and data.dtype != bool:
        raise NetworkError(f"observed holds {data.dtype}: states of {name} are numbers.")
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
