r"""log pi_0, E and both gradients as one native function, called by address.

Beta never enters the graph, so that one compiled function serves every rung:

.. math:: \nabla \log \pi_\beta = \nabla \log \pi_0 - \beta \nabla E

Sampler loops take the address as an integer, so that they are compiled once for all models, and
learn from the same `Target` which coordinates are integers and which are states of networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple

import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
from numba import types
from pymc.pytensorf import rewrite_pregrad
from pytensor.graph.replace import clone_replace

from pm_statmech.errors import UnsupportedVariableError
from pm_statmech.integer_support import integer_bounds
from pm_statmech.latent_networks import NETWORKS, LatentNetwork, Networks, bound, compile_networks
from pm_statmech.native_function import NativeFunction, call_by_address, compile_native
from pm_statmech.tempering import TemperedModel

# random states on which sweeps over a network are tried out, and how well they must agree
TRIALS, AGREED = 4, 1e-8


class Target(NamedTuple):
    """What a compiled kernel knows of a model: log pi_0 and E by address, and its integers.

    Parameters
    ----------
    address, words
        the energy function and its data, see `call_by_address`.
    discrete, low, high
        (m,) positions of integer coordinates in the flat vector, and the integers they
        lie between, which may be infinite.
    alone
        which of these move one by one: all but the nodes of networks.
    networks
        that sweeps move.
    stepwise
        1 where E is piecewise constant, so that its gradient says nothing, else 0.
    """

    address: int
    words: np.ndarray
    discrete: np.ndarray
    low: np.ndarray
    high: np.ndarray
    alone: np.ndarray
    networks: Networks
    stepwise: int


TARGET = types.NamedTuple(
    (
        types.int64,
        types.int64[::1],
        types.int64[::1],
        types.float64[::1],
        types.float64[::1],
        types.int64[::1],
        NETWORKS,
        types.int64,
    ),
    Target,
)


@dataclass(frozen=True)
class Layout:
    """Where each unconstrained variable lies in the flat vector: names, shapes, dtypes."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Length d of the flat vector."""
        return sum(prod(shape) for shape in self.shapes)

    @property
    def positions(self) -> list[int]:
        """Where each variable begins in the flat vector."""
        return [sum(map(prod, self.shapes[:k])) for k in range(len(self.shapes))]

    def split(self, flat):
        """Flat vector (d,) -> the variables in their shapes; for arrays and for tensors."""
        pieces, start = [], 0
        for shape in self.shapes:
            stop = start + prod(shape)
            pieces.append(flat[start:stop].reshape(shape))
            start = stop
        return pieces

    def coordinate_names(self) -> list[str]:
        """Name of each entry of the flat vector, such as ``b[3]``."""
        names = []
        for name, shape in zip(self.names, self.shapes, strict=True):
            for index in np.ndindex(*shape):
                names.append(name + (f"[{', '.join(map(str, index))}]" if index else ""))
        return names


def layout_of(split: TemperedModel) -> Layout:
    """Layout of the value variables, from static shapes or else from the initial point."""
    shapes = [tuple(v.type.shape) for v in split.value_vars]
    if any(None in shape for shape in shapes):
        point = split.model.initial_point()
        shapes = [np.shape(point[v.name]) for v in split.value_vars]
    return Layout(tuple(str(v.name) for v in split.value_vars), tuple(shapes))


def integer_coordinates(split: TemperedModel, layout: Layout):
    """Positions, lowest and highest values of the integer coordinates of a flat vector."""
    positions, lows, highs, start = [], [], [], 0
    for rv, shape in zip(split.model.free_RVs, layout.shapes, strict=True):
        size = prod(shape)
        if rv.type.dtype not in ("float64", "float32"):
            low, high = integer_bounds(rv)
            positions.append(np.arange(start, start + size))
            lows.append(np.broadcast_to(low, shape).ravel())
            highs.append(np.broadcast_to(high, shape).ravel())
        start += size
    if not positions:
        return np.empty(0, dtype=np.int64), np.empty(0), np.empty(0)
    return (
        np.concatenate(positions).astype(np.int64),
        np.concatenate(lows).astype(np.float64),
        np.concatenate(highs).astype(np.float64),
    )


def flat_point(split: TemperedModel, layout: Layout, values: Mapping) -> np.ndarray:
    """Flat unconstrained vector (d,) of constrained values; missing ones are the initial point's.

    Raises
    ------
    UnsupportedVariableError
        a name that is not a free variable of the model.
    """
    model = split.model
    unknown = sorted(set(values) - {rv.name for rv in model.free_RVs})
    if unknown:
        raise UnsupportedVariableError(
            f"{unknown} are not free variables of the model, which has "
            f"{[rv.name for rv in model.free_RVs]}."
        )
    point = model.initial_point(random_seed=0)
    for rv, value_var in zip(model.free_RVs, split.value_vars, strict=True):
        if rv.name in values:
            transform = model.rvs_to_transforms[rv]
            value = pt.constant(np.asarray(values[rv.name], dtype=rv.type.dtype))
            if transform is not None:
                value = transform.forward(value, *rv.owner.inputs)
            point[value_var.name] = value.eval()
    return np.concatenate([np.ravel(point[name]) for name in layout.names]).astype(float)


