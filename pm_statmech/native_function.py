r"""Functions of a flat vector that compiled loops call by address.

PyTensor's numba kernel is wrapped in a C function, and both are cached on disk under PyTensor's
own key. Loops take the address as an integer, so that they are compiled once for all models.
Shared data are passed by address, and read anew whenever they are bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
import pymc as pm
from numba import types
from pymc.pytensorf import compile as pymc_compile
from pytensor.graph.basic import Constant

from pm_statmech.errors import UnsupportedVariableError
from pm_statmech.native_code import kernel_of, source_beside

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
def call_by_address(typingctx, address, x, value, words):
    """Call a native function: ``value`` <- its outputs at ``x``, with the data in ``words``."""
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


@dataclass(frozen=True)
class NativeFunction:
    """C function (double* x, double* value, int64* words), with value the outputs end to end.

    Parameters
    ----------
    address
        of the function.
    shared
        the containers of the model's data, read again by `bind`.
    library
        keeps the native code alive.
    expected_cost
        microseconds a call should take, from the size of its graph and data.
    """

    address: int
    shared: tuple
    library: object
    expected_cost: float

    def bind(
        self, instead: Mapping[str, np.ndarray] | None = None
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Words of the data as they are now, and the arrays to keep alive.

        Parameters
        ----------
        instead
            {name: array} of data that take the place of the containers' for this binding, of
            their types; the containers stay as they are, so that threads may bind different data.
        """
        arrays = []
        for container in self.shared:
            value = (instead or {}).get(container.name, container.value)
            if np.ndim(value) != np.ndim(container.value):
                raise UnsupportedVariableError(
                    f"{container.name} has {np.ndim(container.value)} axes, and the data given "
                    f"for it {np.ndim(value)}."
                )
            # not ascontiguousarray, which makes a number an array of one axis: a word too many
            arrays.append(np.asarray(value, dtype=container.value.dtype, order="C"))
        words = [w for a in arrays for w in (a.ctypes.data, *a.shape)]
        return np.array([*words, 0], dtype=np.int64), tuple(arrays)


def _wrapper_source(d: int, sizes: list[int], arrays: list[np.ndarray]) -> str:
    """C wrapper of a kernel(x, *shared) -> numbers (of size 0) and vectors."""
    n_words = sum(1 + a.ndim for a in arrays) + 1
    lines = [
        "def by_address(x, value, words):",
        f"    out = carray(value, ({sum(max(size, 1) for size in sizes)},))",
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
    outputs = ", ".join(f"o{k}" for k in range(len(sizes)))
    lines.append(f"    {outputs}, = kernel({arguments})")
    start = 0
    for k, size in enumerate(sizes):
        stop = start + max(size, 1)
        lines.append(
            f"    out[{start}:{stop}] = o{k}" if size else f"    out[{start}] = o{k}.item()"
        )
        start = stop
    return "\n".join(lines)


def _expected_cost(function, shared: tuple, d: int) -> float:
    """Microseconds a call takes: .3, .005 a node, .01 a parameter, .0004 an element of data."""
    graph = function.maker.fgraph
    constants = [v.data for v in graph.variables if isinstance(v, Constant)]
    elements = sum(np.size(a) for a in constants) + sum(np.size(c.value) for c in shared)
    return 0.3 + 0.005 * len(graph.apply_nodes) + 0.01 * d + 0.0004 * elements


def compile_native(
    x, outputs, sizes: list[int], model: pm.Model, compile_kwargs: dict | None = None
) -> NativeFunction:
    """Compile graphs of a flat vector.

    Parameters
    ----------
    x
        the vector (d,); outputs : graphs of numbers and vectors, free of random variables.
    sizes
        length of each vector, 0 for a number.

    Raises
    ------
    UnsupportedVariableError
        data that are not arrays.
    """
    d = x.type.shape[0]
    options = {"mode": "NUMBA", **(compile_kwargs or {})}
    with model:
        function = pymc_compile([x], outputs, on_unused_input="ignore", **options)
    shared = tuple(function.input_storage[1:])
    not_arrays = [c for c in shared if not isinstance(c.value, np.ndarray)]
    if not_arrays:
        raise UnsupportedVariableError(
            f"the model's density reads {not_arrays[0].name or 'a shared variable'}, which is a "
            f"{type(not_arrays[0].value).__name__}, not an array: it cannot enter the kernel."
        )
    source = _wrapper_source(d, sizes, [c.value for c in shared])
    environment = {
        "carray": numba.carray,
        "as_pointer": _as_pointer,
        "nan": np.nan,
        **{
            name: np.dtype(name)
            for name in ("float64", "float32", "int64", "int32", "int8", "bool")
        },
    }
    wrapper, key = source_beside(kernel_of(function), source, "by_address", environment)
    library = numba.cfunc(_SIGNATURE, cache=key is not None)(wrapper)
    return NativeFunction(
        int(library.address or 0), shared, library, _expected_cost(function, shared, d)
    )
