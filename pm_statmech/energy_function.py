r"""log pi_0, E and both gradients as one native function, called by address.

Beta never enters the graph, so that one compiled function serves every rung:

.. math:: \nabla \log \pi_\beta = \nabla \log \pi_0 - \beta \nabla E

PyTensor's numba kernel is wrapped in a C function, and both are cached on disk under PyTensor's
own key. Sampler loops take the address as an integer, so that they too are compiled once
for all models. Shared data are passed by address, and read anew at each `bind`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
from numba import types
from pymc.pytensorf import compile as pymc_compile
from pymc.pytensorf import rewrite_pregrad
from pytensor.graph.basic import Constant
from pytensor.graph.replace import clone_replace

from pm_statmech.errors import UnsupportedVariableError
from pm_statmech.integer_support import integer_bounds
from pm_statmech.native_code import kernel_of, source_beside
from pm_statmech.tempering import TemperedModel

_DOUBLE_P = types.CPointer(types.float64)
_INT_P = types.CPointer(types.int64)
_SIGNATURE = types.void(_DOUBLE_P, _DOUBLE_P, _INT_P)


@numba.extending.intrinsic
def _as_pointer(typingctx, address):
    """Integer address -> void pointer, for numba.carray."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), codegen


@numba.extending.intrinsic
def call_energy(typingctx, address, x, value, words):
    """Call an energy function by address: ``value`` <- [log pi_0, E, grad log pi_0, grad E]."""
    from llvmlite import ir

    signature = types.void(types.int64, x, value, words)

    def codegen(context, builder, sig, args):
        pointers = []
        for argument, array_type in zip(args[1:], sig.args[1:], strict=True):
            array = context.make_array(array_type)(context, builder, argument)
            pointers.append(array.data)
        function_type = ir.FunctionType(ir.VoidType(), [p.type for p in pointers])
        function = builder.inttoptr(args[0], function_type.as_pointer())
        builder.call(function, pointers)
        return context.get_dummy_value()

    return signature, codegen


class Target(NamedTuple):
    """What a compiled kernel knows of a model: log pi_0 and E by address, and its integers.

    Parameters
    ----------
    address, words
        the energy function and its data, see `call_energy`.
    discrete, low, high
        (m,) positions of integer coordinates in the flat vector, and the integers they
        lie between, which may be infinite.
    stepwise
        1 where E is piecewise constant, so that its gradient says nothing, else 0.
    """

    address: int
    words: np.ndarray
    discrete: np.ndarray
    low: np.ndarray
    high: np.ndarray
    stepwise: int


TARGET = types.NamedTuple(
    (
        types.int64,
        types.int64[::1],
        types.int64[::1],
        types.float64[::1],
        types.float64[::1],
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
    address
        of the C function (double* x, double* value, int64* words).
    layout
        of x.
    shared
        the containers of the model's data, read again by `bind`.
    integers
        positions, lowest and highest values of the integer coordinates, see `Target`.
    library
        keeps the native code alive.
    expected_cost
        microseconds a call should take, from the size of its graph and data.
    """

    address: int
    layout: Layout
    shared: tuple
    integers: tuple[np.ndarray, np.ndarray, np.ndarray]
    library: object
    expected_cost: float

    @property
    def size(self) -> int:
        """Number d of unconstrained parameters."""
        return self.layout.size

    def bind(self) -> tuple[Target, tuple[np.ndarray, ...]]:
        """What kernels call, with the data as they are now, and the arrays to keep alive."""
        arrays = tuple(np.ascontiguousarray(container.value) for container in self.shared)
        words = [w for a in arrays for w in (a.ctypes.data, *a.shape)]
        target = Target(self.address, np.array([*words, 0], dtype=np.int64), *self.integers, 0)
        return target, arrays

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
        call_energy(target.address, x[i], values[i], target.words)
    return values


def _wrapper_source(d: int, arrays: list[np.ndarray]) -> str:
    """C wrapper of a kernel(x, *shared) -> (log_prior, energy, two gradients)."""
    n_words = sum(1 + a.ndim for a in arrays) + 1
    lines = [
        "def energy_function(x, value, words):",
        f"    out = carray(value, ({2 + 2 * d},))",
        f"    w = carray(words, ({n_words},))",
        "    out[:] = nan",
    ]
    position, names = 0, []
    for k, array in enumerate(arrays):
        shape = [f"w[{position + 1 + axis}]" for axis in range(array.ndim)]
        pointer = (
            f"carray(as_pointer(w[{position}]), ({', '.join(shape or ['1'])},), {array.dtype})"
        )
        lines.append(f"    s{k} = {pointer}" + ("" if array.ndim else ".reshape(())"))
        names.append(f"s{k}")
        position += 1 + array.ndim
    arguments = ", ".join([f"carray(x, ({d},))", *names])
    lines += [
        f"    log_prior, energy, grad_log_prior, grad_energy = kernel({arguments})",
        "    out[0] = log_prior.item()",
        "    out[1] = energy.item()",
        f"    out[2 : {2 + d}] = grad_log_prior",
        f"    out[{2 + d} : {2 + 2 * d}] = grad_energy",
    ]
    return "\n".join(lines)


def _expected_cost(function, shared: tuple, d: int) -> float:
    """Microseconds a call takes: .3, .005 a node, .01 a parameter, .0004 an element of data."""
    graph = function.maker.fgraph
    constants = [v.data for v in graph.variables if isinstance(v, Constant)]
    elements = sum(np.size(a) for a in constants) + sum(np.size(c.value) for c in shared)
    return 0.3 + 0.005 * len(graph.apply_nodes) + 0.01 * d + 0.0004 * elements


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
    options = {"mode": "NUMBA", **(compile_kwargs or {})}
    with split.model:
        function = pymc_compile([x], [log_prior, energy, *gradients], **options)
    shared = tuple(function.input_storage[1:])
    not_arrays = [c for c in shared if not isinstance(c.value, np.ndarray)]
    if not_arrays:
        raise UnsupportedVariableError(
            f"the model's density reads {not_arrays[0].name or 'a shared variable'}, which is a "
            f"{type(not_arrays[0].value).__name__}, not an array: it cannot enter the kernel."
        )
    source = _wrapper_source(layout.size, [c.value for c in shared])
    environment = {
        "carray": numba.carray,
        "as_pointer": _as_pointer,
        "nan": np.nan,
        **{
            name: np.dtype(name)
            for name in ("float64", "float32", "int64", "int32", "int8", "bool")
        },
    }
    wrapper, key = source_beside(kernel_of(function), source, "energy_function", environment)
    library = numba.cfunc(_SIGNATURE, cache=key is not None)(wrapper)
    return EnergyFunction(
        int(library.address or 0),
        layout,
        shared,
        integer_coordinates(split, layout),
        library,
        _expected_cost(function, shared, layout.size),
    )
