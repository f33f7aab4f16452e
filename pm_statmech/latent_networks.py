r"""Free variables on networks, moved by sweeps over all their nodes.

Given everything else, the states x of a network at inverse temperature beta are again a network,

.. math:: \pi_\beta(x \mid \text{rest}) \propto \exp\Big(\sum_i \theta_i^\beta(x_i)
          + \sum_{e = (i, j)} K_e^\beta\, G(x_i, x_j)\Big), \qquad
          \theta^\beta = \theta^0 + \beta\, \theta^1, \quad K^\beta = K^0 + \beta\, K^1

where all else goes node by node: nothing but elementwise operations, and looking values up by
state, may lie between the network and the other terms of the prior (0) and of minus the energy (1).
One native function gives all four, and the samplers' loops sweep by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from numba import njit, types
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.basic import Alloc, MakeVector, ScalarFromTensor
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.math import All
from pytensor.tensor.shape import SpecifyShape
from pytensor.tensor.subtensor import AdvancedSubtensor

from pm_statmech.distributions.base_measures import StatesRV
from pm_statmech.distributions.network_variables import NetworkRV
from pm_statmech.native_function import NativeFunction, call_by_address, compile_native
from pm_statmech.network_kernels.clusters import equality_gain
from pm_statmech.tempering import TemperedModel, kept_in_prior


def _depends(variable, value) -> bool:
    return variable is value or value in set(ancestors([variable]))


def _parts(condition) -> list:
    """Elementwise conditions of which one says that all hold; or itself."""
    node = condition.owner
    if node is not None and isinstance(node.op, ScalarFromTensor):
        return _parts(node.inputs[0])
    if node is not None and isinstance(node.op, All):
        [inner] = node.inputs
        if inner.owner is not None and isinstance(inner.owner.op, MakeVector):
            return [part for each in inner.owner.inputs for part in _parts(each)]
        return [inner]
    return [condition]


def node_by_node(term, value):
    """The term, if its entry i depends on no other entry of a value than i, or else None.

    That is read off the graph. Conditions on parameters, of which PyMC asks whether all hold, are
    asked at every node for itself: one that fails makes that node's state impossible.
    """
    if not _depends(term, value) or term is value:
        return term
    if term.type.ndim != value.type.ndim:
        return None
    node = term.owner
    first, *others = node.inputs
    if isinstance(node.op, Elemwise):
        inputs = [node_by_node(v, value) for v in node.inputs]
        if any(v is None for v in inputs):
            return None
        return node.clone_with_new_inputs(inputs, strict=False).outputs[node.outputs.index(term)]
    if isinstance(node.op, CheckAndRaise):
        found, kept = node_by_node(first, value), []
        for part in (part for condition in others for part in _parts(condition)):
            if not _depends(part, value):
                kept.append(pt.all(part))
                continue
            here = node_by_node(part, value)
            if here is None or found is None:
                return None
            found = pt.switch(here, found, -np.inf)
        return node.op(found, *kept) if kept and found is not None else found
    if isinstance(node.op, Alloc | SpecifyShape):
        # shapes are those of the network, or it is no such term
        found = None if any(_depends(v, value) for v in others) else node_by_node(first, value)
        return None if found is None else node.op(found, *others)
    if isinstance(node.op, AdvancedSubtensor):
        # a vector looked up by state
        if first.type.ndim != 1 or _depends(first, value) or len(others) != 1:
            return None
        found = node_by_node(others[0], value)
        return None if found is None else node.op(first, found)
    return None


@dataclass(frozen=True)
class LatentNetwork:
    """One network among the coordinates of the flat vector.

    Parameters
    ----------
    name, position
        of the variable, and of its first node in the flat vector.
    op
        class of the variable: its network, and the values of its states.
    function
        flat vector -> theta^0 (n q), K^0 (m), theta^1 (n q), K^1 (m), end to end.
    """

    name: str
    position: int
    op: Any
    function: NativeFunction

    @property
    def size(self) -> int:
        """Number n of nodes."""
        return self.op.problem.network.n

    def natural(self, x: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Theta (n, q) and K (m,) of the prior and of minus the energy at a flat vector (d,)."""
        network = self.op.problem.network
        words, keep = self.function.bind()
        found = np.empty(2 * (network.n * network.q + network.m))
        _evaluate(self.function.address, np.ascontiguousarray(x, dtype=float), found, words)
        del keep
        return tuple(
            (half[: network.n * network.q].reshape(network.n, network.q), half[-network.m :])
            for half in np.split(found, 2)
        )


class Networks(NamedTuple):
    """All networks of a model, as compiled loops read them.

    Parameters
    ----------
    addresses
        (P,) of the native functions; sizes : (P, 7) position in the flat vector, n, q, m, and
        where the network's own interaction, graph and words begin.
    numbers
        (P, 3) value of the first state, step to the next, and `clusters.equality_gain`, NaN where
        clusters do not apply.
    interactions
        q^2 each, end to end; graphs : edges (2 m), begins (n + 1), nodes (2 m), edges to them (2 m)
        each; words : of the native functions' data.
    """

    addresses: np.ndarray
    sizes: np.ndarray
    numbers: np.ndarray
    interactions: np.ndarray
    graphs: np.ndarray
    words: np.ndarray


NETWORKS = types.NamedTuple(
    (
        types.int64[::1],
        types.int64[:, ::1],
        types.float64[:, ::1],
        types.float64[::1],
        types.int64[::1],
        types.int64[::1],
    ),
    Networks,
)