@dataclass(frozen=True)
class EnergyFunction:
    """Native function x -> [log pi_0, E, grad log pi_0 (d), grad E (d)].

    Parameters
    ----------
    native
        the compiled function.
    layout
        of x.
    integers
        positions, lowest and highest values of the integer coordinates, see `Target`.
    networks
        free variables on networks, whose nodes are some of these.
    """

    native: NativeFunction
    layout: Layout
    integers: tuple[np.ndarray, np.ndarray, np.ndarray]
    networks: tuple[LatentNetwork, ...]

    @property
    def size(self) -> int:
        """Number d of unconstrained parameters."""
        return self.layout.size

    @property
    def alone(self) -> np.ndarray:
        """Numbers of the integer coordinates that are no nodes of networks."""
        in_networks = [np.arange(v.position, v.position + v.size) for v in self.networks]
        return np.flatnonzero(~np.isin(self.integers[0], np.concatenate([[], *in_networks])))

    def bind(self, instead: Mapping[str, np.ndarray] | None = None) -> tuple[Target, tuple]:
        """What kernels call, with the data as they are now, and the arrays to keep alive.

        `instead` are data for this binding alone, see `NativeFunction.bind`.
        """
        words, arrays = self.native.bind(instead)
        networks, more = bound(self.networks)
        target = Target(self.native.address, words, *self.integers, self.alone, networks, 0)
        return target, (arrays, more)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Values at one flat vector (d,) or a stack of them (n, d) -> (..., 2 + 2 d)."""
        target, keep = self.bind()
        x = np.ascontiguousarray(x, dtype=np.float64)
        stack = x.reshape(-1, self.size)
        values = evaluate_all(target, stack)
        del keep
        return values.reshape(*x.shape[:-1], 2 + 2 * self.size)


@numba.njit(
    types.float64[:, ::1](TARGET, types.float64[:, ::1]),
    nogil=True,
    cache=True,
)
def evaluate_all(target, x):
    """Evaluate the energy function at each row of x."""
    values = np.full((x.shape[0], 2 + 2 * x.shape[1]), np.nan)
    for i in range(x.shape[0]):
        call_by_address(target.address, x[i], values[i], target.words)
    return values


def _agrees(energy_function: EnergyFunction, split: TemperedModel, latent: LatentNetwork) -> bool:
    """Whether random states change log pi_0 and E by what the network says, where finite."""
    network, values = latent.op.problem.network, latent.op.values
    rng, nodes = np.random.default_rng(0), np.arange(network.n)
    number = rng.integers(network.q, size=(TRIALS, network.n))
    x = np.tile(flat_point(split, energy_function.layout, {}), (TRIALS, 1))
    x[:, latent.position + nodes] = values[number]
    found = energy_function(x)[:, :2] * [1.0, -1.0]
    first, second = network.edges.T
    rows = [
        [
            np.sum(theta[nodes, s]) + K @ network.interaction[s[first], s[second]]
            for theta, K in latent.natural(x[0])
        ]
        for s in number
    ]
    said = np.array(rows)
    # where nothing is possible, whatever the states, other variables say so
    seen = np.any(np.isfinite(found), axis=0)
    found, said = found[:, seen], said[:, seen]
    if not np.array_equal(np.isfinite(said), np.isfinite(found)):
        return False
    possible = np.all(np.isfinite(said), axis=1)
    found, said = found[possible], said[possible]
    gap = (found - found[:1]) - (said - said[:1])
    return bool(np.all(np.abs(gap) <= AGREED * (1.0 + np.abs(found))))


def compile_energy_function(
    split: TemperedModel, compile_kwargs: dict | None = None
) -> EnergyFunction:
    """Compile a split model; see EnergyFunction.

    Raises
    ------
    UnsupportedVariableError
        the model has vectors of integers that move together (a Multinomial), or data that are
        not arrays.
    """
    layout = layout_of(split)
    x = pt.vector("x", shape=(layout.size,), dtype="float64")
    pieces = [
        pt.cast(piece, v.type.dtype)
        for v, piece in zip(split.value_vars, layout.split(x), strict=True)
    ]
    graphs = clone_replace(
        [split.log_prior, split.energy], zip(split.value_vars, pieces, strict=True)
    )
    log_prior, energy = rewrite_pregrad([pt.cast(g, "float64") for g in graphs])
    gradients = [
        pytensor.grad(g, x, disconnected_inputs="ignore", return_disconnected="zero")
        for g in (log_prior, energy)
    ]
    native = compile_native(
        x, [log_prior, energy, *gradients], [0, 0, layout.size, layout.size], split.model,
        compile_kwargs,
    )  # fmt: skip
    positions = dict(zip(layout.names, layout.positions, strict=True))
    found = EnergyFunction(
        native,
        layout,
        integer_coordinates(split, layout),
        compile_networks(split, x, pieces, positions, compile_kwargs),
    )
    return replace(found, networks=tuple(v for v in found.networks if _agrees(found, split, v)))