@njit(types.void(types.int64, types.float64[::1], types.float64[::1], types.int64[::1]), cache=True)
def _evaluate(address, x, value, words):
    call_by_address(address, x, value, words)


def bound(networks: tuple[LatentNetwork, ...]) -> tuple[Networks, list]:
    """Networks with their data as they are now, and the arrays to keep alive."""
    sizes, numbers, kept = [], [], []
    interactions, graphs, words = [np.empty(0)], [np.empty(0, int)], [np.empty(0, int)]
    for latent in networks:
        network, values = latent.op.problem.network, latent.op.values
        own, keep = latent.function.bind()
        gain = equality_gain(network.interaction)
        starts = (sum(len(a) for a in part) for part in (interactions, graphs, words))
        sizes.append([latent.position, network.n, network.q, network.m, *starts])
        numbers.append([values[0], values[1] - values[0], np.nan if gain is None else gain])
        interactions.append(np.ravel(network.interaction))
        graphs += [np.ravel(network.edges), *network.neighbours]
        words.append(own)
        kept.append(keep)
    packed = Networks(
        np.array([latent.function.address for latent in networks], dtype=np.int64),
        np.array(sizes, dtype=np.int64).reshape(-1, 7),
        np.array(numbers, dtype=np.float64).reshape(-1, 3),
        np.concatenate(interactions).astype(np.float64),
        np.concatenate(graphs).astype(np.int64),
        np.concatenate(words).astype(np.int64),
    )
    return packed, kept


def _local(terms: list, value, op) -> Any:
    """Sum of the terms (n, q) with every node in each state."""
    network = op.problem.network
    if not terms:
        return pt.zeros((network.n, network.q))
    total: Any = sum(pt.cast(term, "float64") for term in terms)
    columns = []
    for state in op.values:
        whole = pt.constant(np.full(op.node_shape, state, dtype=value.type.dtype))
        [there] = clone_replace([total], {value: whole})
        columns.append(pt.reshape(there, (network.n,)))
    return pt.stack(columns, axis=-1)


def _own(split: TemperedModel, rv) -> tuple[Any, Any, Any, Any]:
    """Theta^0, K^0, theta^1, K^1 of the variable's own distribution."""
    network = rv.owner.op.problem.network
    no_fields, no_couplings = np.zeros((network.n, network.q)), np.zeros(network.m)
    if not isinstance(rv.owner.op, StatesRV):
        theta, K = rv.owner.op.natural(*rv.owner.inputs[2:])
        return theta, K + no_couplings, no_fields, no_couplings
    [term] = [term for term in split.terms if term.name == rv.name]
    assert term.natural is not None
    theta, K = (term.beta / split.target_beta * pt.cast(p, "float64") for p in term.natural)
    return no_fields, no_couplings, theta, K + no_couplings


def _shapes(split: TemperedModel, terms: list) -> set:
    """Shapes of graphs on the value variables, known or seen at the initial point."""
    if all(None not in term.type.shape for term in terms):
        return {tuple(term.type.shape) for term in terms}
    point = split.model.initial_point(random_seed=0)
    function = pytensor.function(
        list(split.value_vars), terms, mode="FAST_COMPILE", on_unused_input="ignore"
    )
    return {np.shape(found) for found in function(*(point[v.name] for v in split.value_vars))}


def _graph(split: TemperedModel, rv, value):
    """The four potentials and couplings of a free network variable, or None where not so."""
    op, model = rv.owner.op, split.model
    own = _own(split, rv)
    if value.type.ndim != len(op.node_shape) or any(
        pt.as_tensor(p).type.ndim != k for p, k in zip(own, (2, 1, 2, 1), strict=True)
    ):
        # a batch of networks
        return None
    kept = [v for v in kept_in_prior(model, split.terms) if v is not rv]
    of_prior = list(model.logp(vars=kept, sum=False)) if kept else []
    energies = [
        -(term.beta / split.target_beta) * term.pointwise
        for term in split.terms
        if term.name != rv.name
    ]
    of_energy = model.replace_rvs_by_values(energies) if energies else []
    parts = []
    for terms in (of_prior, of_energy):
        terms = [node_by_node(term, value) for term in terms if _depends(term, value)]
        if any(term is None for term in terms):
            return None
        if terms and not _shapes(split, terms) <= {tuple(op.node_shape)}:
            return None
        parts.append(_local(terms, value, op))
    theta_0, K_0, theta_1, K_1 = model.replace_rvs_by_values([pt.as_tensor(p) for p in own])
    return [theta_0 + parts[0], K_0, theta_1 + parts[1], K_1]


def compile_networks(
    split: TemperedModel, x, pieces: list, positions: dict, compile_kwargs: dict | None = None
) -> tuple[LatentNetwork, ...]:
    """Compile the free networks of a split model that sweeps can move.

    Parameters
    ----------
    x, pieces
        flat vector, and the value variables as parts of it; positions : of their first entries by
        name.
    """
    found = []
    for rv, value in zip(split.model.free_RVs, split.value_vars, strict=True):
        op = rv.owner.op
        if not isinstance(op, NetworkRV | StatesRV):
            continue
        graphs = _graph(split, rv, value)
        if graphs is None:
            continue
        graphs = clone_replace(graphs, zip(split.value_vars, pieces, strict=True))
        network = op.problem.network
        flat = [pt.flatten(pt.cast(graph, "float64")) for graph in graphs]
        sizes = [network.n * network.q, network.m] * 2
        function = compile_native(x, flat, sizes, split.model, compile_kwargs)
        found.append(LatentNetwork(rv.name, positions[value.name], type(op), function))
    return tuple(found)
